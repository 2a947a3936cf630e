//! The handler of `DELETE /api/v1/chats/{chat_id}`.

use shared::{
    after,
    auth::Tenant,
    error::ApiError,
    http::{self, Request, Response},
    id::{ChatId, TenantId, UserId},
    store::{Chats, Connections, StoreError},
    telemetry,
    time::Timestamp,
    ws::Publisher,
};

/// What the function works with.
#[derive(Clone, Debug)]
pub(crate) struct App {
    pub(crate) chats: Chats,
    pub(crate) connections: Connections,
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
    let chat_id = http::chat_id(&request)?;
    http::query(&request).finish()?;
    let owner = owner.ok_or_else(|| ApiError::chat_not_found(chat_id.as_str()))?;
    if !app.chats.delete_owned(&tenant.id, &chat_id, &owner, Timestamp::now()).await? {
        return Err(ApiError::chat_not_found(chat_id.as_str()));
    }
    let request_id = http::request_id(&request);
    after::spawn(telemetry::work("purge", async move {
        if let Err(error) = clear_away(&app, &tenant.id, &chat_id, &request_id).await {
            telemetry::log_cause(&error.into(), &request_id);
        }
    }));
    Ok(http::no_content())
}

async fn clear_away(app: &App, tenant: &TenantId, chat: &ChatId, request_id: &str) -> Result<(), StoreError> {
    let sockets = app.connections.of_chat(tenant, chat, Timestamp::now()).await?;
    app.publisher.close_all(&sockets, &ApiError::chat_not_found(chat.as_str()), request_id).await;
    app.chats.purge(tenant, chat).await
}
