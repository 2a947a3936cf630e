//! The handler of `POST /api/v1/chats/{chat_id}/tickets`.

use shared::{
    auth::Tenant,
    domain::{
        error::ApiError,
        id::{ChatId, TenantId, UserId},
        ticket::TicketText,
        ticket::{self, Ticket},
        time::Timestamp,
    },
    rest::{self, Request, Response},
    storage::{Chats, ConnectionGrant, Connections},
};

/// What the function works with.
#[derive(Clone, Debug)]
pub(crate) struct App {
    pub(crate) chats: Chats,
    pub(crate) connections: Connections,
    pub(crate) websocket_url: String,
}

/// Whose chat it is. Read while the request is being let in.
pub(crate) async fn owner(
    app: App,
    tenant: TenantId,
    chat_id: Result<ChatId, ApiError>,
) -> Result<Option<UserId>, ApiError> {
    Ok(app.chats.owner_of(&tenant, &chat_id?).await?)
}

/// Makes a ticket for the chat's user and this chat. Only its hash is kept.
pub(crate) async fn handle(
    app: App,
    tenant: Tenant,
    request: Request,
    owner: Option<UserId>,
) -> Result<Response, ApiError> {
    let chat_id = rest::chat_id(&request)?;
    rest::query(&request).finish()?;
    rest::no_body(&request)?;
    let user_id = owner.ok_or_else(|| ApiError::chat_not_found(chat_id.as_str()))?;

    let secret = TicketText::generate();
    let expires_at = Timestamp::now().plus(ticket::LIFETIME);
    let grant = ConnectionGrant { tenant_id: tenant.id, key: tenant.key, user_id, chat_id };
    app.connections.put_ticket(&secret, grant, expires_at).await?;
    let text = secret.reveal();
    rest::made(&Ticket { ticket: text, expires_at, url: format!("{}?ticket={text}", app.websocket_url) })
}
