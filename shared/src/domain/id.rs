//! Identifiers, one type each, so that the compiler refuses a chat id where a message id is wanted.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use ulid::Ulid;

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(transparent)]
        $(#[$doc])*
        pub struct $name(String);

        impl $name {
            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id! {
    /// A tenant: `tenant_` and a ULID.
    ///
    /// Only authentication and a stored item that names its tenant can make one. A `TenantId` is thus the proof that the
    /// caller may act for the tenant; every repository call takes one.
    TenantId
}

/// Ids that may be deserialized from anywhere; a [`TenantId`] may not.
macro_rules! readable_id {
    ($name:ident) => {
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer).map(Self)
            }
        }
    };
}

readable_id!(ChatId);
readable_id!(MessageId);
readable_id!(UserId);
readable_id!(ConnectionId);
readable_id!(ClientMessageId);

text_id! {
    /// A chat: `chat_` and a ULID.
    #[cfg_attr(feature = "schema", schemars(extend("pattern" = "^chat_[0-7][0-9A-HJKMNP-TV-Z]{25}$")))]
    ChatId
}

text_id! {
    /// A message: `msg_` and a ULID.
    #[cfg_attr(feature = "schema", schemars(extend("pattern" = "^msg_[0-7][0-9A-HJKMNP-TV-Z]{25}$")))]
    MessageId
}

text_id! {
    /// A user, named by the tenant: 1 to 128 characters of `[A-Za-z0-9._:@-]`.
    #[cfg_attr(feature = "schema", schemars(extend(
        "minLength" = 1, "maxLength" = Self::MAX_CHARS, "pattern" = "^[A-Za-z0-9._:@-]+$"
    )))]
    UserId
}

text_id! {
    /// A WebSocket connection, named by API Gateway.
    ConnectionId
}

text_id! {
    /// The `Idempotency-Key` of a request: 1 to 255 printable ASCII characters.
    #[cfg_attr(feature = "schema", schemars(extend(
        "minLength" = 1, "maxLength" = Self::MAX_CHARS, "pattern" = "^[ -~]+$"
    )))]
    IdempotencyKey
}

text_id! {
    /// A message, named by the client that sends it: 1 to 64 characters.
    #[cfg_attr(feature = "schema", schemars(extend("minLength" = 1, "maxLength" = Self::MAX_CHARS)))]
    ClientMessageId
}

impl IdempotencyKey {
    const MAX_CHARS: usize = 255;

    /// Parses a key; `None` when its length or a character is not allowed.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let allowed =
            (1..=Self::MAX_CHARS).contains(&text.len()) && text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        allowed.then(|| Self(text.to_owned()))
    }
}

impl ClientMessageId {
    const MAX_CHARS: usize = 64;

    /// Parses an id; `None` when its length is not allowed.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        (1..=Self::MAX_CHARS).contains(&text.chars().count()).then(|| Self(text.to_owned()))
    }
}

impl TenantId {
    pub(crate) fn generate() -> Self {
        Self(format!("tenant_{}", Ulid::generate()))
    }

    /// Deserializes the id from a stored item.
    pub(crate) fn deserialize_row<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_row(&String::deserialize(deserializer)?).ok_or_else(|| D::Error::custom("not the id of a tenant"))
    }

    /// Parses the id from a stored key; `None` when it is not `tenant_` and a ULID.
    pub(crate) fn from_row(id: &str) -> Option<Self> {
        let ulid = id.strip_prefix("tenant_")?;
        Ulid::from_string(ulid).is_ok().then(|| Self(id.to_owned()))
    }
}

impl ChatId {
    /// The prefix of every chat id.
    pub(crate) const PREFIX: &str = "chat_";

    /// A new, unique id.
    #[must_use]
    pub fn generate() -> Self {
        Self(format!("{}{}", Self::PREFIX, Ulid::generate()))
    }

    /// Parses an id; `None` when no chat can have it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let ulid = text.strip_prefix(Self::PREFIX)?;
        (Ulid::from_string(ulid).ok()?.to_string() == ulid).then(|| Self(text.to_owned()))
    }
}

impl MessageId {
    /// Of the 80 random bits of a ULID, 32 hold `seq`; 48 stay random.
    const SEQ_BITS: u32 = 32;

    /// A new, unique id.
    #[must_use]
    pub fn generate() -> Self {
        Self(format!("msg_{}", Ulid::generate()))
    }

    /// A new, unique id for the message at position `seq` of its chat. The id holds `seq`, so that a lookup by id needs
    /// no index.
    #[must_use]
    pub fn at(seq: u32) -> Self {
        let drawn = Ulid::generate();
        let random = (drawn.random() >> Self::SEQ_BITS << Self::SEQ_BITS) | u128::from(seq);
        Self(format!("msg_{}", Ulid::from_parts(drawn.timestamp_ms(), random)))
    }

    /// Parses an id; `None` when no message can have it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let ulid = text.strip_prefix("msg_")?;
        (Ulid::from_string(ulid).ok()?.to_string() == ulid).then(|| Self(text.to_owned()))
    }

    /// The position that the id holds, for ids made by [`at`](Self::at).
    #[must_use]
    pub fn seq(&self) -> Option<u32> {
        let ulid = Ulid::from_string(self.0.strip_prefix("msg_")?).ok()?;
        u32::try_from(ulid.random() & u128::from(u32::MAX)).ok()
    }
}

impl UserId {
    const MAX_CHARS: usize = 128;

    /// What is allowed, for error messages.
    pub const ALLOWED: &str = "1 to 128 characters of A-Z a-z 0-9 . _ : @ -";

    /// Parses a user id; `None` when it is not [allowed](Self::ALLOWED).
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._:@-".contains(&byte);
        (1..=Self::MAX_CHARS).contains(&text.len()).then_some(())?;
        text.bytes().all(allowed).then(|| Self(text.to_owned()))
    }
}

impl ConnectionId {
    /// The id of a connection as API Gateway sends it.
    #[must_use]
    pub fn from_gateway(id: impl Into<String>) -> Self {
        Self(id.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_well_formed_chat_ids_are_parsed() {
        let id = ChatId::generate();
        assert_eq!(ChatId::parse(id.as_str()), Some(id.clone()));
        for foreign in ["", "chat_", "chat_x", "msg_01ARZ3NDEKTSV4RRFFQ69G5FAV", "chat_01ARZ3NDEKTSV4RRFFQ69G5FAV#"] {
            assert_eq!(ChatId::parse(foreign), None, "{foreign}");
        }
        let lower = id.as_str().to_lowercase();
        assert_eq!(ChatId::parse(&lower), None, "lower case is another spelling");
    }

    #[test]
    fn message_ids_hold_their_position() {
        for seq in [0, 1, 99_900, u32::MAX] {
            let (one, other) = (MessageId::at(seq), MessageId::at(seq));
            assert_ne!(one, other);
            assert_eq!(MessageId::parse(one.as_str()).and_then(|id| id.seq()), Some(seq));
        }
    }

    #[test]
    fn user_ids_are_limited_to_their_alphabet_and_length() {
        for good in ["u", "user123", "a.b_c:d@e-f", &"x".repeat(128)] {
            assert!(UserId::parse(good).is_some(), "{good}");
        }
        for bad in ["", "a b", "a/b", "a#b", "ü", &"x".repeat(129)] {
            assert!(UserId::parse(bad).is_none(), "{bad}");
        }
    }
}
