//! The text of an answer as it grows, watched by one writer a socket.

use std::sync::Arc;

use tokio::sync::watch;

use crate::{
    domain::{
        error::ApiError,
        message::{FinishReason, Usage},
    },
    websocket::Timing,
};

/// The growing end of a feed.
#[derive(Debug)]
pub(super) struct TextBuffer {
    progress: watch::Sender<Progress>,
}

/// How far an answer has come.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// All text so far.
    pub(super) text: String,
    /// Set once, when nothing more will come.
    pub(super) over: Option<BufferEnd>,
}

/// Why nothing more comes.
#[derive(Clone, Debug)]
pub(super) enum BufferEnd {
    /// The answer has ended.
    Ended(Arc<End>),
    /// Someone else has the answer now, and tells the sockets of it.
    Lost,
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

impl TextBuffer {
    pub(super) fn new() -> Self {
        Self { progress: watch::Sender::new(Progress::default()) }
    }

    /// The feed of an answer that has ended.
    pub(super) fn ended(text: String, end: End) -> Self {
        let over = Some(BufferEnd::Ended(Arc::new(end)));
        Self { progress: watch::Sender::new(Progress { text, over }) }
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

    /// The text from a place on, which has to be where an earlier reading ended.
    pub(super) fn text_from(&self, place: usize) -> String {
        self.progress.borrow().text[place..].to_owned()
    }

    pub(super) fn end(&self, end: End) {
        self.progress.send_modify(|progress| progress.over = Some(BufferEnd::Ended(Arc::new(end))));
    }

    pub(super) fn has_ended(&self) -> bool {
        matches!(self.progress.borrow().over, Some(BufferEnd::Ended(_)))
    }

    pub(super) fn lose(&self) {
        self.progress.send_modify(|progress| progress.over = Some(BufferEnd::Lost));
    }
}
