//! The handler of `POST /api/v1/chats/`.

use lambda_http::RequestExt;
use shared::{
    auth::Tenant,
    domain::{
        allowed_models::{AllowedModels, TenantModels},
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
    allowed: AllowedModels,
}

impl App {
    pub(crate) fn from_config(config: CreateChatConfig, clients: &Clients) -> Self {
        Self { chats: ChatRepository::new(clients.dynamodb(), config.chats_table), allowed: config.allowed }
    }
}

pub(crate) async fn handle(app: App, tenant: Tenant, request: Request) -> Result<Response, ApiError> {
    refuse_other_paths(&request)?;
    rest::query(&request).finish()?;
    let idempotency = rest::idempotency_key(&request)?.map(|key| IdempotencyRequest::new(key, request.body()));
    let mut new_chat = NewChat::read(rest::json_body(&request)?)?;
    new_chat.config = checked(new_chat.config, tenant.defaults, &app.allowed, &tenant.models)?;
    respond(app.chats.create(&tenant.id, new_chat, idempotency.as_ref(), Timestamp::now()).await?)
}

/// API Gateway sends every `POST` below `/api/v1/chats/` here.
fn refuse_other_paths(request: &Request) -> Result<(), ApiError> {
    let path = request.raw_http_path();
    if rest::is_chat_collection(path) { Ok(()) } else { Err(rest::unknown_route(request.method(), path)) }
}

/// The chat's own settings, then those of its tenant, then the agent of the stack, if all of them are allowed.
fn checked(
    config: ChatConfig,
    tenant_defaults: ChatConfig,
    allowed: &AllowedModels,
    tenant_models: &TenantModels,
) -> Result<ChatConfig, ApiError> {
    allowed.check_max_tokens(config.max_tokens)?;
    let agent = tenant_defaults.agent.or(Some(allowed.default_agent));
    let max_tokens = tenant_defaults.max_tokens.map(|max| max.min(allowed.max_tokens));
    let config = config.or(ChatConfig { agent, max_tokens, ..tenant_defaults });
    allowed.check_new(&config, tenant_models)?;
    Ok(config)
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
    use serde_json::{Value, json};
    use shared::domain::{agent_name::AgentName, allowed_models::ModelPatterns, chat::MaxTokens, input::Field};

    use super::*;

    fn max_tokens(number: u32) -> Option<MaxTokens> {
        MaxTokens::read(&number.into())
    }

    fn allowed() -> AllowedModels {
        AllowedModels {
            default_agent: AgentName::Echo,
            configured: vec![AgentName::Echo, AgentName::OpenAi],
            agents: None,
            openai_model: None,
            bedrock_model: None,
            models: ModelPatterns::parse("m").expect("a list"),
            max_tokens: max_tokens(4096).expect("a limit"),
        }
    }

    fn config(config: Value) -> ChatConfig {
        serde_json::from_value(config).expect("a configuration")
    }

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
        let named = |agent| ChatConfig { agent, ..config(json!({ "model": "m" })) };
        let agent = |chat, tenant| {
            checked(named(chat), named(tenant), &allowed(), &TenantModels::default()).expect("allowed").agent
        };
        assert_eq!(agent(Some(AgentName::Echo), Some(AgentName::OpenAi)), Some(AgentName::Echo));
        assert_eq!(agent(None, Some(AgentName::OpenAi)), Some(AgentName::OpenAi));
        assert_eq!(agent(None, None), Some(AgentName::Echo));
    }

    #[test]
    fn agent_model_and_tokens_must_be_allowed() {
        for (chat, tenant, field) in [
            (json!({ "agent": "bedrock", "model": "m" }), json!({}), "config.agent"),
            (json!({}), json!({ "agent": "bedrock" }), "config.agent"),
            (json!({ "agent": "openai", "model": "other" }), json!({}), "config.model"),
            (json!({ "agent": "openai" }), json!({}), "config.model"),
            (json!({ "model": "echo@0.001" }), json!({}), "config.model"),
            (json!({ "max_tokens": 4097 }), json!({}), "config.max_tokens"),
        ] {
            let error = checked(config(chat), config(tenant), &allowed(), &TenantModels::default())
                .expect_err("it is not allowed");
            assert_eq!((error.code(), error.detail("field")), (Code::InvalidParameter, Some(&field.into())));
        }
    }

    #[test]
    fn tenant_default_above_the_cap_is_lowered() {
        let created =
            checked(ChatConfig::default(), config(json!({ "max_tokens": 9000 })), &allowed(), &TenantModels::default());
        assert_eq!(created.expect("allowed").max_tokens, max_tokens(4096));
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
