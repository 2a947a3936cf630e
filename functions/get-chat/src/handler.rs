//! The handler of `GET /api/v1/chats/{chat_id}`.

use shared::{
    auth::Tenant,
    domain::error::ApiError,
    rest::{self, Request, Response},
    runtime::{bootstrap::Clients, config::GetChatConfig},
    storage::ChatRepository,
};

#[derive(Clone, Debug)]
pub(crate) struct App {
    chats: ChatRepository,
}

impl App {
    pub(crate) fn from_config(config: GetChatConfig, clients: &Clients) -> Self {
        Self { chats: ChatRepository::new(clients.dynamodb(), config.chats_table) }
    }
}

pub(crate) async fn handle(app: App, tenant: Tenant, request: Request) -> Result<Response, ApiError> {
    let chat_id = rest::chat_id(&request)?;
    rest::query(&request).finish()?;
    let chat = app.chats.get(&tenant.id, &chat_id).await?;
    rest::ok(&chat.ok_or_else(|| ApiError::chat_not_found(chat_id.as_str()))?)
}
