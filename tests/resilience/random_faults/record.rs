//! What responses and events said.

use std::{
    collections::BTreeMap,
    fmt::{Display, Formatter, Result},
};

use serde_json::Value;

/// Everything that a client received.
#[derive(Debug, Default)]
pub(super) struct Record {
    pub(super) chats: Vec<Chat>,
    /// The ids of requests that failed.
    pub(super) failed: Vec<String>,
    pub(super) counts: Counts,
}

/// One chat.
#[derive(Debug, Default)]
pub(super) struct Chat {
    pub(super) id: String,
    pub(super) user: String,
    pub(super) title: Option<String>,
    pub(super) deleted: bool,
    /// The `message_received` of each message, by `client_message_id`.
    pub(super) received: BTreeMap<String, Value>,
    /// The `message_stream_ended` of each answer, by message id.
    pub(super) ended: BTreeMap<String, Value>,
}

/// How often each thing happened.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) responses: usize,
    pub(super) unavailable: usize,
    pub(super) handshakes: usize,
    pub(super) refused_handshakes: usize,
    pub(super) without_first_event: usize,
    pub(super) sent: usize,
    pub(super) received: usize,
    pub(super) resumes: usize,
    pub(super) cancels: usize,
    pub(super) ended: usize,
    pub(super) missed_ends: usize,
}

impl Record {
    pub(super) fn join(mut self, other: Self) -> Self {
        self.chats.extend(other.chats);
        self.failed.extend(other.failed);
        self.counts = self.counts.plus(&other.counts);
        self
    }
}

impl Counts {
    fn plus(self, other: &Self) -> Self {
        Self {
            responses: self.responses + other.responses,
            unavailable: self.unavailable + other.unavailable,
            handshakes: self.handshakes + other.handshakes,
            refused_handshakes: self.refused_handshakes + other.refused_handshakes,
            without_first_event: self.without_first_event + other.without_first_event,
            sent: self.sent + other.sent,
            received: self.received + other.received,
            resumes: self.resumes + other.resumes,
            cancels: self.cancels + other.cancels,
            ended: self.ended + other.ended,
            missed_ends: self.missed_ends + other.missed_ends,
        }
    }
}

impl Display for Counts {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(
            f,
            "{} REST responses, {} of them UNAVAILABLE; {} handshakes, {} refused, {} without a first event; {} messages \
             sent, {} acknowledged, {} cancels, {} resumes, {} ends received, {} missed",
            self.responses,
            self.unavailable,
            self.handshakes,
            self.refused_handshakes,
            self.without_first_event,
            self.sent,
            self.received,
            self.cancels,
            self.resumes,
            self.ended,
            self.missed_ends
        )
    }
}
