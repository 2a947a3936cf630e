//! The handler of `GET /api/v1/chats/{chat_id}`.

use shared::{
    auth::Doorkeeper,
    error::ApiError,
    http::{self, Request, Response},
    store::Chats,
};

/// What the function works with.
#[derive(Clone, Debug)]
pub(crate) struct App {
    pub(crate) doorkeeper: Doorkeeper,
    pub(crate) chats: Chats,
}

pub(crate) async fn handle(app: App, request: Request) -> Result<Response, ApiError> {
    let tenant = app.doorkeeper.admit(http::api_key(&request)).await?;
    let chat_id = http::chat_id(&request)?;
    let chat = app.chats.get(&tenant, &chat_id).await?;
    http::ok(&chat.ok_or_else(|| ApiError::chat_not_found(chat_id.as_str()))?)
}
