//! All that this program prints.
//!
//! Lines for people go to stdout, or to stderr when stdout carries JSON for a program. A reader that went away is no
//! reason to stop the stack, so failed writes are dropped.

use std::borrow::Cow;
use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::Value;

/// A colour that means something.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Colour {
    /// What went well.
    Green,
    /// What needs a look.
    Yellow,
    /// What went wrong.
    Red,
    /// What may be skipped by the eye.
    Dim,
    /// What the eye should find.
    Bold,
}

/// Where this program prints. Clones print to the same place.
#[derive(Debug, Clone)]
pub(crate) struct Terminal(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    progress: MultiProgress,
    json: bool,
    interactive: bool,
    coloured: bool,
}

impl Terminal {
    /// With `json`, stdout is kept for [`Terminal::event`].
    pub(crate) fn new(json: bool) -> Self {
        let is_terminal = if json { io::stderr().is_terminal() } else { io::stdout().is_terminal() };
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let target = if json { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::stdout() };
        Self(Arc::new(Inner {
            progress: MultiProgress::with_draw_target(target),
            json,
            interactive: is_terminal && !dumb,
            coloured: is_terminal && !dumb && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
        }))
    }

    /// One that shows no colours and no progress, whatever the tests run on.
    #[cfg(test)]
    pub(crate) fn plain() -> Self {
        let progress = MultiProgress::with_draw_target(ProgressDrawTarget::hidden());
        Self(Arc::new(Inner { progress, json: false, interactive: false, coloured: false }))
    }

    /// Whether a program reads stdout.
    pub(crate) fn is_for_programs(&self) -> bool {
        self.0.json
    }

    /// Whether programs that write for this terminal may use colours.
    pub(crate) fn is_coloured(&self) -> bool {
        self.0.coloured
    }

    /// The text in a colour, if this terminal shows colours.
    pub(crate) fn paint(&self, colour: Colour, text: impl Display) -> String {
        if !self.0.coloured {
            return text.to_string();
        }
        let code = match colour {
            Colour::Green => 32,
            Colour::Yellow => 33,
            Colour::Red => 31,
            Colour::Dim => 2,
            Colour::Bold => 1,
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }

    /// Prints a line, or several, for people.
    pub(crate) fn line(&self, text: impl Display) {
        self.0.progress.suspend(|| {
            let _ = if self.0.json { writeln!(io::stderr(), "{text}") } else { writeln!(io::stdout(), "{text}") };
        });
    }

    /// Prints what needs a look.
    pub(crate) fn warning(&self, text: impl Display) {
        self.line(format_args!("{} {text}", self.paint(Colour::Yellow, "!")));
    }

    /// Prints why the program ends, on stderr, and for a program that reads events.
    pub(crate) fn error(&self, text: impl Display) {
        self.refusal(&text);
        self.event(&serde_json::json!({"event": "failed", "message": text.to_string()}));
    }

    /// Prints why the program ends, on stderr alone.
    pub(crate) fn refusal(&self, text: impl Display) {
        let mark = self.paint(Colour::Red, "✗");
        self.0.progress.suspend(|| {
            let _ = writeln!(io::stderr(), "{mark} {text}");
        });
    }

    /// Prints a line for a program, if one reads.
    pub(crate) fn event(&self, event: &Value) {
        if self.0.json {
            let mut stdout = io::stdout().lock();
            let _ = writeln!(stdout, "{event}").and_then(|()| stdout.flush());
        }
    }

    /// Where documents go that were asked for.
    pub(crate) fn stdout(&self) -> impl Write {
        io::stdout().lock()
    }

    /// Asks a person, and waits for a line.
    pub(crate) fn ask(&self, question: &str) -> io::Result<String> {
        let mut stdout = io::stdout().lock();
        write!(stdout, "{question}").and_then(|()| stdout.flush())?;
        let mut line = String::new();
        io::stdin().read_line(&mut line)?;
        Ok(line.trim().to_owned())
    }

    /// Begins a step, to be shown while it takes its time.
    pub(crate) fn step(&self, label: impl Into<Cow<'static, str>>) -> Step {
        let label = label.into();
        let bar = self.0.interactive.then(|| {
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

/// A step that has begun. Dropped before its end, it leaves no line.
#[derive(Debug)]
pub(crate) struct Step {
    terminal: Terminal,
    bar: Option<ProgressBar>,
    label: Cow<'static, str>,
}

impl Step {
    /// Says that this step may take minutes, to a reader who sees no spinner.
    pub(crate) fn announce(&self) {
        if self.bar.is_none() {
            self.terminal.line(format_args!("… {}", self.label));
        }
    }

    /// Shows how far the step is.
    pub(crate) fn progress(&self, text: String) {
        if let Some(bar) = &self.bar {
            bar.set_message(text);
        }
    }

    /// Ends the step well.
    pub(crate) fn done(self, text: impl Display) {
        let mark = self.terminal.paint(Colour::Green, "✓");
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        self.terminal.line(format_args!("{mark} {text}"));
    }
}

/// A step of which it is told how far it is, once it takes longer than one likes to wait in silence.
#[derive(Debug)]
pub(crate) struct Progress {
    step: Step,
    begun: Instant,
    announced: bool,
}

impl Progress {
    const SILENCE: Duration = Duration::from_secs(2);

    /// Begins such a step.
    pub(crate) fn new(terminal: &Terminal, label: &'static str) -> Self {
        Self { step: terminal.step(label), begun: Instant::now(), announced: false }
    }

    /// Tells how far it is.
    pub(crate) fn tell(&mut self, text: String) {
        if self.begun.elapsed() < Self::SILENCE {
            return;
        }
        if !self.announced {
            self.step.announce();
            self.announced = true;
        }
        self.step.progress(text);
    }

    /// Ends the step well.
    pub(crate) fn done(self, text: impl Display) {
        self.step.done(text);
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
