//! The handler of `GET /api/v1/chats/user/{user_id}`.

use shared::{
    auth::Tenant,
    domain::{
        error::ApiError,
        id::{TenantId, UserId},
        pagination::{ChatPage, Order, PageRequest, Pagination},
    },
    rest::{self, Request, Response},
    runtime::{bootstrap::Clients, config::ListUserChatsConfig},
    storage::{ChatList, ChatRepository, UserRepository},
};

#[derive(Clone, Debug)]
pub(crate) struct App {
    chats: ChatRepository,
    users: UserRepository,
}

impl App {
    pub(crate) fn from_config(config: ListUserChatsConfig, clients: &Clients) -> Self {
        Self {
            chats: ChatRepository::new(clients.dynamodb(), config.chats_table.clone()),
            users: UserRepository::new(clients.dynamodb(), config.chats_table),
        }
    }
}

/// The number of the user's chats. A page past the end needs no other read.
pub(crate) async fn total(app: App, tenant: TenantId, user: UserId) -> Result<u32, ApiError> {
    Ok(app.users.chat_count(&tenant, &user).await?)
}

pub(crate) async fn handle(app: App, tenant: Tenant, request: Request, total: u32) -> Result<Response, ApiError> {
    let user = rest::user_id(&request)?;
    let page = PageRequest::read(rest::query(&request), Order::Desc)?;
    let listed = if page.offset < total { app.chats.list(&tenant.id, &user, page).await? } else { ChatList::default() };
    let pagination = Pagination::of_index(page, listed.chats.len(), total, listed.has_more);
    rest::ok(&ChatPage { chats: listed.chats, pagination })
}
