//! The conversation of a person at a terminal.

use std::io::{Write, stdout};

use anyhow::{Result, anyhow};
use chat_api_client::{Answer, Code, Update};
use tokio::{signal::ctrl_c, sync::mpsc};

use super::{
    commands::{COMMANDS, Input, parse},
    conversation::Conversation,
    echo_off::EchoOff,
    pipe::next_update,
    prompt::{Line, Prompt},
    run::{Ending, explain},
    view, wait,
};
use crate::{
    table,
    terminal::{Colour, Terminal},
};

/// What came from another window of the user while this one waits at its prompt.
type Elsewhere = mpsc::UnboundedSender<String>;

struct TerminalChat<'a> {
    conversation: &'a mut Conversation,
    terminal: &'a Terminal,
    prompt: Prompt,
    elsewhere: Elsewhere,
    /// The ids of the chats that were listed last.
    listed: Vec<String>,
    /// Whether the person has just pressed Ctrl-C.
    is_leaving: bool,
}

/// Runs until the person leaves.
pub(super) async fn run(conversation: &mut Conversation, url: &str, terminal: &Terminal) -> Result<Ending> {
    let (elsewhere, mut texts) = mpsc::unbounded_channel();
    let prompt = Prompt::start().await?;
    let dim = |text: String| terminal.paint(Colour::Dim, text);
    let greeting = format!("{url} · user {} · /help lists the commands", conversation.user());
    terminal.line(dim(greeting));
    let mut chat = TerminalChat { conversation, terminal, prompt, elsewhere, listed: Vec::new(), is_leaving: false };
    chat.show_opened().await?;
    loop {
        let question = view::prompt(terminal);
        let line = tokio::select! {
            line = chat.prompt.line(&question) => line?,
            update = next_update(chat.conversation) => {
                chat.on_update(update);
                continue;
            }
            Some(text) = texts.recv() => {
                chat.prompt.print_above(&text, terminal);
                continue;
            }
        };
        let text = match line {
            Line::Text(text) => text,
            Line::End => return Ok(Ending::Left),
            Line::Interrupted if chat.is_leaving => return Ok(Ending::Left),
            Line::Interrupted => {
                chat.is_leaving = true;
                terminal.line(dim("Ctrl-C again leaves.".to_owned()));
                continue;
            }
        };
        chat.is_leaving = false;
        match chat.follow(parse(&text)).await {
            Ok(Some(ending)) => return Ok(ending),
            Ok(None) => {}
            Err(error) => terminal.failure(explain(&error)),
        }
    }
}

impl TerminalChat<'_> {
    /// Does what a line asks for. Ctrl-C ends it, and an ending ends all.
    async fn follow(&mut self, input: Input) -> Result<Option<Ending>> {
        let terminal = self.terminal;
        let _silent = EchoOff::new();
        match input {
            Input::Nothing => {}
            Input::Message(content) => {
                let answer = wait::response(self.conversation.send(&content), terminal).await?;
                return self.show(answer).await;
            }
            Input::Regenerate => {
                let answer = wait::response(self.conversation.regenerate(), terminal).await?;
                return self.show(answer).await;
            }
            Input::New => {
                self.conversation.leave();
                terminal.success("Your next message starts another chat.");
            }
            Input::Chats(None) => {
                let chats = wait::response(self.conversation.chats(), terminal).await?;
                self.listed = chats.iter().map(|chat| chat.chat_id.clone()).collect();
                let current = self.conversation.info().map(|info| info.chat_id.as_str());
                match chats.is_empty() {
                    true => terminal.line("You have no chats yet: your first message starts one."),
                    false => terminal.line(view::chats(&chats, current, terminal)),
                }
            }
            Input::Chats(Some(number)) => {
                let chat = number.checked_sub(1).and_then(|index| self.listed.get(index));
                let chat = chat.ok_or_else(|| anyhow!("no chat has the number {number} in your last /chats"))?;
                wait::response(self.conversation.open(chat), terminal).await?;
                self.show_opened().await?;
            }
            Input::History => {
                let messages = wait::response(self.conversation.history(), terminal).await?;
                match messages.is_empty() {
                    true => terminal.line("This chat has no messages yet."),
                    false => terminal.line(view::history(&messages, terminal)),
                }
            }
            Input::Model(None) => {
                let model = self.conversation.model().unwrap_or("the default of the tenant");
                terminal.line(format_args!("The model is {model}. Change it with /model NAME."));
            }
            Input::Model(Some(model)) => {
                wait::response(self.conversation.set_model(&model), terminal).await?;
                terminal.success(format_args!("{model} answers from now on."));
            }
            Input::Help => {
                let row = |(name, arguments, what): &(&str, &str, &str)| {
                    [format!("{name} {arguments}").trim_end().to_owned(), (*what).to_owned()]
                };
                terminal.line(table::render(["COMMAND", "WHAT IT DOES"], COMMANDS.iter().map(row).collect(), terminal));
                terminal.line("Ctrl-C stops an answer. A message that begins with a slash is written with two.");
            }
            Input::Quit => return Ok(Some(Ending::Left)),
            Input::Unknown(line) => {
                terminal.warning(format_args!("{line} is not a command: /help lists them, //… sends it as a message"));
            }
        }
        Ok(None)
    }

    /// Shows the chat that was opened, and puts its messages into the history of the prompt.
    async fn show_opened(&mut self) -> Result<()> {
        let Some(info) = self.conversation.info() else { return Ok(()) };
        let title = info.title.clone().unwrap_or_else(|| info.chat_id.clone());
        let messages = wait::response(self.conversation.history(), self.terminal).await?;
        for message in messages.iter().filter(|message| message.in_reply_to.is_none()) {
            self.prompt.remember(&message.content);
        }
        self.terminal.line(self.terminal.paint(Colour::Bold, view::printable(&title)));
        if !messages.is_empty() {
            self.terminal.line(view::history(&messages, self.terminal));
        }
        Ok(())
    }

    /// Shows an answer while it streams. The first Ctrl-C ends it, the second all.
    async fn show(&mut self, mut answer: Answer) -> Result<Option<Ending>> {
        let mut is_cancelled = false;
        let mut is_at_line_start = true;
        let outcome = loop {
            let part = tokio::select! {
                part = answer.next() => part,
                update = next_update(self.conversation) => {
                    if let Some(note) = view::note(&update) {
                        end_line(&mut is_at_line_start);
                        self.terminal.warning(note);
                    } else {
                        self.follow_elsewhere(update);
                    }
                    continue;
                }
                _ = ctrl_c() => {
                    if is_cancelled {
                        end_line(&mut is_at_line_start);
                        return Ok(Some(Ending::Interrupted));
                    }
                    answer.cancel();
                    is_cancelled = true;
                    continue;
                }
            };
            match part {
                Ok(Some(part)) => {
                    let part = view::printable(&part);
                    print(&part);
                    is_at_line_start = part.ends_with('\n');
                }
                Ok(None) => break answer.ended().await,
                Err(error) => break Err(error),
            }
        };
        end_line(&mut is_at_line_start);
        match outcome {
            Ok(end) => self.terminal.line(self.terminal.paint(Colour::Dim, view::summary(&end))),
            Err(error) => self.terminal.failure(explain(&error.into())),
        }
        Ok(None)
    }

    /// Shows what happens while the person is at the prompt.
    fn on_update(&mut self, update: Update) {
        match view::note(&update) {
            Some(note) => {
                let mark = self.terminal.paint(Colour::Yellow, "!");
                self.prompt.print_above(&format!("{mark} {note}"), self.terminal);
            }
            None => self.follow_elsewhere(update),
        }
    }

    /// Shows messages and answers of another window once they are whole.
    fn follow_elsewhere(&self, update: Update) {
        let elsewhere = self.elsewhere.clone();
        let note = self.terminal.paint(Colour::Dim, "(from another window)");
        match update {
            Update::Message(message) => {
                let prompt = view::prompt(self.terminal);
                let _ = elsewhere.send(format!("{prompt}{} {note}", view::printable(&message.content)));
            }
            Update::Answer(answer) => {
                tokio::spawn(async move {
                    let text = match answer.ended().await {
                        Ok(end) => end.text,
                        // The person has left the chat.
                        Err(error) if *error.code() == Code::Closed => return,
                        Err(error) => format!("{} {error}", answer.text()),
                    };
                    let _ = elsewhere.send(format!("{} {note}", view::printable(&text)));
                });
            }
            _ => {}
        }
    }
}

fn print(text: &str) {
    let mut stdout = stdout().lock();
    // As everywhere, what cannot be printed is left out.
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

fn end_line(is_at_line_start: &mut bool) {
    if !*is_at_line_start {
        print("\n");
        *is_at_line_start = true;
    }
}
