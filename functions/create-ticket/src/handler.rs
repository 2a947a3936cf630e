//! The handler of `POST /api/v1/chats/{chat_id}/tickets`.

use shared::{
    auth::Tenant,
    domain::{
        connection::ConnectionGrant,
        error::ApiError,
        id::{ChatId, TenantId, UserId},
        ticket::{self, Ticket, TicketText},
        time::Timestamp,
    },
    rest::{self, Request, Response},
    runtime::{bootstrap::Clients, config::CreateTicketConfig},
    storage::{ChatRepository, TicketRepository},
};

#[derive(Clone, Debug)]
pub(crate) struct App {
    chats: ChatRepository,
    tickets: TicketRepository,
    websocket_url: String,
}

impl App {
    pub(crate) fn from_config(config: CreateTicketConfig, clients: &Clients) -> Self {
        Self {
            chats: ChatRepository::new(clients.dynamodb(), config.chats_table),
            tickets: TicketRepository::new(clients.dynamodb(), config.connections_table),
            websocket_url: config.websocket_url,
        }
    }
}

/// The chat's owner, if the chat exists.
pub(crate) async fn owner(app: App, tenant: TenantId, chat_id: ChatId) -> Result<Option<UserId>, ApiError> {
    Ok(app.chats.owner_of(&tenant, &chat_id).await?)
}

/// Creates a ticket for the chat and its owner. Only its hash is stored.
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
    app.tickets.put(&secret, grant, expires_at).await?;
    respond(&secret, expires_at, &app.websocket_url)
}

fn respond(secret: &TicketText, expires_at: Timestamp, websocket_url: &str) -> Result<Response, ApiError> {
    let ticket = secret.reveal();
    rest::created(&Ticket { ticket, expires_at, url: format!("{websocket_url}?ticket={ticket}") })
}

#[cfg(test)]
mod tests {
    use lambda_http::http::StatusCode;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn response_has_the_ticket_and_the_address_that_uses_it() {
        let response = respond(&TicketText::new("tk_1"), Timestamp::from_millis(0), "wss://ws.example.com");
        let response = response.expect("a response");
        assert_eq!(response.status(), StatusCode::CREATED);
        let body: Value = serde_json::from_slice(response.body()).expect("a JSON body");
        assert_eq!(
            body,
            json!({
                "ticket": "tk_1", "expires_at": "1970-01-01T00:00:00.000Z", "url": "wss://ws.example.com?ticket=tk_1",
            })
        );
    }
}
