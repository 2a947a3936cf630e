//! The handler of `GET /api/v1/chats/{chat_id}`.

use shared::{
    auth::Tenant,
    domain::error::ApiError,
    rest::{self, Request, Response},
    storage::ChatRepository,
};

/// What the function works with.
#[derive(Clone, Debug)]
pub(crate) struct App {
    pub(crate) chats: ChatRepository,
}

pub(crate) async fn handle(app: App, tenant: Tenant, request: Request) -> Result<Response, ApiError> {
    let chat_id = rest::chat_id(&request)?;
    rest::query(&request).finish()?;
    let chat = app.chats.get(&tenant.id, &chat_id).await?;
    rest::ok(&chat.ok_or_else(|| ApiError::chat_not_found(chat_id.as_str()))?)
}
