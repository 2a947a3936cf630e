//! The handler of `POST /api/v1/chats/{chat_id}/tickets`.

use shared::{
    api_key::TicketText,
    auth::Tenant,
    error::ApiError,
    http::{self, Request, Response},
    store::{Chats, Connections, Pass},
    ticket::{self, Ticket},
    time::Timestamp,
};

/// What the function works with.
#[derive(Clone, Debug)]
pub(crate) struct App {
    pub(crate) chats: Chats,
    pub(crate) connections: Connections,
    pub(crate) websocket_url: String,
}

/// Makes a ticket for the chat's user and this chat. Only its hash is kept.
pub(crate) async fn handle(app: App, tenant: Tenant, request: Request) -> Result<Response, ApiError> {
    let chat_id = http::chat_id(&request)?;
    http::query(&request).finish()?;
    http::no_body(&request)?;
    let now = Timestamp::now();
    let presence = app.chats.presence(&tenant.id, &chat_id, now).await?;
    let (user_id, _) = presence.ok_or_else(|| ApiError::chat_not_found(chat_id.as_str()))?;

    let secret = TicketText::generate();
    let expires_at = now.plus(ticket::LIFETIME);
    let pass = Pass { tenant_id: tenant.id, key: tenant.key, user_id, chat_id };
    app.connections.put_ticket(&secret, pass, expires_at).await?;
    let text = secret.reveal();
    http::made(&Ticket { ticket: text, expires_at, url: format!("{}?ticket={text}", app.websocket_url) })
}
