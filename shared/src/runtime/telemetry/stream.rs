//! The line of a stream, `streamed`.

use std::{
    future::Future,
    sync::{Arc, Mutex, PoisonError},
};

use super::{
    activity::{Activity, current},
    line::Line,
};
use crate::domain::{error::Code, id::TenantId, message::FinishReason};

/// How a stream ended, as operators tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamEnd {
    /// As it should, or because someone cancelled it, or because it failed.
    FinishResult(FinishReason),
    /// Someone else has it now, or its end could not be stored.
    Lost,
    /// Its process died, and it was ended by whoever came across it.
    Interrupted,
    /// It was dropped where it stood: the function's time was over, or it panicked.
    Cut,
}

impl StreamEnd {
    fn as_str(self) -> &'static str {
        match self {
            Self::FinishResult(FinishReason::Stop) => "stop",
            Self::FinishResult(FinishReason::Length) => "length",
            Self::FinishResult(FinishReason::Cancelled) => "cancelled",
            Self::FinishResult(FinishReason::Error) => "error",
            Self::Lost => "lost",
            Self::Interrupted => "interrupted",
            Self::Cut => "cut",
        }
    }
}

/// What became of a stream.
#[derive(Clone, Copy, Debug)]
pub struct Streamed {
    /// Why it is over.
    pub end: StreamEnd,
    /// What went wrong, if something did.
    pub code: Option<Code>,
    /// From the message to the first token.
    pub first_token_ms: Option<u64>,
    /// From the message to the end.
    pub total_ms: Option<u64>,
    /// How long the answer is, in the model's tokens, if that is known.
    pub tokens: u64,
}

impl Default for Streamed {
    /// What is known of one that was cut.
    fn default() -> Self {
        Self { end: StreamEnd::Cut, code: None, first_token_ms: None, total_ms: None, tokens: 0 }
    }
}

impl Streamed {
    /// Runs a stream as an activity of its own; `stream` says into what it is given how it ended. Its line is written
    /// also when it is cut.
    pub fn log_when_done<F, S>(tenant: &TenantId, stream: S) -> impl Future<Output = ()> + use<F, S>
    where
        S: FnOnce(StreamLine) -> F,
        F: Future<Output = ()>,
    {
        let activity = match current() {
            Some(request) => request.after(),
            None => Activity::new(String::new(), None),
        };
        activity.note_tenant(tenant);
        let line = StreamLine::default();
        let tell = Tell(line.clone(), activity.clone());
        let streaming = activity.scope(stream(line));
        async move {
            let _tell = tell;
            streaming.await;
        }
    }

    fn line(&self, activity: &Activity) -> Line {
        let line = activity
            .name(Line::new("streamed"))
            .with("end", self.end.as_str())
            .with_some("error.code", self.code.map(Code::as_str))
            .with_some("first_token_ms", self.first_token_ms)
            .with_some("total_ms", self.total_ms)
            .with_any("tokens", self.tokens)
            .with("duration_ms", activity.elapsed_ms());
        activity.bill(line).with("streams", 1).with_any("errors", self.code.is_some().into())
    }
}

/// Where a stream says how it ended, before its line is written.
#[derive(Clone, Debug, Default)]
pub struct StreamLine(Arc<Mutex<Streamed>>);

impl StreamLine {
    /// Says it.
    pub fn say(&self, streamed: Streamed) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = streamed;
    }
}

/// Writes the line when the stream is over, or dropped.
struct Tell(StreamLine, Arc<Activity>);

impl Drop for Tell {
    fn drop(&mut self) {
        let Self(line, activity) = self;
        line.0.lock().unwrap_or_else(PoisonError::into_inner).line(activity).write();
    }
}

/// The line of a stream whose process died. Whoever stores that it is over writes it, and so it is written once.
pub fn interrupted(tenant: &TenantId) {
    let activity = current().map_or_else(|| Activity::new(String::new(), None), |finder| finder.after());
    activity.note_tenant(tenant);
    Streamed { end: StreamEnd::Interrupted, ..Streamed::default() }.line(&activity).write();
}
