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
    runtime::{after_response, retry::retry_for, telemetry},
    storage::{ChatRepository, ConnectionRepository},
    websocket::Publisher,
};

/// How long it is tried to leave nothing behind, while DynamoDB does not answer.
const CLEARING: Duration = Duration::from_secs(60);

/// What the function works with.
#[derive(Clone, Debug)]
pub(crate) struct App {
    pub(crate) chats: ChatRepository,
    pub(crate) connections: ConnectionRepository,
    pub(crate) publisher: Publisher,
}

/// Whose chat it is. Read while the request is being let in, since the chat and the owner's count of chats go together.
pub(crate) async fn owner(
    app: App,
    tenant: TenantId,
    chat_id: Result<ChatId, ApiError>,
) -> Result<Option<UserId>, ApiError> {
    Ok(app.chats.owner_of(&tenant, &chat_id?).await?)
}

/// The chat is gone with the answer, however long it is; its sockets are closed and its messages purged after it.
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
        if let Err(error) = retry_for(CLEARING, || clear_away(&app, &tenant.id, &chat_id, &request_id)).await {
            telemetry::log_cause(&error, &request_id);
        }
    }));
    Ok(rest::no_content())
}

async fn clear_away(app: &App, tenant: &TenantId, chat: &ChatId, request_id: &str) -> Result<(), ApiError> {
    let sockets = app.connections.list_by_chat(tenant, chat, Timestamp::now()).await?;
    app.publisher.close_all(&sockets, &ApiError::chat_not_found(chat.as_str()), request_id).await;
    Ok(app.chats.purge(tenant, chat).await?)
}
