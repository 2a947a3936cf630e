//! What clients were told.

use std::{
    collections::BTreeMap,
    fmt::{Display, Formatter, Result},
};

use serde_json::Value;

/// All that a client was told in a storm.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) chats: Vec<Chat>,
    /// The ids of requests that were refused.
    pub(super) refused: Vec<String>,
    pub(super) counts: Counts,
}

/// One chat.
#[derive(Debug, Default)]
pub(super) struct Chat {
    pub(super) id: String,
    pub(super) user: String,
    pub(super) title: Option<String>,
    pub(super) deleted: bool,
    /// The `message_received` of each message, by its client's id.
    pub(super) received: BTreeMap<String, Value>,
    /// The `message_stream_ended` of each answer, by its id.
    pub(super) ended: BTreeMap<String, Value>,
}

/// How often what happened.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) answers: usize,
    pub(super) unavailable: usize,
    pub(super) handshakes: usize,
    pub(super) refused_handshakes: usize,
    pub(super) ungreeted: usize,
    pub(super) sent: usize,
    pub(super) received: usize,
    pub(super) resumes: usize,
    pub(super) cancels: usize,
    pub(super) ended: usize,
    pub(super) unheard_ends: usize,
}

impl Ledger {
    pub(super) fn join(mut self, other: Self) -> Self {
        self.chats.extend(other.chats);
        self.refused.extend(other.refused);
        self.counts = self.counts.plus(&other.counts);
        self
    }
}

impl Counts {
    fn plus(self, other: &Self) -> Self {
        Self {
            answers: self.answers + other.answers,
            unavailable: self.unavailable + other.unavailable,
            handshakes: self.handshakes + other.handshakes,
            refused_handshakes: self.refused_handshakes + other.refused_handshakes,
            ungreeted: self.ungreeted + other.ungreeted,
            sent: self.sent + other.sent,
            received: self.received + other.received,
            resumes: self.resumes + other.resumes,
            cancels: self.cancels + other.cancels,
            ended: self.ended + other.ended,
            unheard_ends: self.unheard_ends + other.unheard_ends,
        }
    }
}

impl Display for Counts {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(
            f,
            "{} answers over REST, {} of them UNAVAILABLE; {} handshakes, {} refused, {} never greeted; {} messages sent, \
             {} received, {} cancels, {} resumes, {} ends heard, {} not",
            self.answers,
            self.unavailable,
            self.handshakes,
            self.refused_handshakes,
            self.ungreeted,
            self.sent,
            self.received,
            self.cancels,
            self.resumes,
            self.ended,
            self.unheard_ends
        )
    }
}
