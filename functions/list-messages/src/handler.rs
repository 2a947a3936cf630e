//! The handler of `GET /api/v1/chats/{chat_id}/messages`.

use shared::{
    auth::Tenant,
    domain::{
        error::ApiError,
        pagination::{MessagePage, Order, PageRequest, Pagination},
        time::Timestamp,
    },
    rest::{self, Request, Response},
    runtime::{bootstrap::Clients, config::ListMessagesConfig},
    storage::MessageRepository,
};

#[derive(Clone, Debug)]
pub(crate) struct App {
    messages: MessageRepository,
}

impl App {
    pub(crate) fn from_config(config: ListMessagesConfig, clients: &Clients) -> Self {
        Self { messages: MessageRepository::new(clients.dynamodb(), config.chats_table) }
    }
}

pub(crate) async fn handle(app: App, tenant: Tenant, request: Request) -> Result<Response, ApiError> {
    let chat_id = rest::chat_id(&request)?;
    let page = PageRequest::read(rest::query(&request), Order::Asc)?;
    let found = app.messages.list(&tenant.id, &chat_id, page, Timestamp::now()).await?;
    let (messages, total) = found.ok_or_else(|| ApiError::chat_not_found(chat_id.as_str()))?;
    let pagination = Pagination::new(page, messages.len(), total);
    rest::ok(&MessagePage { messages, pagination })
}
