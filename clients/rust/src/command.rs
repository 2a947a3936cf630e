//! A message or a regeneration that the server has not answered yet.

use tokio::time::Instant;

use crate::{answer::Tracked, frame::Frame};

/// A frame that asks for an answer, and how far it got.
pub(crate) struct Command {
    pub(crate) frame: Frame,
    pub(crate) answer: Tracked,
    /// When to send it again.
    pub(crate) resend_at: Instant,
    pub(crate) give_up_at: Instant,
    /// Whether it was acknowledged: its answer is missing.
    pub(crate) is_stored: bool,
    /// Whether the server did not store it when it was last sent.
    pub(crate) is_refused: bool,
    /// How often it was sent on this socket.
    pub(crate) sent_here: u32,
    /// How often it was sent at all.
    pub(crate) sent: u32,
}

impl Command {
    pub(crate) fn new(frame: Frame, answer: Tracked) -> Self {
        let now = Instant::now();
        Self {
            frame,
            answer,
            resend_at: now,
            give_up_at: now,
            is_stored: false,
            is_refused: false,
            sent_here: 0,
            sent: 0,
        }
    }

    /// Whether a stream may be its answer, which is not acknowledged.
    pub(crate) fn may_be_answered(&self) -> bool {
        self.is_stored || self.sent > 0 && !self.is_refused
    }

    /// Whether it is the message with this id of the client.
    pub(crate) fn is_message(&self, id: Option<&str>) -> bool {
        matches!(&self.frame, Frame::Message { client_message_id, .. } if id == Some(client_message_id))
    }

    /// The answer that it replaces.
    pub(crate) fn regenerates(&self) -> Option<&str> {
        match &self.frame {
            Frame::Regenerate { message_id } => Some(message_id),
            _ => None,
        }
    }

    pub(crate) fn send_at_once(&mut self) {
        (self.resend_at, self.sent_here) = (Instant::now(), 0);
    }
}
