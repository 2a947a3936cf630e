//! Generations that run: the owner's handle, and the record in the chat's state.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    lease::{LEASE_DURATION, LeaseRecord},
    message::MessageRecord,
};
use crate::{
    domain::{
        budget::Reservation,
        generation::ActiveStream,
        id::{ConnectionId, MessageId},
        time::Timestamp,
    },
    storage::keys::{draft_sk, message_sk},
};

/// A generation, and the right to write it.
#[derive(Clone, Debug)]
pub struct Generation {
    /// The assistant message.
    pub message_id: MessageId,
    /// The assistant message's place in the chat.
    pub seq: u32,
    /// The message that is being answered.
    pub in_reply_to: MessageId,
    /// The assistant message that a regeneration replaces once it is complete.
    pub replaces: Option<MessageId>,
    /// The model's name, as events show it.
    pub model: String,
    pub(in crate::storage) lease: LeaseRecord,
}

/// A generation in the chat's state: it has not ended, or its owner died before it removed the record.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunningGeneration {
    pub(in crate::storage) message_id: MessageId,
    seq: u32,
    in_reply_to: MessageId,
    started_at: Timestamp,
    /// The model, and the estimated tokens of the request to it.
    #[serde(default)]
    pub(in crate::storage) model: String,
    #[serde(default)]
    pub(in crate::storage) input_tokens: u32,
    /// The assistant message that a regeneration replaces once it is complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::storage) replaces: Option<MessageId>,
    /// What the generation takes of its tenant's budget.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::storage) reservation: Option<Reservation>,
    /// The connection that asked to cancel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::storage) cancelled_by: Option<ConnectionId>,
    /// Commands to resume, by connection, until the owner acknowledges them.
    pub(in crate::storage) resumes: BTreeMap<String, ResumeCommand>,
}

/// A connection's command to resume a generation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResumeCommand {
    /// The connection.
    pub connection_id: ConnectionId,
    /// How much of the text the connection has, in bytes of UTF-8.
    pub offset: usize,
    /// Tells this command from an earlier one of the same connection.
    pub(in crate::storage) nonce: String,
}

impl Generation {
    /// The generation of a message; `None` when it has ended.
    pub(in crate::storage) fn of(message: &MessageRecord) -> Option<Self> {
        Some(Self {
            message_id: message.message_id.clone(),
            seq: message.seq,
            in_reply_to: message.in_reply_to.clone()?,
            replaces: message.replaces.clone(),
            model: message.model.clone().unwrap_or_default(),
            lease: message.lease.clone()?,
        })
    }

    /// The estimated tokens of the request to the model.
    #[must_use]
    pub fn input_tokens(&self) -> u32 {
        self.lease.input_tokens
    }

    /// The sort key of the message: in its place, or a draft.
    pub(in crate::storage) fn sk(&self) -> String {
        if self.replaces.is_some() { draft_sk(&self.message_id) } else { message_sk(self.seq) }
    }
}

impl RunningGeneration {
    /// The record of a generation that starts.
    pub(in crate::storage) fn of(message: &MessageRecord) -> Self {
        Self {
            message_id: message.message_id.clone(),
            seq: message.seq,
            in_reply_to: message.in_reply_to.clone().expect("an assistant message answers a message"),
            started_at: message.created_at,
            model: message.model.clone().unwrap_or_default(),
            input_tokens: message.lease.as_ref().map_or(0, |lease| lease.input_tokens),
            replaces: message.replaces.clone(),
            reservation: message.lease.as_ref().and_then(|lease| lease.reservation),
            cancelled_by: None,
            resumes: BTreeMap::new(),
        }
    }

    /// The connection that asked to cancel.
    #[must_use]
    pub fn cancelled_by(&self) -> Option<&ConnectionId> {
        self.cancelled_by.as_ref()
    }

    /// The connections with commands to resume that are not acknowledged.
    #[must_use]
    pub fn pending_resumes(&self) -> Vec<ConnectionId> {
        self.resumes.values().map(|resume| resume.connection_id.clone()).collect()
    }

    /// Whether a command to resume is not acknowledged yet.
    #[must_use]
    pub fn is_pending(&self, resume: &ResumeCommand) -> bool {
        self.resumes.get(resume.connection_id.as_str()) == Some(resume)
    }

    /// Whether the lease may have expired: the generation started longer ago than a lease lasts. Only its message says
    /// whether the lease was renewed.
    #[must_use]
    pub fn may_have_expired(&self, now: Timestamp) -> bool {
        self.started_at.plus(LEASE_DURATION) <= now
    }

    /// The generation as `connection_established` lists it.
    pub(in crate::storage) fn to_active_stream(&self) -> ActiveStream {
        ActiveStream {
            message_id: self.message_id.clone(),
            seq: self.seq,
            in_reply_to: self.in_reply_to.clone(),
            replaces: self.replaces.clone(),
        }
    }
}

impl ResumeCommand {
    /// A command to resume from an offset.
    #[must_use]
    pub fn new(connection_id: ConnectionId, offset: usize) -> Self {
        Self { connection_id, offset, nonce: format!("{:016x}", rand::random::<u64>()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::records::message::NewMessage;

    #[test]
    fn only_the_latest_command_of_a_connection_is_pending() {
        let now = Timestamp::from_millis(1_769_851_800_120);
        let new = NewMessage { content: "Hello", ..NewMessage::default() };
        let reply = MessageRecord::reply_to(&MessageRecord::of_user(0, new, now), new, now);
        let mut running = RunningGeneration::of(&reply);
        let connection = ConnectionId::from_gateway("c");
        let (first, second) = (ResumeCommand::new(connection.clone(), 4), ResumeCommand::new(connection.clone(), 4));
        running.resumes.insert(connection.to_string(), first.clone());
        assert!(running.is_pending(&first));
        running.resumes.insert(connection.to_string(), second.clone());
        assert!(!running.is_pending(&first) && running.is_pending(&second));
        assert_eq!(running.pending_resumes(), [connection]);
        assert!(!running.may_have_expired(now) && running.may_have_expired(now.plus(LEASE_DURATION)));
    }
}
