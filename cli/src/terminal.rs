//! Everything that this program prints.
//!
//! Lines for people go to stdout, or to stderr when stdout carries JSON for a program. Failed writes are ignored: the
//! stack continues when its reader has gone away.

use std::{
    borrow::Cow,
    fmt::Display,
    io::{self, Write},
    sync::Arc,
    time::{Duration, Instant},
};

use console::{Style, Term};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::Value;

/// A colour, by its meaning.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Colour {
    /// Success.
    Green,
    /// A warning.
    Yellow,
    /// A failure.
    Red,
    /// Details.
    Dim,
    /// What the reader looks for.
    Bold,
}

impl Colour {
    fn style(self) -> Style {
        match self {
            Self::Green => Style::new().green(),
            Self::Yellow => Style::new().yellow(),
            Self::Red => Style::new().red(),
            Self::Dim => Style::new().dim(),
            Self::Bold => Style::new().bold(),
        }
    }
}

/// The terminal that this program prints to. Clones print to the same one.
#[derive(Debug, Clone)]
pub(crate) struct Terminal(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Where people read: stdout, or stderr beside JSON.
    term: Term,
    progress: MultiProgress,
    is_json: bool,
    is_interactive: bool,
    is_coloured: bool,
}

impl Terminal {
    /// With `is_json`, stdout is reserved for [`Terminal::event`].
    pub(crate) fn new(is_json: bool) -> Self {
        let (term, target) = if is_json {
            (Term::stderr(), ProgressDrawTarget::stderr())
        } else {
            (Term::stdout(), ProgressDrawTarget::stdout())
        };
        Self(Arc::new(Inner {
            is_json,
            is_interactive: term.is_term() && !console::is_dumb(),
            is_coloured: term.features().colors_supported(),
            progress: MultiProgress::with_draw_target(target),
            term,
        }))
    }

    /// A terminal without colours and progress, for tests that compare text.
    #[cfg(test)]
    pub(crate) fn plain() -> Self {
        Self(Arc::new(Inner {
            term: Term::stdout(),
            progress: MultiProgress::with_draw_target(ProgressDrawTarget::hidden()),
            is_json: false,
            is_interactive: false,
            is_coloured: false,
        }))
    }

    /// Whether a program reads stdout.
    pub(crate) fn is_json(&self) -> bool {
        self.0.is_json
    }

    /// Whether the terminal shows colours.
    pub(crate) fn is_coloured(&self) -> bool {
        self.0.is_coloured
    }

    /// The text in a colour, if the terminal shows colours.
    pub(crate) fn paint(&self, colour: Colour, text: impl Display) -> String {
        colour.style().apply_to(text).force_styling(self.0.is_coloured).to_string()
    }

    /// Prints one or several lines for people.
    pub(crate) fn line(&self, text: impl Display) {
        let _ = self.0.progress.suspend(|| self.0.term.write_line(&text.to_string()));
    }

    /// Prints what succeeded.
    pub(crate) fn success(&self, text: impl Display) {
        self.line(format_args!("{} {text}", self.paint(Colour::Green, "✓")));
    }

    /// Prints what needs attention.
    pub(crate) fn warning(&self, text: impl Display) {
        self.line(format_args!("{} {text}", self.paint(Colour::Yellow, "!")));
    }

    /// Prints why the program fails, always on stderr.
    pub(crate) fn failure(&self, text: impl Display) {
        let line = format!("{} {text}", self.paint(Colour::Red, "✗"));
        let _ = self.0.progress.suspend(|| Term::stderr().write_line(&line));
    }

    /// Prints one line of JSON on stdout, if a program reads it.
    pub(crate) fn event(&self, event: &Value) {
        if self.0.is_json {
            let _ = Term::stdout().write_line(&event.to_string());
        }
    }

    /// Where a document is written that the user asked for.
    pub(crate) fn stdout(&self) -> impl Write {
        io::stdout().lock()
    }

    /// Asks a question and waits for a line.
    pub(crate) fn ask(&self, question: &str) -> io::Result<String> {
        self.0.term.write_str(question)?;
        let mut line = String::new();
        io::stdin().read_line(&mut line)?;
        Ok(line.trim().to_owned())
    }

    /// Starts a step, with a spinner on an interactive terminal.
    pub(crate) fn step(&self, label: impl Into<Cow<'static, str>>) -> Step {
        let label = label.into();
        let bar = self.0.is_interactive.then(|| {
            let style = ProgressStyle::with_template("{spinner:.cyan} {prefix} {msg:.dim} {elapsed:.dim}")
                .unwrap_or_else(|_| ProgressStyle::default_spinner());
            let bar = self.0.progress.add(ProgressBar::new_spinner().with_style(style));
            bar.set_prefix(label.clone());
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        Step { terminal: self.clone(), bar, label }
    }
}

/// The text without terminal escape sequences.
pub(crate) fn without_colours(text: &str) -> Cow<'_, str> {
    console::strip_ansi_codes(text)
}

/// A running step. Dropped before [`Step::done`], it leaves no line.
#[derive(Debug)]
pub(crate) struct Step {
    terminal: Terminal,
    bar: Option<ProgressBar>,
    label: Cow<'static, str>,
}

impl Step {
    /// Prints the label where there is no spinner, for a step that may take minutes.
    pub(crate) fn announce(&self) {
        if self.bar.is_none() {
            self.terminal.line(format_args!("… {}", self.label));
        }
    }

    /// Shows the progress beside the spinner.
    pub(crate) fn progress(&self, text: String) {
        if let Some(bar) = &self.bar {
            bar.set_message(text);
        }
    }

    /// Ends the step with success.
    pub(crate) fn done(self, text: impl Display) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        self.terminal.success(text);
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
            self.terminal.0.progress.remove(bar);
        }
    }
}

/// A step that shows its progress only if it takes longer than two seconds.
#[derive(Debug)]
pub(crate) struct SlowStep {
    step: Step,
    started: Instant,
    announced: bool,
}

impl SlowStep {
    const QUIET: Duration = Duration::from_secs(2);

    pub(crate) fn new(terminal: &Terminal, label: &'static str) -> Self {
        Self { step: terminal.step(label), started: Instant::now(), announced: false }
    }

    /// Shows the progress, once the step is slow.
    pub(crate) fn progress(&mut self, text: String) {
        if self.started.elapsed() < Self::QUIET {
            return;
        }
        if !self.announced {
            self.step.announce();
            self.announced = true;
        }
        self.step.progress(text);
    }

    /// Ends the step with success.
    pub(crate) fn done(self, text: impl Display) {
        self.step.done(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_stripped() {
        assert_eq!(without_colours("\u{1b}[1m\u{1b}[31merror\u{1b}[0m: é\n"), "error: é\n");
        assert_eq!(without_colours("plain"), "plain");
    }
}
