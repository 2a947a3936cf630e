//! The log line of a generation.

use std::{
    future::Future,
    sync::{Arc, Mutex, PoisonError},
};

use super::{
    activity::{Activity, current},
    line::Line,
};
use crate::domain::{
    error::Code,
    id::TenantId,
    message::{FinishReason, Usage},
};

/// How a generation ended, for operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GenerationResult {
    /// It finished for this reason and is stored.
    Finished(FinishReason),
    /// Its owner lost the lease, or could not store the end.
    LeaseLost,
    /// Its owner died; another invocation took it over.
    Interrupted,
    /// It was dropped: the function reached its deadline, or it panicked.
    Aborted,
}

impl GenerationResult {
    fn as_str(self) -> &'static str {
        match self {
            Self::Finished(FinishReason::Stop) => "stop",
            Self::Finished(FinishReason::Length) => "length",
            Self::Finished(FinishReason::Cancelled) => "cancelled",
            Self::Finished(FinishReason::Error) => "error",
            Self::LeaseLost => "lease_lost",
            Self::Interrupted => "interrupted",
            Self::Aborted => "aborted",
        }
    }
}

/// The result of a generation.
#[derive(Clone, Copy, Debug)]
pub struct GenerationSummary {
    /// How it ended.
    pub end: GenerationResult,
    /// The error code of a failed generation.
    pub code: Option<Code>,
    /// Milliseconds from the user message to the first token.
    pub first_token_ms: Option<u64>,
    /// Milliseconds from the user message to the end.
    pub total_ms: Option<u64>,
    /// The tokens, reported by the model or estimated.
    pub usage: Usage,
}

impl Default for GenerationSummary {
    /// The result of an aborted generation.
    fn default() -> Self {
        Self {
            end: GenerationResult::Aborted,
            code: None,
            first_token_ms: None,
            total_ms: None,
            usage: Usage::default(),
        }
    }
}

impl GenerationSummary {
    /// Runs a generation as an activity of its own and writes its log line, also when it is aborted. `stream` puts its
    /// result into the [`GenerationLine`].
    pub fn log_when_done<F, S>(tenant: &TenantId, stream: S) -> impl Future<Output = ()> + use<F, S>
    where
        S: FnOnce(GenerationLine) -> F,
        F: Future<Output = ()>,
    {
        let activity = match current() {
            Some(request) => request.background(),
            None => Activity::new(String::new(), None),
        };
        activity.note_tenant(tenant);
        let line = GenerationLine::default();
        let log = LogOnDrop(line.clone(), activity.clone());
        let streaming = activity.scope(stream(line));
        async move {
            let _log = log;
            streaming.await;
        }
    }

    fn line(&self, activity: &Activity) -> Line {
        let line = activity
            .add_ids(Line::new("generation ended"))
            .with("outcome", self.end.as_str())
            .with_some("error.code", self.code.map(Code::as_str))
            .with_some("first_token_ms", self.first_token_ms)
            .with_some("total_ms", self.total_ms)
            .with_nonzero("input_tokens", self.usage.input_tokens.into())
            .with_nonzero("output_tokens", self.usage.output_tokens.into())
            .with("duration_ms", activity.elapsed_ms());
        activity.add_usage(line).with("generations", 1).with_nonzero("errors", self.code.is_some().into())
    }
}

/// The place for the result of a running generation.
#[derive(Clone, Debug, Default)]
pub struct GenerationLine(Arc<Mutex<GenerationSummary>>);

impl GenerationLine {
    /// Sets the result.
    pub fn set(&self, streamed: GenerationSummary) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = streamed;
    }
}

/// Writes the line when the generation ends or is dropped.
struct LogOnDrop(GenerationLine, Arc<Activity>);

impl Drop for LogOnDrop {
    fn drop(&mut self) {
        let Self(line, activity) = self;
        line.0.lock().unwrap_or_else(PoisonError::into_inner).line(activity).write();
    }
}

/// Writes the line of a generation that was taken over. Only the invocation that stored its end calls this, so the line is
/// written once.
pub fn interrupted(tenant: &TenantId, usage: Usage) {
    let activity = current().map_or_else(|| Activity::new(String::new(), None), |finder| finder.background());
    activity.note_tenant(tenant);
    GenerationSummary { end: GenerationResult::Interrupted, usage, ..GenerationSummary::default() }
        .line(&activity)
        .write();
}
