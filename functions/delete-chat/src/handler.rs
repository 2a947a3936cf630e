//! The handler of `DELETE /api/v1/chats/{chat_id}`.

use std::time::Duration;

use shared::{
    auth::Tenant,
    domain::{
        error::ApiError,
        id::{ChatId, TenantId, UserId},
        time::Timestamp,
    },
    rest::{self, Request, Response},
    runtime::{after_response, bootstrap::Clients, config::DeleteChatConfig, retry::retry_for, telemetry},
    storage::{ChatRepository, ConnectionRepository},
    websocket::Publisher,
};
use tokio::time::timeout;

/// How long this function works on a deleted chat after the response. Maintenance does the rest: twenty long chats that are
/// deleted at once must not hold the functions that other requests need.
const PURGE_TIME: Duration = Duration::from_secs(5);

#[derive(Clone, Debug)]
pub(crate) struct App {
    chats: ChatRepository,
    connections: ConnectionRepository,
    publisher: Publisher,
}

impl App {
    pub(crate) fn from_config(config: DeleteChatConfig, clients: &Clients) -> Self {
        Self {
            chats: ChatRepository::new(clients.dynamodb(), config.chats_table),
            connections: ConnectionRepository::new(clients.dynamodb(), config.connections_table),
            publisher: Publisher::new(clients.management_api(config.management_endpoint)),
        }
    }
}

/// The chat's owner, if the chat exists: the deletion also changes the owner's number of chats.
pub(crate) async fn owner(app: App, tenant: TenantId, chat_id: ChatId) -> Result<Option<UserId>, ApiError> {
    Ok(app.chats.owner_of(&tenant, &chat_id).await?)
}

/// Marks the chat as deleted, however long it is. Its sockets are closed and its messages purged after the response.
pub(crate) async fn handle(
    app: App,
    tenant: Tenant,
    request: Request,
    owner: Option<UserId>,
) -> Result<Response, ApiError> {
    let chat_id = rest::chat_id(&request)?;
    rest::query(&request).finish()?;
    let owner = owner.ok_or_else(|| ApiError::chat_not_found(chat_id.as_str()))?;
    if !app.chats.delete_owned(&tenant.id, &chat_id, &owner, Timestamp::now()).await? {
        return Err(ApiError::chat_not_found(chat_id.as_str()));
    }
    let request_id = rest::request_id(&request);
    after_response::spawn(telemetry::background_task("purge", async move {
        let purge = retry_for(PURGE_TIME, || purge(&app, &tenant.id, &chat_id, &request_id));
        let is_late = |_| Err(ApiError::unavailable("the purge took too long and is left to maintenance"));
        if let Err(error) = timeout(PURGE_TIME, purge).await.unwrap_or_else(is_late) {
            telemetry::log_attempt(&error, &request_id);
        }
    }));
    Ok(rest::no_content())
}

async fn purge(app: &App, tenant: &TenantId, chat: &ChatId, request_id: &str) -> Result<(), ApiError> {
    let sockets = app.connections.list_by_chat(tenant, chat, Timestamp::now()).await?;
    if !app.publisher.close_all(&sockets, &ApiError::chat_not_found(chat.as_str()), request_id).await {
        return Err(ApiError::unavailable("sockets of a deleted chat are not closed"));
    }
    Ok(app.chats.purge(tenant, chat).await?)
}
