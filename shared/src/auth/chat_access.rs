//! Which chats a connection may be opened for.

use crate::domain::{connection::ConnectionGrant, error::ApiError, id::UserId};

/// Whether a grant may open a connection to its chat: the chat exists, and is owned by the grant's user. `owner` is the
/// owner of the grant's chat, as read within the grant's tenant.
///
/// # Errors
///
/// `CHAT_NOT_FOUND`, `CHAT_ACCESS_DENIED`.
pub fn check_chat_access(grant: &ConnectionGrant, owner: Option<&UserId>) -> Result<(), ApiError> {
    let ConnectionGrant { user_id, chat_id, .. } = grant;
    match owner {
        None => Err(ApiError::chat_not_found(chat_id.as_str())),
        Some(owner) if owner != user_id => Err(ApiError::chat_access_denied(chat_id, user_id)),
        Some(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        api_key::ApiKey,
        error::Code,
        id::{ChatId, TenantId},
    };

    fn grant(user: &UserId) -> ConnectionGrant {
        let (tenant_id, key) = (TenantId::generate(), ApiKey::new("key").hash());
        ConnectionGrant { tenant_id, key, user_id: user.clone(), chat_id: ChatId::generate() }
    }

    fn user(id: &str) -> UserId {
        UserId::parse(id).expect("a user id")
    }

    #[test]
    fn owner_may_open_the_chat() {
        assert!(check_chat_access(&grant(&user("u")), Some(&user("u"))).is_ok());
    }

    #[test]
    fn other_user_is_denied() {
        let denied = check_chat_access(&grant(&user("u")), Some(&user("other"))).expect_err("another user's chat");
        assert_eq!(denied.code(), Code::ChatAccessDenied);
    }

    #[test]
    fn missing_chat_is_not_found() {
        let missing = check_chat_access(&grant(&user("u")), None).expect_err("no chat");
        assert_eq!(missing.code(), Code::ChatNotFound);
    }
}
