//! The handler of `message` and `$default`.

use std::sync::Arc;

use shared::{
    agents::{Agent, Bedrock, Deltas, Echo, OpenAi},
    auth::Authenticator,
    domain::{
        agent_name::AgentName,
        error::{ApiError, Code},
        id::{ChatId, ConnectionId},
        limits,
        message::Message,
        time::Timestamp,
    },
    generation::{self, ChatConnections, GenerationContext},
    runtime::{after_response, catch_panic::catch_panic, deadline::within_deadline, telemetry},
    storage::{Chats, Connection, ConnectionGrant, FinishedGeneration, FrameAdmission, Generation, RunningGeneration},
    websocket::{Body, ErrorReport, Event, Frame, PostError, SocketEvent},
};

use crate::{
    attend::{cancel, resume},
    converse::converse,
    regenerate::regenerate,
};

/// What the function works with.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) authenticator: Authenticator,
    pub(crate) chats: Chats,
    pub(crate) sockets: ChatConnections,
    pub(crate) echo: Echo,
    pub(crate) openai: OpenAi,
    pub(crate) bedrock: Bedrock,
    pub(crate) default_agent: AgentName,
    /// How many tokens of a chat an agent is given.
    pub(crate) context_tokens: u32,
}

/// An answer whose place is stored.
pub(crate) struct NewGeneration {
    /// The socket that wants it.
    pub(crate) connection: Connection,
    /// The message that it answers, to be acknowledged.
    pub(crate) message: Option<Message>,
    pub(crate) generation: Generation,
    pub(crate) model: String,
    pub(crate) received_at: Timestamp,
}

/// Hears a message. API Gateway shows a client nothing of what this function returns, so errors are posted too.
pub(crate) async fn handle(app: Arc<App>, event: SocketEvent) -> Result<(), ApiError> {
    let mut chat_id = None;
    let result = catch_panic(within_deadline(Box::pin(hear(&app, &event, &mut chat_id)))).await;
    if let Err(error) = &result {
        let report = Body::Error(ErrorReport::new(error, &event.request_id, None));
        app.post(&event.connection_id, chat_id.as_ref(), report, &event.request_id).await;
        if matches!(error.code(), Code::ConnectionClosing | Code::ChatNotFound)
            && let Err(error) = app.sockets.publisher.close(&event.connection_id).await
        {
            tracing::warn!(
                request_id = event.request_id,
                error.cause = telemetry::causes(&error),
                "a socket stays open"
            );
        }
    }
    result
}

/// Finds out who speaks, and for which `chat`; then does what they say, unless they say too much.
async fn hear(app: &Arc<App>, event: &SocketEvent, chat: &mut Option<ChatId>) -> Result<(), ApiError> {
    match app.sockets.connections.admit_frame(&event.connection_id, event.received_at()).await? {
        FrameAdmission::Allowed(connection) => {
            telemetry::note_tenant(&connection.grant.tenant_id);
            *chat = Some(connection.grant.chat_id.clone());
            obey(app, event, connection).await
        }
        FrameAdmission::RateLimited(connection) => {
            telemetry::note_tenant(&connection.grant.tenant_id);
            *chat = Some(connection.grant.chat_id);
            Err(limits::frame_rate_exceeded())
        }
        FrameAdmission::Unknown => Err(unknown_connection()),
    }
}

async fn obey(app: &Arc<App>, event: &SocketEvent, connection: Connection) -> Result<(), ApiError> {
    let frame = Frame::read(event.body());
    if !matches!(frame, Ok(Frame::Message { .. })) {
        app.recheck(&connection.grant).await?;
    }
    match frame? {
        // Looks at the key beside what else it reads.
        Frame::Message { content, client_id } => converse(app, event, connection, content, client_id).await,
        Frame::Cancel { message_id } => cancel(app, event, connection, &message_id).await,
        Frame::Resume { message_id, offset } => resume(app, event, connection, &message_id, offset).await,
        Frame::Regenerate { message_id } => regenerate(app, event, connection, &message_id).await,
        Frame::Ping => {
            let chat_id = Some(&connection.grant.chat_id);
            app.post(&event.connection_id, chat_id, Body::Pong, &event.request_id).await;
            Ok(())
        }
    }
}

impl App {
    pub(crate) fn agent(&self, name: Option<AgentName>) -> &dyn Agent {
        match name.unwrap_or(self.default_agent) {
            AgentName::Echo => &self.echo,
            AgentName::OpenAi => &self.openai,
            AgentName::Bedrock => &self.bedrock,
        }
    }

    /// Holds a socket to what let it in.
    pub(crate) async fn recheck(&self, grant: &ConnectionGrant) -> Result<(), ApiError> {
        self.authenticator.recheck(&grant.tenant_id, &grant.key, Timestamp::now()).await
    }

    /// Streams an answer after this function has answered.
    pub(crate) fn stream(&self, answer: Deltas, beginning: NewGeneration, event: &SocketEvent) {
        let NewGeneration { connection, message, generation, model, received_at } = beginning;
        let answering = GenerationContext {
            chats: self.chats.clone(),
            sockets: self.sockets.clone(),
            authenticator: self.authenticator.clone(),
            connection,
            message,
            generation,
            model,
            received_at,
            request_id: event.request_id.clone(),
        };
        after_response::spawn(generation::generate(answering, answer));
    }

    /// Posts one event to the socket that spoke, and not for long: whoever does not read would hold up its own function
    /// otherwise. If it is gone, there is nobody to tell.
    pub(crate) async fn post(&self, socket: &ConnectionId, chat_id: Option<&ChatId>, body: Body<'_>, request_id: &str) {
        let event = Event { body, chat_id, timestamp: Timestamp::now() };
        if let Err(PostError::Failed(cause)) = self.sockets.publisher.deliver_soon(socket, &event).await {
            tracing::warn!(request_id, error.cause = telemetry::causes(cause.as_ref()), "an event was not delivered");
        }
    }

    /// Tells the sockets of a chat of answers whose streamers are gone, after this function has answered.
    pub(crate) fn tell_ends(
        &self,
        ended: Vec<(FinishedGeneration, RunningGeneration)>,
        grant: &ConnectionGrant,
        event: &SocketEvent,
    ) {
        for (answer, record) in ended {
            let (sockets, grant, request_id) = (self.sockets.clone(), grant.clone(), event.request_id.clone());
            after_response::spawn(telemetry::background_task("announce_end", async move {
                generation::announce_end(
                    &sockets,
                    (&grant.tenant_id, &grant.chat_id),
                    answer,
                    &record.waiting(),
                    &request_id,
                )
                .await;
            }));
        }
    }
}

fn unknown_connection() -> ApiError {
    ApiError::new(
        Code::ConnectionClosing,
        "This connection is not known any more.",
        "Close it and connect again; then send the message again with the same client_message_id.",
    )
}
