//! The handler of `POST /api/v1/chats/`.

use lambda_http::RequestExt;
use shared::{
    agent::AgentName,
    auth::Tenant,
    chat::{ChatConfig, NewChat},
    error::{ApiError, Code},
    http::{self, Request, Response},
    id::ChatId,
    store::{Chats, Created, Once},
    time::Timestamp,
};

/// What the function works with.
#[derive(Clone, Debug)]
pub(crate) struct App {
    pub(crate) chats: Chats,
    pub(crate) default_agent: AgentName,
}

pub(crate) async fn handle(app: App, tenant: Tenant, request: Request) -> Result<Response, ApiError> {
    if !http::is_bare_collection(request.raw_http_path()) {
        return Err(http::unknown_route(request.method(), request.raw_http_path()));
    }
    http::query(&request).finish()?;
    let once = http::idempotency_key(&request)?.map(|key| Once::new(key, request.body()));
    let mut new_chat = NewChat::read(http::json_body(&request)?)?;
    let defaults = ChatConfig { agent: tenant.defaults.agent.or(Some(app.default_agent)), ..tenant.defaults };
    new_chat.config = new_chat.config.or(defaults);
    match app.chats.create(&tenant.id, new_chat, once.as_ref(), Timestamp::now()).await? {
        Created::Made(chat) => http::created(&address(&chat.chat_id), &chat),
        Created::Before { chat_id, answer } => http::created_before(&address(&chat_id), answer),
        Created::Mismatch => Err(mismatch()),
    }
}

fn address(chat: &ChatId) -> String {
    format!("/api/v1/chats/{chat}")
}

fn mismatch() -> ApiError {
    ApiError::new(
        Code::IdempotencyMismatch,
        "This Idempotency-Key was used with another body within the last 24 hours.",
        "Send the same body again, or a new key with a new body.",
    )
}
