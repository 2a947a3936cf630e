//! The handler of `POST /api/v1/chats/`.

use lambda_http::RequestExt;
use shared::{
    auth::Tenant,
    domain::{
        agent_name::AgentName,
        chat::{ChatConfig, NewChat},
        error::{ApiError, Code},
        id::ChatId,
        time::Timestamp,
    },
    rest::{self, Request, Response},
    storage::{ChatRepository, CreateResult, IdempotencyRequest},
};

/// What the function works with.
#[derive(Clone, Debug)]
pub(crate) struct App {
    pub(crate) chats: ChatRepository,
    pub(crate) default_agent: AgentName,
}

pub(crate) async fn handle(app: App, tenant: Tenant, request: Request) -> Result<Response, ApiError> {
    if !rest::is_bare_collection(request.raw_http_path()) {
        return Err(rest::unknown_route(request.method(), request.raw_http_path()));
    }
    rest::query(&request).finish()?;
    let once = rest::idempotency_key(&request)?.map(|key| IdempotencyRequest::new(key, request.body()));
    let mut new_chat = NewChat::read(rest::json_body(&request)?)?;
    let defaults = ChatConfig { agent: tenant.defaults.agent.or(Some(app.default_agent)), ..tenant.defaults };
    new_chat.config = new_chat.config.or(defaults);
    match app.chats.create(&tenant.id, new_chat, once.as_ref(), Timestamp::now()).await? {
        CreateResult::Created(chat) => rest::created(&address(&chat.chat_id), &chat),
        CreateResult::Replayed { chat_id, response } => rest::created_before(&address(&chat_id), response),
        CreateResult::Mismatch => Err(mismatch()),
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
