//! The handler of `PATCH /api/v1/chats/{chat_id}`.

use shared::{
    auth::Tenant,
    domain::{chat::ChatChange, error::ApiError, time::Timestamp},
    rest::{self, Request, Response},
    runtime::{bootstrap::Clients, config::UpdateChatConfig},
    storage::ChatRepository,
};

#[derive(Clone, Debug)]
pub(crate) struct App {
    chats: ChatRepository,
}

impl App {
    pub(crate) fn from_config(config: UpdateChatConfig, clients: &Clients) -> Self {
        Self { chats: ChatRepository::new(clients.dynamodb(), config.chats_table) }
    }
}

pub(crate) async fn handle(app: App, tenant: Tenant, request: Request) -> Result<Response, ApiError> {
    let chat_id = rest::chat_id(&request)?;
    rest::query(&request).finish()?;
    let change = ChatChange::read(rest::json_body(&request)?)?;
    let chat = app.chats.update(&tenant.id, &chat_id, change, Timestamp::now()).await?;
    rest::ok(&chat.ok_or_else(|| ApiError::chat_not_found(chat_id.as_str()))?)
}
