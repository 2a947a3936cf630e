//! The growing text of an assistant message, watched by one writer per socket.

use std::sync::Arc;

use tokio::sync::watch;

use super::end::EndNotice;

/// The growing text. Readers keep their own cursors.
#[derive(Debug)]
pub(super) struct TextBuffer {
    progress: watch::Sender<Progress>,
}

/// The text so far, and whether it has ended.
#[derive(Debug, Default)]
pub(super) struct Progress {
    pub(super) text: String,
    pub(super) end: Option<BufferEnd>,
}

/// Why the text does not grow any more.
#[derive(Clone, Debug)]
pub(super) enum BufferEnd {
    /// The generation has ended and is stored.
    Finished(Arc<EndNotice>),
    /// Another process owns the generation now, and only it may post.
    LeaseLost,
}

impl TextBuffer {
    pub(super) fn new() -> Self {
        Self { progress: watch::Sender::new(Progress::default()) }
    }

    /// The buffer of a generation that has ended.
    pub(super) fn finished(text: String, notice: EndNotice) -> Self {
        let end = Some(BufferEnd::Finished(Arc::new(notice)));
        Self { progress: watch::Sender::new(Progress { text, end }) }
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    pub(super) fn push(&self, text: &str) {
        self.progress.send_modify(|progress| progress.text.push_str(text));
    }

    pub(super) fn len(&self) -> usize {
        self.progress.borrow().text.len()
    }

    /// The text from an offset, which must be where an earlier read ended.
    pub(super) fn text_from(&self, offset: usize) -> String {
        self.progress.borrow().text[offset..].to_owned()
    }

    pub(super) fn finish(&self, notice: EndNotice) {
        self.end(BufferEnd::Finished(Arc::new(notice)));
    }

    pub(super) fn lose_lease(&self) {
        self.end(BufferEnd::LeaseLost);
    }

    pub(super) fn is_finished(&self) -> bool {
        matches!(self.progress.borrow().end, Some(BufferEnd::Finished(_)))
    }

    fn end(&self, end: BufferEnd) {
        self.progress.send_modify(|progress| progress.end = Some(end));
    }
}
