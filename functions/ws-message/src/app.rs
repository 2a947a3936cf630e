//! What the handlers of frames work with.

use std::{sync::Arc, time::Duration};

use lambda_runtime::Error;
use shared::{
    agents::{Agent, Bedrock, Deltas, Echo, KeySource, OpenAi, OpenAiSettings, Pace},
    auth::Authenticator,
    domain::{
        agent_name::AgentName,
        allowed_models::{AllowedModels, TenantModels},
        budget::BudgetLimits,
        chat::{ChatConfig, ModelName},
        connection::{Connection, ConnectionGrant},
        error::ApiError,
        generation::FinishedGeneration,
        id::{ChatId, ConnectionId},
        message::Message,
        time::Timestamp,
    },
    generation::{self, ChatConnections, FIRST_MESSAGES, GenerationContext},
    runtime::{
        after_response,
        bootstrap::Clients,
        config::{OpenAiConfig, WsMessageConfig},
        telemetry,
    },
    storage::{
        BudgetRepository, ChatRepository, ConnectionRepository, Conversation, Generation, GenerationRepository,
        MessageRepository, RunningGeneration, StorageError, TenantRepository,
    },
    websocket::{Body, Event, PostError, Publisher, SocketEvent},
};

#[derive(Debug)]
pub(crate) struct App {
    pub(crate) authenticator: Authenticator,
    pub(crate) chats: ChatRepository,
    pub(crate) messages: MessageRepository,
    pub(crate) generations: GenerationRepository,
    pub(crate) budgets: BudgetRepository,
    pub(crate) sockets: ChatConnections,
    echo: Echo,
    openai: OpenAi,
    bedrock: Bedrock,
    pub(crate) allowed: AllowedModels,
    /// The budget of a tenant without limits of its own.
    pub(crate) budget_limits: BudgetLimits,
    /// The shortest time between two token frames to one socket, after the first ones of an answer.
    frame_interval: Duration,
    /// The size of a context window.
    pub(crate) context_tokens: u32,
}

/// A generation whose assistant message is stored, and whose lease this invocation holds.
pub(crate) struct NewGeneration {
    /// The connection that asked for it.
    pub(crate) connection: Connection,
    /// The user's message, to be acknowledged.
    pub(crate) message: Option<Message>,
    pub(crate) generation: Generation,
    pub(crate) generations_in_chat: u32,
    pub(crate) received_at: Timestamp,
}

impl App {
    pub(crate) async fn from_config(config: WsMessageConfig, clients: Clients) -> Result<Arc<Self>, Error> {
        let tenants = TenantRepository::new(clients.dynamodb(), config.tenants_table);
        let connections = ConnectionRepository::new(clients.dynamodb(), config.connections_table);
        let publisher = Publisher::new(clients.management_api(config.management_endpoint));
        let AllowedModels { openai_model, bedrock_model, .. } = config.allowed.clone();
        Ok(Arc::new(Self {
            authenticator: Authenticator::new(tenants),
            chats: ChatRepository::new(clients.dynamodb(), config.chats_table.clone()),
            messages: MessageRepository::new(clients.dynamodb(), config.chats_table.clone()),
            generations: GenerationRepository::new(clients.dynamodb(), config.chats_table.clone()),
            budgets: BudgetRepository::new(clients.dynamodb(), config.chats_table),
            sockets: ChatConnections { connections, publisher },
            echo: Echo::new(Pace::tokens_per_second(config.echo_tokens_per_second).ok_or("the pace is negative")?),
            openai: OpenAi::new(openai_settings(config.openai, openai_model, &clients)),
            bedrock: Bedrock::new(clients.bedrock(), bedrock_model),
            allowed: config.allowed,
            budget_limits: config.budget_limits,
            frame_interval: config.frame_interval,
            context_tokens: config.context_tokens,
        }))
    }

    /// The agent of a chat, and the configuration to ask it with.
    ///
    /// # Errors
    ///
    /// `INVALID_PARAMETER` when the chat may no longer use its agent or model.
    pub(crate) fn agent(
        &self,
        config: ChatConfig,
        tenant_models: &TenantModels,
    ) -> Result<(&dyn Agent, ChatConfig), ApiError> {
        self.allowed.check(&config, tenant_models).map_err(must_be_changed)?;
        let agent: &dyn Agent = match self.allowed.agent(&config) {
            AgentName::Echo => &self.echo,
            AgentName::OpenAi => &self.openai,
            AgentName::Bedrock => &self.bedrock,
        };
        Ok((agent, self.allowed.bounded(config)))
    }

    /// Checks that the connection's key still gives access to its tenant. Returns what the tenant's chats may use.
    pub(crate) async fn recheck(&self, grant: &ConnectionGrant) -> Result<TenantModels, ApiError> {
        self.authenticator.recheck_models(&grant.tenant_id, &grant.key, Timestamp::now()).await
    }

    /// Reads a chat with as many of its newest messages as an agent is given beside the `new` message; without a new message,
    /// in place of the newest one.
    pub(crate) async fn conversation(
        &self,
        grant: &ConnectionGrant,
        new: Option<&str>,
        now: Timestamp,
    ) -> Result<Option<Conversation>, StorageError> {
        let more = |config: &ChatConfig, newest_first: &[Message]| {
            generation::messages_to_read(newest_first, new, config, self.context_tokens)
        };
        self.messages.conversation(&grant.tenant_id, &grant.chat_id, FIRST_MESSAGES, now, more).await
    }

    /// Runs a generation after the response.
    pub(crate) fn start(&self, deltas: Deltas, new: NewGeneration, event: &SocketEvent) {
        let NewGeneration { connection, message, generation, generations_in_chat, received_at } = new;
        let context = GenerationContext {
            generations: self.generations.clone(),
            sockets: self.sockets.clone(),
            authenticator: self.authenticator.clone(),
            connection,
            message,
            generation,
            generations_in_chat,
            received_at,
            frame_interval: self.frame_interval,
            request_id: event.request_id.clone(),
        };
        after_response::spawn(generation::generate(context, deltas));
    }

    /// Posts one event to the socket of a frame. Retries are few: a socket that does not read would keep its own function
    /// busy. A socket that is gone misses nothing.
    pub(crate) async fn post(&self, socket: &ConnectionId, chat_id: Option<&ChatId>, body: Body<'_>, request_id: &str) {
        let event = Event { body, chat_id, timestamp: Timestamp::now() };
        if let Err(PostError::Failed(cause)) = self.sockets.publisher.deliver_soon(socket, &event).await {
            tracing::warn!(request_id, error.cause = telemetry::causes(cause.as_ref()), "event post failed");
        }
    }

    /// Announces generations that were taken over to the chat's sockets, after the response.
    pub(crate) fn announce_takeovers(
        &self,
        ended: Vec<(FinishedGeneration, RunningGeneration)>,
        grant: &ConnectionGrant,
        event: &SocketEvent,
    ) {
        for (finished, running) in ended {
            let (sockets, grant, request_id) = (self.sockets.clone(), grant.clone(), event.request_id.clone());
            after_response::spawn(telemetry::background_task("notify_end", async move {
                generation::announce_end(
                    &sockets,
                    (&grant.tenant_id, &grant.chat_id),
                    finished,
                    &running.pending_resumes(),
                    &request_id,
                )
                .await;
            }));
        }
    }
}

/// The refusal of a chat whose agent or model was allowed when it was stored.
fn must_be_changed(error: ApiError) -> ApiError {
    let allowed = error.detail("allowed").and_then(|allowed| allowed.as_str()).unwrap_or_default();
    let suggestion = format!(
        "Change the config of the chat with PATCH /api/v1/chats/{{chat_id}}; allowed is {allowed}. Then try again; nothing \
         was stored."
    );
    error.with_detail("suggestion", suggestion)
}

fn openai_settings(config: OpenAiConfig, model: Option<ModelName>, clients: &Clients) -> OpenAiSettings {
    let OpenAiConfig { base_url, key, secret_name, headers } = config;
    let clients = clients.clone();
    let key = match secret_name {
        Some(name) => Some(KeySource::Read(Arc::new(move || {
            let (clients, name) = (clients.clone(), name.clone());
            Box::pin(async move { Ok(clients.secret(&name).await?) })
        }))),
        None => key.map(KeySource::Given),
    };
    OpenAiSettings { base_url, model, key, headers }
}
