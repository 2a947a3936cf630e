//! Identifiers. Each is its own type, so that none can stand in for another.

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
            /// The id's text.
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
    /// Names a tenant: `tenant_` and a ULID.
    ///
    /// Only authentication and the tenant's own row make one, so holding a `TenantId` is the proof that the caller may
    /// act for that tenant. Every call on the store takes one.
    TenantId
}

/// Ids that may be read from anywhere; a [`TenantId`] may not.
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
    /// Names a chat: `chat_` and a ULID.
    #[cfg_attr(feature = "schema", schemars(extend("pattern" = "^chat_[0-7][0-9A-HJKMNP-TV-Z]{25}$")))]
    ChatId
}

text_id! {
    /// Names a message: `msg_` and a ULID.
    #[cfg_attr(feature = "schema", schemars(extend("pattern" = "^msg_[0-7][0-9A-HJKMNP-TV-Z]{25}$")))]
    MessageId
}

text_id! {
    /// Names a user of a tenant, in the tenant's own terms: 1 to 128 characters of `[A-Za-z0-9._:@-]`.
    #[cfg_attr(feature = "schema", schemars(extend(
        "minLength" = 1, "maxLength" = Self::MAX_CHARS, "pattern" = "^[A-Za-z0-9._:@-]+$"
    )))]
    UserId
}

text_id! {
    /// Names an open socket, as API Gateway does.
    ConnectionId
}

text_id! {
    /// Names a request that must run once, in its caller's terms: 1 to 255 printable ASCII characters.
    #[cfg_attr(feature = "schema", schemars(extend(
        "minLength" = 1, "maxLength" = Self::MAX_CHARS, "pattern" = "^[ -~]+$"
    )))]
    IdempotencyKey
}

text_id! {
    /// Names a message before it has an id, in its client's terms: 1 to 64 characters.
    #[cfg_attr(feature = "schema", schemars(extend("minLength" = 1, "maxLength" = Self::MAX_CHARS)))]
    ClientMessageId
}

impl IdempotencyKey {
    const MAX_CHARS: usize = 255;

    /// Reads a key that a caller sent; `None` when it is not allowed.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let allowed =
            (1..=Self::MAX_CHARS).contains(&text.len()) && text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        allowed.then(|| Self(text.to_owned()))
    }
}

impl ClientMessageId {
    const MAX_CHARS: usize = 64;

    /// Reads an id that a client sent; `None` when it is not allowed.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        (1..=Self::MAX_CHARS).contains(&text.chars().count()).then(|| Self(text.to_owned()))
    }
}

impl TenantId {
    pub(crate) fn generate() -> Self {
        Self(format!("tenant_{}", Ulid::generate()))
    }

    /// Reads the id from a row that says whose it is.
    pub(crate) fn deserialize_row<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_row(&String::deserialize(deserializer)?).ok_or_else(|| D::Error::custom("not the id of a tenant"))
    }

    /// The id that a tenant's row has; `None` when no row can have it.
    pub(crate) fn from_row(id: &str) -> Option<Self> {
        let ulid = id.strip_prefix("tenant_")?;
        Ulid::from_string(ulid).is_ok().then(|| Self(id.to_owned()))
    }
}

impl ChatId {
    /// What all of them begin with.
    pub(crate) const PREFIX: &str = "chat_";

    /// A new id, never used before.
    #[must_use]
    pub fn generate() -> Self {
        Self(format!("{}{}", Self::PREFIX, Ulid::generate()))
    }

    /// Reads an id that a caller sent; `None` when no chat can have it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let ulid = text.strip_prefix(Self::PREFIX)?;
        (Ulid::from_string(ulid).ok()?.to_string() == ulid).then(|| Self(text.to_owned()))
    }
}

impl MessageId {
    /// How many of a ULID's 80 random bits say where the message is; 48 are left to chance.
    const SEQ_BITS: u32 = 32;

    /// A new id, never used before.
    #[must_use]
    pub fn generate() -> Self {
        Self(format!("msg_{}", Ulid::generate()))
    }

    /// A new id for the message at this place of its chat, never used before. The place is in it, so that a message is
    /// found by its id alone, without an index.
    #[must_use]
    pub fn at(seq: u32) -> Self {
        let drawn = Ulid::generate();
        let random = (drawn.random() >> Self::SEQ_BITS << Self::SEQ_BITS) | u128::from(seq);
        Self(format!("msg_{}", Ulid::from_parts(drawn.timestamp_ms(), random)))
    }

    /// Reads an id that a client sent; `None` when no message can have it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let ulid = text.strip_prefix("msg_")?;
        (Ulid::from_string(ulid).ok()?.to_string() == ulid).then(|| Self(text.to_owned()))
    }

    /// The place in its chat that the message has if it was made [`at`](Self::at) one.
    #[must_use]
    pub fn seq(&self) -> Option<u32> {
        let ulid = Ulid::from_string(self.0.strip_prefix("msg_")?).ok()?;
        u32::try_from(ulid.random() & u128::from(u32::MAX)).ok()
    }
}

impl UserId {
    const MAX_CHARS: usize = 128;

    /// What a user id may be, in words for an error.
    pub const ALLOWED: &str = "1 to 128 characters of A-Z a-z 0-9 . _ : @ -";

    /// Reads a user id that a caller sent; `None` when it is not [allowed](Self::ALLOWED).
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._:@-".contains(&byte);
        (1..=Self::MAX_CHARS).contains(&text.len()).then_some(())?;
        text.bytes().all(allowed).then(|| Self(text.to_owned()))
    }
}

impl ConnectionId {
    /// Takes the id that API Gateway gave to a socket.
    #[must_use]
    pub fn from_gateway(id: impl Into<String>) -> Self {
        Self(id.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chat_ids_are_read_back_and_nothing_else_is() {
        let id = ChatId::generate();
        assert_eq!(ChatId::parse(id.as_str()), Some(id.clone()));
        for foreign in ["", "chat_", "chat_x", "msg_01ARZ3NDEKTSV4RRFFQ69G5FAV", "chat_01ARZ3NDEKTSV4RRFFQ69G5FAV#"] {
            assert_eq!(ChatId::parse(foreign), None, "{foreign}");
        }
        let lower = id.as_str().to_lowercase();
        assert_eq!(ChatId::parse(&lower), None, "one chat has one spelling");
    }

    #[test]
    fn the_id_of_a_message_says_where_it_is() {
        for seq in [0, 1, 99_900, u32::MAX] {
            let (one, other) = (MessageId::at(seq), MessageId::at(seq));
            assert_ne!(one, other);
            assert_eq!(MessageId::parse(one.as_str()).and_then(|id| id.seq()), Some(seq));
        }
    }

    #[test]
    fn user_ids_hold_to_their_alphabet_and_length() {
        for good in ["u", "user123", "a.b_c:d@e-f", &"x".repeat(128)] {
            assert!(UserId::parse(good).is_some(), "{good}");
        }
        for bad in ["", "a b", "a/b", "a#b", "ü", &"x".repeat(129)] {
            assert!(UserId::parse(bad).is_none(), "{bad}");
        }
    }
}
