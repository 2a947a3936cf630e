//! The handler of `message` and `$default`.

use std::sync::Arc;

use shared::{
    after,
    agent::{Agent, AgentName, Conversation, Echo, Turn},
    answer::{self, Answering},
    error::ApiError,
    message::{Message, Role, Status},
    store::{Chats, Connection, Connections},
    telemetry,
    time::Timestamp,
    ws::{Body, Content, ErrorReport, Event, Frame, Publisher, SocketEvent},
};

/// How many of the newest messages an agent is given.
const CONTEXT_MESSAGES: u16 = 40;

/// What the function works with.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) chats: Chats,
    pub(crate) connections: Connections,
    pub(crate) publisher: Publisher,
    pub(crate) echo: Echo,
    pub(crate) default_agent: AgentName,
}

/// Hears a message. API Gateway shows a client nothing of what this function returns, so errors are posted too.
pub(crate) async fn handle(app: Arc<App>, event: SocketEvent) -> Result<(), ApiError> {
    let now = Timestamp::now();
    let Some(connection) = app.connections.get(&event.connection_id, now).await? else {
        tracing::info!(request_id = event.request_id, "a message came from a socket that is not open any more");
        return Ok(());
    };
    let heard = match Frame::read(event.body()) {
        Ok(Frame::Message(content)) => converse(&app, &event, &connection, content, now).await,
        Ok(Frame::Ping) => {
            post(&app, &connection, Body::Pong).await;
            Ok(())
        }
        Err(error) => Err(error),
    };
    if let Err(error) = heard {
        telemetry::log_cause(&error, &event.request_id);
        post(&app, &connection, Body::Error(ErrorReport::new(&error, &event.request_id, None))).await;
    }
    Ok(())
}

/// Stores what the user says; the answer is streamed after this function has answered.
async fn converse(
    app: &Arc<App>,
    event: &SocketEvent,
    connection: &Connection,
    content: Content,
    now: Timestamp,
) -> Result<(), ApiError> {
    let Connection { tenant_id, chat_id, .. } = connection;
    let gone = || ApiError::chat_not_found(chat_id.as_str());
    let chat = app.chats.conversation(tenant_id, chat_id, CONTEXT_MESSAGES).await?.ok_or_else(gone)?;
    let stored = app.chats.append(tenant_id, chat_id, chat.message_count, content.as_str(), now).await?;
    let exchange = stored.ok_or_else(gone)?;

    let agent = app.agent(chat.config.agent);
    let answering = Answering {
        chats: app.chats.clone(),
        connections: app.connections.clone(),
        publisher: app.publisher.clone(),
        connection: connection.clone(),
        model: agent.model(&chat.config),
        received_at: now,
        request_id: event.request_id.clone(),
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

/// Posts one event to the socket that spoke. If it is gone, there is nobody to tell.
async fn post(app: &App, connection: &Connection, body: Body<'_>) {
    let event = Event { body, chat_id: Some(&connection.chat_id), timestamp: Timestamp::now() };
    if let Err(error) = app.publisher.post(&connection.connection_id, &event).await {
        tracing::info!(error.cause = %error, "an event was not delivered");
    }
}
