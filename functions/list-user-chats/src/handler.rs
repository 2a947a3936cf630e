//! The handler of `GET /api/v1/chats/user/{user_id}`.

use serde::Serialize;
use shared::{
    auth::Doorkeeper,
    chat::Chat,
    error::ApiError,
    http::{self, Request, Response},
    id::UserId,
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
    chats: Vec<Chat>,
    #[serde(flatten)]
    pagination: Pagination,
}

pub(crate) async fn handle(app: App, request: Request) -> Result<Response, ApiError> {
    let tenant = app.doorkeeper.admit(http::api_key(&request)).await?;
    let user: UserId = http::path_parameter(&request, "user_id")?;
    let page = PageRequest::read(http::query(&request), Order::Desc)?;
    let (chats, total) = app.chats.of_user(&tenant, &user, page).await?;
    let pagination = Pagination::new(page, chats.len(), total);
    http::ok(&Page { chats, pagination })
}
