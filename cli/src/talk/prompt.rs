//! The line that a person edits, with the lines before it. The editor blocks, so it has a thread of its own.

use std::thread;

use anyhow::{Result, anyhow};
use rustyline::{
    Cmd, Context, Editor, ExternalPrinter, Helper, KeyEvent, completion::Completer, config::Config,
    error::ReadlineError, highlight::Highlighter, hint::Hinter, history::DefaultHistory, validate::Validator,
};
use tokio::sync::{mpsc, oneshot};

use super::commands::COMMANDS;
use crate::terminal::Terminal;

/// What a person did at the prompt.
#[derive(Debug)]
pub(super) enum Line {
    Text(String),
    /// Ctrl-C.
    Interrupted,
    /// Ctrl-D on an empty line.
    End,
}

/// The prompt.
pub(super) struct Prompt {
    asked: mpsc::UnboundedSender<Ask>,
    lines: mpsc::UnboundedReceiver<Result<Line>>,
    /// None for a terminal that cannot print above a line.
    printer: Option<Box<dyn ExternalPrinter + Send>>,
    is_asked: bool,
}

enum Ask {
    Line(String),
    /// A line for the history that was not typed here.
    Remember(String),
}

impl Prompt {
    pub(super) async fn start() -> Result<Self> {
        let (asked, mut asks) = mpsc::unbounded_channel();
        let (entered, lines) = mpsc::unbounded_channel();
        let (started, printer) = oneshot::channel();
        thread::spawn(move || {
            let mut editor = match editor() {
                Ok(editor) => editor,
                Err(error) => return drop(started.send(Err(error))),
            };
            if started.send(Ok(editor.create_external_printer().ok())).is_err() {
                return;
            }
            while let Some(ask) = asks.blocking_recv() {
                let prompt = match ask {
                    Ask::Line(prompt) => prompt,
                    Ask::Remember(line) => {
                        let _ = editor.add_history_entry(line);
                        continue;
                    }
                };
                let line = match editor.readline(&prompt) {
                    Ok(line) => Ok(Line::Text(line)),
                    Err(ReadlineError::Interrupted) => Ok(Line::Interrupted),
                    Err(ReadlineError::Eof) => Ok(Line::End),
                    Err(error) => Err(anyhow!("the terminal cannot be read: {error}")),
                };
                if entered.send(line).is_err() {
                    return;
                }
            }
        });
        let printer = printer.await?.map_err(|error| anyhow!("the terminal cannot be used: {error}"))?;
        let printer = printer.map(|printer| -> Box<dyn ExternalPrinter + Send> { Box::new(printer) });
        Ok(Self { asked, lines, printer, is_asked: false })
    }

    /// Asks for a line. Cancel safe: the line stays on the screen, and the next call waits for the same one.
    pub(super) async fn line(&mut self, prompt: &str) -> Result<Line> {
        if !self.is_asked {
            // If the thread has ended, the next call of `recv` says so.
            let _ = self.asked.send(Ask::Line(prompt.to_owned()));
            self.is_asked = true;
        }
        let line = self.lines.recv().await;
        self.is_asked = false;
        line.unwrap_or_else(|| Err(anyhow!("the prompt has ended")))
    }

    /// Puts a line into the history.
    pub(super) fn remember(&self, line: &str) {
        let _ = self.asked.send(Ask::Remember(line.to_owned()));
    }

    /// Prints lines above the prompt.
    pub(super) fn print_above(&mut self, text: &str, terminal: &Terminal) {
        match &mut self.printer {
            // As everywhere, what cannot be printed is left out.
            Some(printer) => drop(printer.print(format!("{text}\n"))),
            None => terminal.line(text),
        }
    }
}

fn editor() -> rustyline::Result<Editor<Commands, DefaultHistory>> {
    let config = Config::builder().auto_add_history(true).build();
    let mut editor = Editor::with_config(config)?;
    editor.set_helper(Some(Commands));
    // The editor would come back to a terminal that it does not control.
    editor.bind_sequence(KeyEvent::ctrl('Z'), Cmd::Noop);
    Ok(editor)
}

/// Completes commands with Tab.
struct Commands;

impl Helper for Commands {}
impl Highlighter for Commands {}
impl Validator for Commands {}

impl Hinter for Commands {
    type Hint = String;
}

impl Completer for Commands {
    type Candidate = String;

    fn complete(&self, line: &str, position: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        Ok((0, completions(line.get(..position).unwrap_or(line))))
    }
}

fn completions(begun: &str) -> Vec<String> {
    if !begun.starts_with('/') {
        return Vec::new();
    }
    let names = COMMANDS.iter().map(|(name, _, _)| (*name).to_owned());
    names.filter(|name| name.starts_with(begun)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_completed() {
        assert_eq!(completions("/h"), ["/history", "/help"]);
        assert_eq!(completions("h"), [""; 0]);
        assert_eq!(completions("/").len(), COMMANDS.len());
    }
}
