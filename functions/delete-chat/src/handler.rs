//! The handler of `DELETE /api/v1/chats/{chat_id}`.

use shared::{
    after,
    auth::Doorkeeper,
    error::ApiError,
    http::{self, Request, Response},
    store::Chats,
    time::Timestamp,
};

/// What the function works with.
#[derive(Clone, Debug)]
pub(crate) struct App {
    pub(crate) doorkeeper: Doorkeeper,
    pub(crate) chats: Chats,
}

/// The chat is gone with the answer, however long it is; its messages are purged after it.
pub(crate) async fn handle(app: App, request: Request) -> Result<Response, ApiError> {
    let tenant = app.doorkeeper.admit(http::api_key(&request)).await?;
    let chat_id = http::chat_id(&request)?;
    if !app.chats.delete(&tenant, &chat_id, Timestamp::now()).await? {
        return Err(ApiError::chat_not_found(chat_id.as_str()));
    }
    after::spawn(async move {
        if let Err(error) = app.chats.purge(&tenant, &chat_id).await {
            tracing::error!(chat_id = chat_id.as_str(), error.cause = %error, "a deleted chat was not purged to its end");
        }
    });
    Ok(http::no_content())
}
