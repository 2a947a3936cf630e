//! The handler of `GET /api/v1/chats/{chat_id}/messages`.

use shared::{
    auth::Tenant,
    error::ApiError,
    http::{self, Request, Response},
    page::{MessagePage, Order, PageRequest, Pagination},
    store::Chats,
    time::Timestamp,
};

/// What the function works with.
#[derive(Clone, Debug)]
pub(crate) struct App {
    pub(crate) chats: Chats,
}

pub(crate) async fn handle(app: App, tenant: Tenant, request: Request) -> Result<Response, ApiError> {
    let chat_id = http::chat_id(&request)?;
    let page = PageRequest::read(http::query(&request), Order::Asc)?;
    let read = app.chats.messages(&tenant.id, &chat_id, page, Timestamp::now()).await?;
    let (messages, total) = read.ok_or_else(|| ApiError::chat_not_found(chat_id.as_str()))?;
    let pagination = Pagination::new(page, messages.len(), total);
    http::ok(&MessagePage { messages, pagination })
}
