//! The handler of `GET /api/v1/chats/{chat_id}/messages`.

use serde::Serialize;
use shared::{
    auth::Doorkeeper,
    error::ApiError,
    http::{self, Request, Response},
    message::Message,
    page::{Order, PageRequest, Pagination},
    store::Chats,
};

/// What the function works with.
#[derive(Clone, Debug)]
pub(crate) struct App {
    pub(crate) doorkeeper: Doorkeeper,
    pub(crate) chats: Chats,
}

#[derive(Serialize)]
struct Page {
    messages: Vec<Message>,
    #[serde(flatten)]
    pagination: Pagination,
}

pub(crate) async fn handle(app: App, request: Request) -> Result<Response, ApiError> {
    let tenant = app.doorkeeper.admit(http::api_key(&request)).await?;
    let chat_id = http::chat_id(&request)?;
    let page = PageRequest::read(http::query(&request), Order::Asc)?;
    let read = app.chats.messages(&tenant, &chat_id, page).await?;
    let (messages, total) = read.ok_or_else(|| ApiError::chat_not_found(chat_id.as_str()))?;
    let pagination = Pagination::new(page, messages.len(), total);
    http::ok(&Page { messages, pagination })
}
