//! Keys of the chats table.
//!
//! A chat's profile and state sort above its messages, and everything else of a chat sorts below them. So one descending
//! query reads both and the newest messages, and `sk < "~"` is everything except these two.

use super::{
    item::{Item, text_of},
    table::Key,
};
use crate::domain::id::{ChatId, ClientMessageId, IdempotencyKey, MessageId, TenantId, UserId};

/// What changes seldom: owner, title, metadata, configuration.
pub(super) const PROFILE: &str = "~profile";
/// What changes with every message: counter, last activity, running generations.
pub(super) const STATE: &str = "~state";
/// The first sort key above all messages.
pub(super) const ABOVE_MESSAGES: &str = "~";
/// The first sort key of the messages.
pub(super) const FIRST_MESSAGE: &str = "message#";

const USER: &str = "~user";
const RESPONSE: &str = "~response";

pub(super) fn chat_pk(tenant: &TenantId, chat: &ChatId) -> String {
    format!("{tenant}#{chat}")
}

pub(super) fn chat_key(tenant: &TenantId, chat: &ChatId, sk: &str) -> Key {
    Key::new(chat_pk(tenant, chat), sk)
}

pub(super) fn state_key(tenant: &TenantId, chat: &ChatId) -> Key {
    chat_key(tenant, chat, STATE)
}

/// A message in its place. Ten digits sort as the numbers do.
pub(super) fn message_sk(seq: u32) -> String {
    format!("{FIRST_MESSAGE}{seq:010}")
}

/// Which message a client's id stands for.
pub(super) fn client_message_sk(id: &ClientMessageId) -> String {
    format!("client_message#{id}")
}

/// A regenerated message until it takes the place of the old one.
pub(super) fn draft_sk(message: &MessageId) -> String {
    format!("draft#{message}")
}

/// What the chunks of a message begin with.
pub(super) fn chunk_prefix(message: &MessageId) -> String {
    format!("chunk#{message}#")
}

pub(super) fn chunk_sk(message: &MessageId, number: u32) -> String {
    format!("{}{number:05}", chunk_prefix(message))
}

pub(super) fn user_key(tenant: &TenantId, user: &UserId) -> Key {
    Key::new(format!("{tenant}#user#{user}"), USER)
}

pub(super) fn idempotency_key(tenant: &TenantId, key: &IdempotencyKey) -> Key {
    Key::new(format!("{tenant}#idempotency#{key}"), RESPONSE)
}

/// The partition of the index `by_owner`: the chats of one user.
pub(super) fn owner(tenant: &TenantId, user: &UserId) -> String {
    format!("{tenant}#{user}")
}

/// What an item of the chats table belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Aggregate {
    Chat(ChatId),
    User(UserId),
    IdempotencyRecord,
}

/// What an item belongs to; `None` for an item of another tenant, or of an unknown kind.
pub(super) fn aggregate_of(tenant: &TenantId, item: &Item) -> Option<Aggregate> {
    let rest = text_of(item, "pk")?.strip_prefix(tenant.as_str())?.strip_prefix('#')?;
    if let Some(user) = rest.strip_prefix("user#") {
        return UserId::parse(user).map(Aggregate::User);
    }
    if rest.starts_with("idempotency#") {
        return Some(Aggregate::IdempotencyRecord);
    }
    ChatId::parse(rest).map(Aggregate::Chat)
}

/// The chat of an item; `None` when the item belongs to something else.
pub(super) fn chat_of(tenant: &TenantId, item: &Item) -> Option<ChatId> {
    match aggregate_of(tenant, item)? {
        Aggregate::Chat(chat) => Some(chat),
        Aggregate::User(_) | Aggregate::IdempotencyRecord => None,
    }
}

/// The tenant and the chat of an item of any tenant.
pub(super) fn tenant_and_chat_of(item: &Item) -> Option<(TenantId, ChatId)> {
    let (tenant, chat) = text_of(item, "pk")?.split_once('#')?;
    Some((TenantId::from_row(tenant)?, ChatId::parse(chat)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(key: Key) -> Item {
        let mut item = Item::new();
        key.add_to(&mut item);
        item
    }

    #[test]
    fn items_are_recognized_by_their_keys_and_only_for_their_tenant() {
        let (tenant, other, chat) = (TenantId::generate(), TenantId::generate(), ChatId::generate());
        let user = UserId::parse("idempotency").expect("a user");
        let key = IdempotencyKey::parse("user#x").expect("a key");
        let of_chat = item(state_key(&tenant, &chat));
        assert_eq!(aggregate_of(&tenant, &of_chat), Some(Aggregate::Chat(chat.clone())));
        assert_eq!(aggregate_of(&other, &of_chat), None);
        assert_eq!(tenant_and_chat_of(&of_chat), Some((tenant.clone(), chat)));
        assert_eq!(aggregate_of(&tenant, &item(user_key(&tenant, &user))), Some(Aggregate::User(user)));
        let record = aggregate_of(&tenant, &item(idempotency_key(&tenant, &key)));
        assert_eq!(record, Some(Aggregate::IdempotencyRecord));
    }

    #[test]
    fn profile_and_state_sort_above_messages_and_all_else_below() {
        let message = MessageId::at(7);
        let client_id = ClientMessageId::parse("~~~").expect("an id");
        for below in [draft_sk(&message), chunk_sk(&message, 0), client_message_sk(&client_id)] {
            assert!(below.as_str() < FIRST_MESSAGE, "{below}");
        }
        assert!(message_sk(9) < message_sk(10) && message_sk(u32::MAX).as_str() < ABOVE_MESSAGES);
        assert!(PROFILE >= ABOVE_MESSAGES && STATE >= ABOVE_MESSAGES);
    }
}
