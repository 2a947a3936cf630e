//! Messages as they are stored.

use serde::{Deserialize, Serialize};

use super::lease::LeaseRecord;
use crate::{
    domain::{
        generation::{FinishedGeneration, GenerationRequest},
        id::{ChatId, ClientMessageId, MessageId},
        message::{FinishReason, Message, Role, Status, Usage},
        time::Timestamp,
    },
    storage::keys::{draft_sk, message_sk},
};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::storage) struct MessageRecord {
    pub(in crate::storage) message_id: MessageId,
    pub(in crate::storage) role: Role,
    pub(in crate::storage) content: String,
    pub(in crate::storage) status: Status,
    pub(in crate::storage) seq: u32,
    pub(in crate::storage) created_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::storage) completed_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::storage) in_reply_to: Option<MessageId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::storage) finish_reason: Option<FinishReason>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::storage) usage: Option<Usage>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::storage) client_message_id: Option<ClientMessageId>,
    /// The model of an assistant message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::storage) model: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::storage) first_token_ms: Option<u64>,
    /// The assistant message that a draft is to replace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::storage) replaces: Option<MessageId>,
    /// The lease of a generation that runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::storage) lease: Option<LeaseRecord>,
}

/// A message of a user to append to a chat.
#[derive(Clone, Copy, Debug, Default)]
pub struct NewMessage<'a> {
    /// The text.
    pub content: &'a str,
    /// The client's id of the message.
    pub client_id: Option<&'a ClientMessageId>,
    /// The generation that is going to answer.
    pub generation: GenerationRequest<'a>,
}

impl MessageRecord {
    /// A user's message.
    pub(in crate::storage) fn of_user(seq: u32, new: NewMessage<'_>, now: Timestamp) -> Self {
        Self {
            content: new.content.to_owned(),
            client_message_id: new.client_id.cloned(),
            ..Self::blank(Role::User, Status::Complete, seq, now)
        }
    }

    /// The assistant message that answers a message, with a lease and no text yet.
    pub(in crate::storage) fn reply_to(message: &Self, new: NewMessage<'_>, now: Timestamp) -> Self {
        Self {
            in_reply_to: Some(message.message_id.clone()),
            model: Some(new.generation.model.to_owned()),
            lease: Some(LeaseRecord::new(new.generation, now)),
            ..Self::blank(Role::Assistant, Status::Streaming, message.seq + 1, now)
        }
    }

    /// The draft that is to replace an assistant message, with a lease and no text yet.
    pub(in crate::storage) fn draft_of(old: &Message, request: GenerationRequest<'_>, now: Timestamp) -> Self {
        Self {
            in_reply_to: old.in_reply_to.clone(),
            model: Some(request.model.to_owned()),
            replaces: Some(old.message_id.clone()),
            lease: Some(LeaseRecord::new(request, now)),
            ..Self::blank(Role::Assistant, Status::Streaming, old.seq, now)
        }
    }

    fn blank(role: Role, status: Status, seq: u32, now: Timestamp) -> Self {
        Self {
            message_id: MessageId::at(seq),
            role,
            content: String::new(),
            status,
            seq,
            created_at: now,
            completed_at: None,
            in_reply_to: None,
            finish_reason: None,
            usage: None,
            client_message_id: None,
            model: None,
            first_token_ms: None,
            replaces: None,
            lease: None,
        }
    }

    /// The sort key of the message: in its place, or a draft.
    pub(in crate::storage) fn sk(&self) -> String {
        if self.replaces.is_some() { draft_sk(&self.message_id) } else { message_sk(self.seq) }
    }

    /// The message as the API shows it. A generation whose lease has expired is shown as `interrupted`, as the takeover
    /// will store it.
    pub(in crate::storage) fn into_message(self, chat: &ChatId, now: Timestamp) -> Message {
        let expired = self.lease.filter(|lease| self.status == Status::Streaming && lease.expires_at <= now);
        let (status, finish_reason, completed_at) = match expired {
            Some(lease) => (Status::Interrupted, Some(FinishReason::Error), Some(lease.expires_at)),
            None => (self.status, self.finish_reason, self.completed_at),
        };
        Message {
            message_id: self.message_id,
            chat_id: chat.clone(),
            role: self.role,
            content: self.content,
            status,
            seq: self.seq,
            created_at: self.created_at,
            completed_at,
            in_reply_to: self.in_reply_to,
            finish_reason,
            usage: self.usage,
            client_message_id: self.client_message_id,
        }
    }

    /// The assistant message with what its events show beside it.
    pub(in crate::storage) fn into_finished(self, chat: &ChatId, now: Timestamp) -> FinishedGeneration {
        FinishedGeneration {
            replaces: self.replaces.clone(),
            model: self.model.clone().unwrap_or_default(),
            first_token_ms: self.first_token_ms,
            message: self.into_message(chat, now),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::records::lease::LEASE_DURATION;

    fn now() -> Timestamp {
        Timestamp::from_millis(1_769_851_800_120)
    }

    fn reply() -> MessageRecord {
        let new = NewMessage { content: "Hello", ..NewMessage::default() };
        MessageRecord::reply_to(&MessageRecord::of_user(6, new, now()), new, now())
    }

    #[test]
    fn generation_with_an_expired_lease_is_shown_as_interrupted() {
        let chat = ChatId::generate();
        let expiry = now().plus(LEASE_DURATION);
        let running = reply().into_message(&chat, now());
        assert_eq!((running.status, running.seq, running.completed_at), (Status::Streaming, 7, None));
        let expired = reply().into_message(&chat, expiry);
        assert_eq!((expired.status, expired.completed_at), (Status::Interrupted, Some(expiry)));
        assert_eq!(expired.finish_reason, Some(FinishReason::Error));
    }

    #[test]
    fn draft_lies_beside_the_message_that_it_is_to_replace() {
        let reply = reply();
        let old = reply.clone().into_message(&ChatId::generate(), now());
        let draft = MessageRecord::draft_of(&old, GenerationRequest::default(), now());
        assert_eq!((draft.seq, &draft.in_reply_to), (reply.seq, &reply.in_reply_to));
        assert_eq!(draft.replaces, Some(reply.message_id.clone()));
        assert_eq!(reply.sk(), message_sk(7));
        assert_eq!(draft.sk(), draft_sk(&draft.message_id));
    }
}
