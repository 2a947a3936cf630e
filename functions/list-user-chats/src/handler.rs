//! The handler of `GET /api/v1/chats/user/{user_id}`.

use shared::{
    auth::Tenant,
    error::ApiError,
    http::{self, Request, Response},
    id::UserId,
    page::{ChatPage, Order, PageRequest, Pagination},
    store::Chats,
};

/// What the function works with.
#[derive(Clone, Debug)]
pub(crate) struct App {
    pub(crate) chats: Chats,
}

pub(crate) async fn handle(app: App, tenant: Tenant, request: Request) -> Result<Response, ApiError> {
    let user: UserId = http::path_parameter(&request, "user_id")?;
    let page = PageRequest::read(http::query(&request), Order::Desc)?;
    let (chats, total) = app.chats.of_user(&tenant.id, &user, page).await?;
    let pagination = Pagination::new(page, chats.len(), total);
    http::ok(&ChatPage { chats, pagination })
}
