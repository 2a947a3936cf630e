//! Tenants: who may use the API, with which keys, and how much of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::domain::{
    agent_name::AgentName,
    allowed_models::{ModelPatterns, TenantModels},
    api_key::KeyHash,
    chat::ChatConfig,
    connection::Connection,
    id::TenantId,
    limits::{Limits, RateLimitBucket, RateLimitStatus},
    time::Timestamp,
};

/// What every request of a tenant is checked against: status, keys, limits and rate limit windows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TenantAccess {
    /// The tenant's name, for people.
    pub name: String,
    /// Whether requests are accepted.
    pub status: TenantStatus,
    /// The tenant's keys by their hashes.
    keys: BTreeMap<String, KeyRecord>,
    /// The tenant's limits.
    pub limits: Limits,
    /// The configuration of chats that leave it open. Without a system prompt, which would not fit into the item.
    pub defaults: ChatConfig,
    /// The agents that the tenant's chats may use, of those that the deployment allows; `None` for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_agents: Option<Vec<AgentName>>,
    /// The models that the tenant's chats may use, of those that the deployment allows; `None` for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_models: Option<ModelPatterns>,
    /// After how many days without activity a chat is deleted; `None` keeps chats for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention_days: Option<u32>,
    /// When the tenant was created.
    pub created_at: Timestamp,
    rest_count: u32,
    rest_ends_at: Timestamp,
    tickets_count: u32,
    tickets_ends_at: Timestamp,
}

/// Whether a tenant's requests are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TenantStatus {
    /// Requests are accepted.
    Active,
    /// Every request is refused until the tenant is resumed.
    Suspended,
}

/// One key of a tenant. The key itself is not stored, only its hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRecord {
    /// The key's id for people: `key_` and a ULID.
    pub key_id: String,
    /// When the key was created.
    pub created_at: Timestamp,
    /// From when on the key is refused; `None` for a key that does not expire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

/// Why a key is refused, before any limit is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessDenied {
    /// The key is unknown, revoked or expired.
    InvalidKey,
    /// The tenant is suspended.
    Suspended,
}

/// A tenant as operators see it.
#[derive(Clone, Debug)]
pub struct TenantRecord {
    /// The tenant's id.
    pub tenant_id: TenantId,
    /// Its status, keys, limits and defaults.
    pub access: TenantAccess,
}

/// A tenant to create.
#[derive(Debug)]
pub struct NewTenant<'a> {
    /// The tenant's name, for people.
    pub name: &'a str,
    /// The hash of its first key.
    pub key: &'a KeyHash,
    /// Its limits.
    pub limits: Limits,
    /// The configuration of chats that leave it open; its system prompt is dropped.
    pub defaults: ChatConfig,
}

/// A key to add to a tenant.
#[derive(Debug)]
pub struct NewKey<'a> {
    /// The key's hash.
    pub key: &'a KeyHash,
    /// From when on the key is refused.
    pub expires_at: Option<Timestamp>,
}

/// Limits to change; the others stay as they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NewLimits {
    /// REST requests a minute.
    pub rest_per_minute: Option<u32>,
    /// Tickets a minute.
    pub tickets_per_minute: Option<u32>,
    /// Open connections.
    pub connections: Option<u32>,
    /// Connects a minute.
    pub connects_per_minute: Option<u32>,
    /// Open connections of one chat.
    pub connections_per_chat: Option<u32>,
}

/// Lists to change; an inner `None` removes a list.
#[derive(Clone, Debug, Default)]
pub struct NewModels {
    /// The agents that the tenant's chats may use.
    pub agents: Option<Option<Vec<AgentName>>>,
    /// The models that the tenant's chats may use.
    pub models: Option<Option<ModelPatterns>>,
}

impl TenantAccess {
    /// The access of a tenant that is created now, with one key and unused rate limit windows.
    pub(crate) fn new(new: NewTenant<'_>, now: Timestamp) -> Self {
        let window_over = Timestamp::from_millis(0);
        Self {
            name: new.name.to_owned(),
            status: TenantStatus::Active,
            keys: BTreeMap::from([(new.key.as_str().to_owned(), KeyRecord::new(None, now))]),
            limits: new.limits,
            defaults: ChatConfig { system_prompt: None, ..new.defaults },
            allowed_agents: None,
            allowed_models: None,
            retention_days: None,
            created_at: now,
            rest_count: 0,
            rest_ends_at: window_over,
            tickets_count: 0,
            tickets_ends_at: window_over,
        }
    }

    /// What the tenant's chats may use.
    #[must_use]
    pub fn models(&self) -> TenantModels {
        TenantModels { agents: self.allowed_agents.clone(), models: self.allowed_models.clone() }
    }

    /// The tenant's keys with their hashes.
    pub fn keys(&self) -> impl Iterator<Item = (KeyHash, &KeyRecord)> {
        self.keys.iter().map(|(hash, record)| (KeyHash::from_stored(hash), record))
    }

    /// The record of a key, live or expired.
    pub(crate) fn key(&self, key: &KeyHash) -> Option<&KeyRecord> {
        self.keys.get(key.as_str())
    }

    /// Checks a key and the tenant's status.
    ///
    /// # Errors
    ///
    /// [`AccessDenied`] says which of the two failed; the key is checked first.
    pub fn check(&self, key: &KeyHash, now: Timestamp) -> Result<(), AccessDenied> {
        if !self.key(key).is_some_and(|record| record.is_live(now)) {
            return Err(AccessDenied::InvalidKey);
        }
        match self.status {
            TenantStatus::Active => Ok(()),
            TenantStatus::Suspended => Err(AccessDenied::Suspended),
        }
    }

    /// The unexpired connections of a tenant whose keys fail [`check`](Self::check), and the reason to close them with.
    /// Without access, because the tenant was deleted, all of them fail.
    #[must_use]
    pub fn denied_connections(
        access: Option<&Self>,
        connections: &[Connection],
        now: Timestamp,
    ) -> (Vec<Connection>, AccessDenied) {
        let is_denied =
            |connection: &&Connection| access.is_none_or(|access| access.check(&connection.grant.key, now).is_err());
        let unexpired = connections.iter().filter(|connection| connection.expires_at > now);
        let denied = unexpired.filter(is_denied).cloned().collect();
        let is_suspended = access.is_some_and(|access| access.status == TenantStatus::Suspended);
        (denied, if is_suspended { AccessDenied::Suspended } else { AccessDenied::InvalidKey })
    }

    /// The current window of a rate limit bucket.
    #[must_use]
    pub fn rate_limit(&self, bucket: RateLimitBucket) -> RateLimitStatus {
        let (limit, count, ends_at) = match bucket {
            RateLimitBucket::Rest => (self.limits.rest_per_minute, self.rest_count, self.rest_ends_at),
            RateLimitBucket::Tickets => (self.limits.tickets_per_minute, self.tickets_count, self.tickets_ends_at),
        };
        RateLimitStatus { bucket, limit, remaining: limit.saturating_sub(count), ends_at }
    }
}

impl KeyRecord {
    /// The record of a key that is created now, with an id of its own.
    pub(crate) fn new(expires_at: Option<Timestamp>, now: Timestamp) -> Self {
        Self { key_id: format!("key_{}", ulid::Ulid::generate()), created_at: now, expires_at }
    }

    fn is_live(&self, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|expires_at| expires_at > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        api_key::ApiKey,
        connection::ConnectionGrant,
        id::{ChatId, ConnectionId, UserId},
    };

    fn now() -> Timestamp {
        Timestamp::from_millis(1_769_851_800_120)
    }

    fn access(key: &KeyHash) -> TenantAccess {
        let new = NewTenant { name: "Acme", key, limits: Limits::default(), defaults: ChatConfig::default() };
        TenantAccess::new(new, now())
    }

    fn connection(key: &KeyHash, opened_at: Timestamp) -> Connection {
        let grant = ConnectionGrant {
            tenant_id: TenantId::generate(),
            key: key.clone(),
            user_id: UserId::parse("u").expect("a user"),
            chat_id: ChatId::generate(),
        };
        Connection::open(ConnectionId::from_gateway("c"), grant, opened_at)
    }

    #[test]
    fn unknown_and_expired_keys_are_refused_before_a_suspension() {
        let (key, other) = (ApiKey::new("x").hash(), ApiKey::new("y").hash());
        let mut access = access(&key);
        assert_eq!(access.check(&key, now()), Ok(()));
        assert_eq!(access.check(&other, now()), Err(AccessDenied::InvalidKey));
        access.status = TenantStatus::Suspended;
        assert_eq!(access.check(&key, now()), Err(AccessDenied::Suspended));
        access.keys.values_mut().for_each(|record| record.expires_at = Some(now()));
        assert_eq!(access.check(&key, now()), Err(AccessDenied::InvalidKey));
    }

    #[test]
    fn connections_of_refused_keys_are_denied_unless_they_have_expired() {
        let (key, revoked) = (ApiKey::new("x").hash(), ApiKey::new("y").hash());
        let long_ago = Timestamp::from_millis(0);
        let connections = [connection(&key, now()), connection(&revoked, now()), connection(&revoked, long_ago)];
        let (denied, reason) = TenantAccess::denied_connections(Some(&access(&key)), &connections, now());
        assert_eq!((denied.len(), reason), (1, AccessDenied::InvalidKey));
        assert_eq!(denied[0].grant.key, revoked);
        let (denied, _) = TenantAccess::denied_connections(None, &connections, now());
        assert_eq!(denied.len(), 2, "a deleted tenant denies all that have not expired");
    }

    #[test]
    fn unused_window_has_its_whole_limit_left() {
        let status = access(&ApiKey::new("x").hash()).rate_limit(RateLimitBucket::Rest);
        assert_eq!((status.limit, status.remaining), (100, 100));
        assert!(!status.is_used_up(now()));
    }
}
