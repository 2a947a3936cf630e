//! The handler of `DELETE /api/v1/chats/{chat_id}`.

use shared::{
    after,
    auth::Tenant,
    error::ApiError,
    http::{self, Request, Response},
    id::{ChatId, TenantId},
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

/// The chat is gone with the answer, however long it is; its sockets are closed and its messages purged after it.
pub(crate) async fn handle(app: App, tenant: Tenant, request: Request) -> Result<Response, ApiError> {
    let chat_id = http::chat_id(&request)?;
    http::query(&request).finish()?;
    if !app.chats.delete(&tenant.id, &chat_id, Timestamp::now()).await? {
        return Err(ApiError::chat_not_found(chat_id.as_str()));
    }
    let request_id = http::request_id(&request);
    after::spawn(async move {
        if let Err(error) = clear_away(&app, &tenant.id, &chat_id, &request_id).await {
            telemetry::log_cause(&error.into(), &request_id);
        }
    });
    Ok(http::no_content())
}

async fn clear_away(app: &App, tenant: &TenantId, chat: &ChatId, request_id: &str) -> Result<(), StoreError> {
    let sockets = app.connections.of_chat(tenant, chat, Timestamp::now()).await?;
    app.publisher.close_all(&sockets, &ApiError::chat_not_found(chat.as_str()), request_id).await;
    app.chats.purge(tenant, chat).await
}
