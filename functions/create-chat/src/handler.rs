//! The handler of `POST /api/v1/chats/`.

use lambda_http::RequestExt;
use shared::{
    agent::AgentName,
    auth::Doorkeeper,
    chat::{ChatConfig, NewChat},
    error::ApiError,
    http::{self, Request, Response},
    store::Chats,
    time::Timestamp,
};

/// What the function works with.
#[derive(Clone, Debug)]
pub(crate) struct App {
    pub(crate) doorkeeper: Doorkeeper,
    pub(crate) chats: Chats,
    pub(crate) default_agent: AgentName,
}

pub(crate) async fn handle(app: App, request: Request) -> Result<Response, ApiError> {
    if !http::is_bare_collection(request.raw_http_path()) {
        return Err(http::unknown_route(request.method(), request.raw_http_path()));
    }
    let tenant = app.doorkeeper.admit(http::api_key(&request)).await?;
    let mut new_chat = NewChat::read(http::json_body(&request)?)?;
    let defaults = ChatConfig { agent: Some(app.default_agent), ..ChatConfig::default() };
    new_chat.config = new_chat.config.or(defaults);
    let chat = app.chats.create(&tenant, new_chat, Timestamp::now()).await?;
    http::created(&format!("/api/v1/chats/{}", chat.chat_id), &chat)
}
