//! The handler of `GET /api/v1/chats/user/{user_id}`.

use shared::{
    auth::Tenant,
    domain::{
        error::ApiError,
        id::{TenantId, UserId},
        pagination::{ChatPage, Order, PageRequest, Pagination},
    },
    rest::{self, Request, Response},
    storage::{Chats, Listed},
};

/// What the function works with.
#[derive(Clone, Debug)]
pub(crate) struct App {
    pub(crate) chats: Chats,
}

/// How many chats the user has. Read while the request is being let in, since a page past the end needs nothing else.
pub(crate) async fn total(app: App, tenant: TenantId, user: Result<UserId, ApiError>) -> Result<u32, ApiError> {
    Ok(app.chats.chat_count(&tenant, &user?).await?)
}

pub(crate) async fn handle(app: App, tenant: Tenant, request: Request, total: u32) -> Result<Response, ApiError> {
    let user: UserId = rest::path_parameter(&request, "user_id")?;
    let page = PageRequest::read(rest::query(&request), Order::Desc)?;
    let listed =
        if page.offset < total { app.chats.of_user(&tenant.id, &user, page).await? } else { Listed::default() };
    let pagination = Pagination::of_index(page, listed.chats.len(), total, listed.has_more);
    rest::ok(&ChatPage { chats: listed.chats, pagination })
}
