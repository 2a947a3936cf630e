//! The text of an answer as it grows, watched by one writer a socket.

use std::sync::Arc;

use tokio::sync::watch;

use crate::{
    error::ApiError,
    message::{FinishReason, Usage},
    ws::Timing,
};

/// The growing end of a feed.
#[derive(Debug)]
pub(super) struct Feed {
    progress: watch::Sender<Progress>,
}

/// How far an answer has come.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// All text so far.
    pub(super) text: String,
    /// Set once, when nothing more will come.
    pub(super) end: Option<Arc<End>>,
}

/// How an answer ended, as its sockets are told.
#[derive(Debug)]
pub(super) struct End {
    /// What went wrong, if something did.
    pub(super) error: Option<ApiError>,
    /// Why it is over.
    pub(super) finish_reason: FinishReason,
    /// What it cost.
    pub(super) usage: Usage,
    /// How long it took.
    pub(super) timing: Timing,
}

impl Feed {
    pub(super) fn new() -> Self {
        Self { progress: watch::Sender::new(Progress::default()) }
    }

    /// Another reader, from the beginning.
    pub(super) fn subscribe(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    pub(super) fn push(&self, text: &str) {
        self.progress.send_modify(|progress| progress.text.push_str(text));
    }

    pub(super) fn len(&self) -> usize {
        self.progress.borrow().text.len()
    }

    pub(super) fn text(&self) -> String {
        self.progress.borrow().text.clone()
    }

    pub(super) fn end(&self, end: End) {
        self.progress.send_modify(|progress| progress.end = Some(Arc::new(end)));
    }
}
