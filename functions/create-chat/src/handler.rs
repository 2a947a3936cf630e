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
    runtime::{bootstrap::Clients, config::CreateChatConfig},
    storage::{ChatRepository, CreateResult, IdempotencyRequest},
};

#[derive(Clone, Debug)]
pub(crate) struct App {
    chats: ChatRepository,
    default_agent: AgentName,
}

impl App {
    pub(crate) fn from_config(config: CreateChatConfig, clients: &Clients) -> Self {
        Self { chats: ChatRepository::new(clients.dynamodb(), config.chats_table), default_agent: config.default_agent }
    }
}

pub(crate) async fn handle(app: App, tenant: Tenant, request: Request) -> Result<Response, ApiError> {
    refuse_other_paths(&request)?;
    rest::query(&request).finish()?;
    let idempotency = rest::idempotency_key(&request)?.map(|key| IdempotencyRequest::new(key, request.body()));
    let mut new_chat = NewChat::read(rest::json_body(&request)?)?;
    new_chat.config = with_defaults(new_chat.config, tenant.defaults, app.default_agent);
    respond(app.chats.create(&tenant.id, new_chat, idempotency.as_ref(), Timestamp::now()).await?)
}

/// API Gateway sends every `POST` below `/api/v1/chats/` here.
fn refuse_other_paths(request: &Request) -> Result<(), ApiError> {
    let path = request.raw_http_path();
    if rest::is_chat_collection(path) { Ok(()) } else { Err(rest::unknown_route(request.method(), path)) }
}

/// The chat's own settings, then those of its tenant, then the agent of the stack.
fn with_defaults(config: ChatConfig, tenant_defaults: ChatConfig, default_agent: AgentName) -> ChatConfig {
    let agent = tenant_defaults.agent.or(Some(default_agent));
    config.or(ChatConfig { agent, ..tenant_defaults })
}

fn respond(result: CreateResult) -> Result<Response, ApiError> {
    match result {
        CreateResult::Created(chat) => rest::created_at(&location(&chat.chat_id), &chat),
        CreateResult::Replayed { chat_id, response } => rest::replayed(&location(&chat_id), response),
        CreateResult::Mismatch => Err(mismatch()),
    }
}

fn location(chat: &ChatId) -> String {
    format!("/api/v1/chats/{chat}")
}

fn mismatch() -> ApiError {
    ApiError::new(
        Code::IdempotencyMismatch,
        "This Idempotency-Key was used with another body within the last 24 hours.",
        "Send the same body again, or a new key with a new body.",
    )
}

#[cfg(test)]
mod tests {
    use lambda_http::{
        Body,
        http::{Method, StatusCode, header::LOCATION},
    };

    use super::*;

    fn post(path: &str) -> Request {
        let mut request = Request::new(Body::Empty).with_raw_http_path(path);
        *request.method_mut() = Method::POST;
        request
    }

    #[test]
    fn chat_is_created_only_at_the_collection() {
        let refused = |path| refuse_other_paths(&post(path)).err().map(|error| error.code());
        assert_eq!(refused("/api/v1/chats"), None);
        assert_eq!(refused("/api/v1/chats/"), None);
        assert_eq!(refused("/api/v1/chats/chat_1"), Some(Code::MethodNotAllowed));
        assert_eq!(refused("/api/v1/chats/a/b/c"), Some(Code::RouteNotFound));
    }

    #[test]
    fn agent_comes_from_the_chat_then_the_tenant_then_the_stack() {
        let named = |agent| ChatConfig { agent, ..ChatConfig::default() };
        let agent = |chat, tenant| with_defaults(named(chat), named(tenant), AgentName::Echo).agent;
        assert_eq!(agent(Some(AgentName::OpenAi), Some(AgentName::Bedrock)), Some(AgentName::OpenAi));
        assert_eq!(agent(None, Some(AgentName::Bedrock)), Some(AgentName::Bedrock));
        assert_eq!(agent(None, None), Some(AgentName::Echo));
    }

    #[test]
    fn replayed_chat_has_the_first_response() {
        let chat_id = ChatId::generate();
        let result = CreateResult::Replayed { chat_id: chat_id.clone(), response: "{}".to_owned() };
        let response = respond(result).expect("a response");
        assert_eq!((response.status(), response.body().as_ref()), (StatusCode::CREATED, &b"{}"[..]));
        assert_eq!(response.headers()[LOCATION], format!("/api/v1/chats/{chat_id}"));
    }

    #[test]
    fn reused_key_with_another_body_is_a_mismatch() {
        let error = respond(CreateResult::Mismatch).expect_err("another body");
        assert_eq!(error.code(), Code::IdempotencyMismatch);
    }
}
