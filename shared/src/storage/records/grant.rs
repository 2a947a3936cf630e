//! The grant of a connection or a ticket, as part of its item.

use serde::{Deserialize, Serialize};

use crate::domain::{
    api_key::KeyHash,
    connection::ConnectionGrant,
    id::{ChatId, TenantId, UserId},
};

#[derive(Serialize, Deserialize)]
pub(in crate::storage) struct GrantRecord {
    #[serde(deserialize_with = "TenantId::deserialize_row")]
    tenant_id: TenantId,
    key: KeyHash,
    user_id: UserId,
    chat_id: ChatId,
}

impl From<ConnectionGrant> for GrantRecord {
    fn from(ConnectionGrant { tenant_id, key, user_id, chat_id }: ConnectionGrant) -> Self {
        Self { tenant_id, key, user_id, chat_id }
    }
}

impl From<GrantRecord> for ConnectionGrant {
    fn from(GrantRecord { tenant_id, key, user_id, chat_id }: GrantRecord) -> Self {
        Self { tenant_id, key, user_id, chat_id }
    }
}
