//! The handler of `$connect`.

use shared::{
    after,
    api_key::TicketText,
    auth::Doorkeeper,
    error::{ApiError, Code},
    id::ChatId,
    input::{Field, Value},
    leases::Leases,
    store::{Chats, Connection, Connections, Pass},
    telemetry,
    time::Timestamp,
    ws::{Body, Event, PostError, Publisher, SocketEvent},
};

/// What the function works with.
#[derive(Clone, Debug)]
pub(crate) struct App {
    pub(crate) doorkeeper: Doorkeeper,
    pub(crate) leases: Leases,
    pub(crate) chats: Chats,
    pub(crate) connections: Connections,
    pub(crate) publisher: Publisher,
}

/// Lets the socket in, or refuses the handshake. The first event follows after the answer, since the socket does not
/// exist before.
pub(crate) async fn handle(app: App, event: SocketEvent) -> Result<(), ApiError> {
    let now = Timestamp::now();
    let wanted = match event.ticket() {
        Some(ticket) => redeem(&app, &ticket, now).await?,
        None => present(&app, &event).await?,
    };
    app.leases.take(&wanted.tenant_id, &wanted.key, now).await?;
    let opened = open(&app, &event, wanted.clone(), now).await;
    match opened {
        Ok(connection) => {
            after::spawn(async move { welcome(&app, &connection, &event.request_id).await });
            Ok(())
        }
        Err(error) => {
            app.leases.give_back(&wanted.tenant_id, now).await?;
            Err(error)
        }
    }
}

/// What a ticket lets in.
async fn redeem(app: &App, ticket: &TicketText, now: Timestamp) -> Result<Pass, ApiError> {
    app.connections.redeem(ticket, now).await?.ok_or_else(|| {
        ApiError::new(
            Code::InvalidTicket,
            "This ticket was used already, is older than a minute, or never was.",
            "Get a new one with POST /api/v1/chats/{chat_id}/tickets and connect with it within a minute.",
        )
    })
}

/// What a key would let in, if it still opens its tenant's gate.
async fn present(app: &App, event: &SocketEvent) -> Result<Pass, ApiError> {
    let (tenant_id, key) = app.doorkeeper.identify(event.api_key()).await?;
    let mut query = event.query();
    let user_id = query.required("user_id")?;
    let ChatName(name) = query.required("chat_id")?;
    query.optional::<Ignored>("api_key")?;
    query.finish()?;
    let chat_id = ChatId::parse(&name).ok_or_else(|| ApiError::chat_not_found(&name))?;
    Ok(Pass { tenant_id, key, user_id, chat_id })
}

/// Notes the socket, if the chat is there and the user's own.
async fn open(app: &App, event: &SocketEvent, pass: Pass, now: Timestamp) -> Result<Connection, ApiError> {
    let presence = app.chats.presence(&pass.tenant_id, &pass.chat_id, now).await?;
    let (owner, _) = presence.ok_or_else(|| ApiError::chat_not_found(pass.chat_id.as_str()))?;
    if owner != pass.user_id {
        return Err(ApiError::chat_access_denied(&pass.chat_id, &pass.user_id));
    }
    let connection = Connection::open(event.connection_id.clone(), pass, now);
    app.connections.put(&connection).await?;
    Ok(connection)
}

async fn welcome(app: &App, connection: &Connection, request_id: &str) {
    match greet(app, connection).await {
        // It was closed again before it was open, which `$disconnect` may not be told of.
        Ok(Err(PostError::Gone)) => {
            if let Err(error) = app.leases.end(connection, Timestamp::now()).await {
                telemetry::log_cause(&error.into(), request_id);
            }
        }
        Ok(Err(error)) => {
            tracing::warn!(request_id, error.cause = telemetry::causes(&error), "a new socket was not greeted");
        }
        Err(error) => telemetry::log_cause(&error, request_id),
        Ok(Ok(())) => {}
    }
}

/// Greets the socket: with the answers that are being streamed, read after the socket was stored, so that none falls
/// between those it is told of here and those that find it.
async fn greet(app: &App, connection: &Connection) -> Result<Result<(), PostError>, ApiError> {
    let Connection { connection_id, pass: Pass { tenant_id, user_id, chat_id, .. }, expires_at, .. } = connection;
    let now = Timestamp::now();
    let presence = app.chats.presence(tenant_id, chat_id, now).await?;
    let active_streams = presence.map(|(_, streams)| streams).unwrap_or_default();
    let event = |body| Event { body, chat_id: Some(chat_id), timestamp: Timestamp::now() };

    let established = Body::ConnectionEstablished {
        connection_id,
        user_id,
        expires_at: *expires_at,
        active_streams: &active_streams,
    };
    if let Err(error) = app.publisher.deliver_once_open(connection_id, &event(established)).await {
        return Ok(Err(error));
    }
    if app.chats.greet(tenant_id, user_id, now).await? {
        let created = app.publisher.deliver(connection_id, &event(Body::UserCreated { user_id })).await;
        if created.is_err() {
            return Ok(created);
        }
    }
    app.connections.note_greeted(connection).await?;
    Ok(Ok(()))
}

/// What is read elsewhere.
struct Ignored;

impl Field for Ignored {
    const ALLOWED: &'static str = "a text";

    fn read(_: &Value) -> Option<Self> {
        Some(Self)
    }
}

/// Any text: one that is no chat's id is a chat that does not exist.
struct ChatName(String);

impl Field for ChatName {
    const ALLOWED: &'static str = "the id of a chat, chat_…";

    fn read(value: &Value) -> Option<Self> {
        value.as_str().filter(|text| !text.is_empty()).map(|text| Self(text.to_owned()))
    }
}
