//! The handler of `PATCH /api/v1/chats/{chat_id}`.

use shared::{
    auth::Tenant,
    domain::{
        allowed_models::AllowedModels,
        chat::{ChatChange, ChatConfig, ConfigChange},
        error::ApiError,
        id::{ChatId, TenantId},
        time::Timestamp,
    },
    rest::{self, Request, Response},
    runtime::{bootstrap::Clients, config::UpdateChatConfig},
    storage::ChatRepository,
};

#[derive(Clone, Debug)]
pub(crate) struct App {
    chats: ChatRepository,
    allowed: AllowedModels,
}

impl App {
    pub(crate) fn from_config(config: UpdateChatConfig, clients: &Clients) -> Self {
        Self { chats: ChatRepository::new(clients.dynamodb(), config.chats_table), allowed: config.allowed }
    }

    /// The configuration that the change applies to. Agent and model are checked together, so it is read if the change names
    /// one of them. Each message is checked again, so a change at the same time does no harm.
    async fn stored_config(
        &self,
        tenant: &TenantId,
        chat: &ChatId,
        change: &ConfigChange,
    ) -> Result<ChatConfig, ApiError> {
        if change.agent.is_some() && change.model.is_some() {
            return Ok(ChatConfig::default());
        }
        self.chats.config_of(tenant, chat).await?.ok_or_else(|| ApiError::chat_not_found(chat.as_str()))
    }
}

pub(crate) async fn handle(app: App, tenant: Tenant, request: Request) -> Result<Response, ApiError> {
    let chat_id = rest::chat_id(&request)?;
    rest::query(&request).finish()?;
    let change = ChatChange::read(rest::json_body(&request)?)?;
    // A limit of tokens that stays is lowered when the agent is asked.
    app.allowed.check_max_tokens(change.config.max_tokens.flatten())?;
    if change.config.changes_model() {
        let stored = app.stored_config(&tenant.id, &chat_id, &change.config).await?;
        app.allowed.check_new(&change.config.apply_model(stored), &tenant.models)?;
    }
    let chat = app.chats.update(&tenant.id, &chat_id, change, Timestamp::now()).await?;
    rest::ok(&chat.ok_or_else(|| ApiError::chat_not_found(chat_id.as_str()))?)
}
