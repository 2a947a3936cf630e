//! The handler of `message` and `$default`.

use std::sync::Arc;

use shared::{
    after,
    agent::{Agent, AgentName, Conversation, Echo, Turn},
    answer::{self, Answering},
    auth::Doorkeeper,
    error::{ApiError, Code},
    http,
    id::{ChatId, ClientMessageId, ConnectionId},
    limits,
    message::{Message, Role, Status},
    store::{Appended, Chats, Connection, Connections, Heard, Pass},
    telemetry,
    time::Timestamp,
    ws::{Body, Content, ErrorReport, Event, Frame, PostError, Publisher, SocketEvent},
};

/// How many of the newest messages an agent is given.
const CONTEXT_MESSAGES: u16 = 40;

/// What the function works with.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) doorkeeper: Doorkeeper,
    pub(crate) chats: Chats,
    pub(crate) connections: Connections,
    pub(crate) publisher: Publisher,
    pub(crate) echo: Echo,
    pub(crate) default_agent: AgentName,
}

/// Hears a message. API Gateway shows a client nothing of what this function returns, so errors are posted too.
pub(crate) async fn handle(app: Arc<App>, event: SocketEvent) -> Result<(), ApiError> {
    let heard = app.connections.hear(&event.connection_id, event.received_at()).await;
    let (chat_id, result) = match heard {
        Ok(Heard::Allowed(connection)) => {
            let chat_id = connection.pass.chat_id.clone();
            (Some(chat_id), http::caught(Box::pin(obey(&app, &event, connection))).await)
        }
        Ok(Heard::TooOften(connection)) => (Some(connection.pass.chat_id), Err(limits::too_many_frames())),
        Ok(Heard::Unknown) => (None, Err(unknown_connection())),
        Err(error) => (None, Err(error.into())),
    };
    if let Err(error) = &result {
        let report = Body::Error(ErrorReport::new(error, &event.request_id, None));
        post(&app, &event.connection_id, chat_id.as_ref(), report).await;
        if matches!(error.code(), Code::ConnectionClosing | Code::ChatNotFound)
            && let Err(error) = app.publisher.close(&event.connection_id).await
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

fn unknown_connection() -> ApiError {
    ApiError::new(
        Code::ConnectionClosing,
        "This connection is not known any more.",
        "Close it and connect again; then send the message again with the same client_message_id.",
    )
}

async fn obey(app: &App, event: &SocketEvent, connection: Connection) -> Result<(), ApiError> {
    let Pass { tenant_id, key, .. } = &connection.pass;
    app.doorkeeper.recheck(tenant_id, key, Timestamp::now()).await?;
    match Frame::read(event.body())? {
        Frame::Message { content, client_id } => converse(app, event, connection, content, client_id).await,
        Frame::Ping => {
            post(app, &connection.connection_id, Some(&connection.pass.chat_id), Body::Pong).await;
            Ok(())
        }
    }
}

/// Stores what the user says; the answer is streamed after this function has answered.
async fn converse(
    app: &App,
    event: &SocketEvent,
    connection: Connection,
    content: Content,
    client_id: Option<ClientMessageId>,
) -> Result<(), ApiError> {
    let now = Timestamp::now();
    let Pass { tenant_id, chat_id, .. } = &connection.pass;
    let gone = || ApiError::chat_not_found(chat_id.as_str());
    let chat = app.chats.conversation(tenant_id, chat_id, CONTEXT_MESSAGES).await?.ok_or_else(gone)?;
    let appended = app.chats.append(tenant_id, chat_id, chat.seen, content.as_str(), client_id.as_ref(), now).await?;
    let exchange = match appended {
        Appended::Stored(exchange) => *exchange,
        Appended::Before(message) => {
            post(app, &connection.connection_id, Some(chat_id), Body::received(&message)).await;
            return Ok(());
        }
        Appended::NoChat => return Err(gone()),
        Appended::Busy => return Err(too_many_answers()),
    };

    let agent = app.agent(chat.config.agent);
    let answering = Answering {
        chats: app.chats.clone(),
        connections: app.connections.clone(),
        publisher: app.publisher.clone(),
        model: agent.model(&chat.config),
        received_at: now,
        request_id: event.request_id.clone(),
        connection,
        exchange,
    };
    let turns = context(chat.recent, &answering.exchange.message);
    let answer = agent.answer(Conversation { turns, config: chat.config });
    after::spawn(answer::stream(answering, answer));
    Ok(())
}

impl App {
    fn agent(&self, name: Option<AgentName>) -> &dyn Agent {
        match name.unwrap_or(self.default_agent) {
            AgentName::Echo => &self.echo,
        }
    }
}

/// What the agent is told: all that was said and finished before, then the new message.
fn context(recent: Vec<Message>, message: &Message) -> Vec<Turn> {
    let finished =
        recent.into_iter().filter(|earlier| earlier.status == Status::Complete && !earlier.content.is_empty());
    let mut turns: Vec<Turn> = finished.map(|earlier| Turn { role: earlier.role, content: earlier.content }).collect();
    turns.push(Turn { role: Role::User, content: message.content.clone() });
    turns
}

fn too_many_answers() -> ApiError {
    ApiError::new(
        Code::GenerationInProgress,
        "Four answers are being streamed in this chat.",
        "Wait for one to end, then send the message again.",
    )
}

/// Posts one event to the socket that spoke. If it is gone, there is nobody to tell.
async fn post(app: &App, socket: &ConnectionId, chat_id: Option<&ChatId>, body: Body<'_>) {
    let event = Event { body, chat_id, timestamp: Timestamp::now() };
    if let Err(PostError::Failed(cause)) = app.publisher.deliver(socket, &event).await {
        tracing::warn!(error.cause = telemetry::causes(cause.as_ref()), "an event was not delivered");
    }
}
