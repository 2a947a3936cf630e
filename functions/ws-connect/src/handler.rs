//! The handler of `$connect`.

use std::{future::Future, time::Duration};

use shared::{
    auth::Authenticator,
    domain::{
        api_key::KeyHash,
        error::{ApiError, Code},
        id::{ChatId, TenantId, UserId},
        input::{Field, Value},
        limits::Limits,
        ticket::TicketText,
        time::Timestamp,
    },
    runtime::{after_response, deadline::within, retry::retry_for, telemetry},
    storage::{AccessDenied, ActiveStream, Chats, Connection, ConnectionGrant, Connections},
    websocket::{Body, ErrorReport, Event, PostError, Publisher, SocketEvent, connection_slots::ConnectionSlots},
};

/// How long each part of the greeting of a socket is tried.
const GREETING: Duration = Duration::from_secs(3);

/// What the function works with.
#[derive(Clone, Debug)]
pub(crate) struct App {
    pub(crate) authenticator: Authenticator,
    pub(crate) slots: ConnectionSlots,
    pub(crate) chats: Chats,
    pub(crate) connections: Connections,
    pub(crate) publisher: Publisher,
}

/// Lets the socket in, or refuses the handshake. The first event follows after the answer, since the socket does not
/// exist before.
pub(crate) async fn handle(app: App, event: SocketEvent) -> Result<(), ApiError> {
    let now = Timestamp::now();
    let (grant, limits) = match event.ticket() {
        Some(ticket) => {
            let grant = redeem(&app, &ticket, now).await?;
            let limits = check(&app, &grant, now).await?;
            (grant, limits)
        }
        None => present(&app, &event, now).await?,
    };
    let connection = Connection::open(event.connection_id.clone(), grant, now);
    app.slots.take(&connection, limits.connections, now).await?;
    if let Err(error) = app.connections.put(&connection).await {
        // It may be noted all the same. If this cannot be undone either, the lease is found when it is needed.
        app.connections.end(&connection).await?;
        return Err(error.into());
    }
    after_response::spawn(telemetry::background_task("greet", async move {
        welcome(&app, &connection, &event.request_id).await
    }));
    Ok(())
}

/// What a ticket lets in.
async fn redeem(app: &App, ticket: &TicketText, now: Timestamp) -> Result<ConnectionGrant, ApiError> {
    app.connections.redeem(ticket, now).await?.ok_or_else(|| {
        ApiError::new(
            Code::InvalidTicket,
            "This ticket was used already, is older than a minute, or never was.",
            "Get a new one with POST /api/v1/chats/{chat_id}/tickets and connect with it within a minute.",
        )
    })
}

/// What a key lets in.
async fn present(app: &App, event: &SocketEvent, now: Timestamp) -> Result<(ConnectionGrant, Limits), ApiError> {
    let (tenant_id, key) = app.authenticator.identify(event.api_key()).await?;
    match enter(app, event, &tenant_id, &key, now).await {
        Err(error) if error.code() == Code::InvalidApiKey => {
            // Perhaps the key has moved to another tenant since this process learned whose it is.
            app.authenticator.forget(&key);
            let (moved_to, _) = app.authenticator.identify(event.api_key()).await?;
            if moved_to == tenant_id { Err(error) } else { enter(app, event, &moved_to, &key, now).await }
        }
        entered => entered,
    }
}

/// What a key of this tenant lets in. Whoever it does not let in is told nothing else.
async fn enter(
    app: &App,
    event: &SocketEvent,
    tenant_id: &TenantId,
    key: &KeyHash,
    now: Timestamp,
) -> Result<(ConnectionGrant, Limits), ApiError> {
    let (user_id, chat_id) = match wanted(event) {
        Ok(wanted) => wanted,
        Err(error) => {
            app.authenticator.open(tenant_id, key, now).await??;
            return Err(error);
        }
    };
    let grant = ConnectionGrant { tenant_id: tenant_id.clone(), key: key.clone(), user_id, chat_id };
    let limits = check(app, &grant, now).await?;
    Ok((grant, limits))
}

/// The user and the chat that the query names.
fn wanted(event: &SocketEvent) -> Result<(UserId, ChatId), ApiError> {
    let mut query = event.query();
    let user_id = query.required("user_id")?;
    let ChatName(name) = query.required("chat_id")?;
    query.optional::<Ignored>("api_key")?;
    query.finish()?;
    let chat_id = ChatId::parse(&name).ok_or_else(|| ApiError::chat_not_found(&name))?;
    Ok((user_id, chat_id))
}

/// Whether a pass lets in: the gate is open, the chat is there and the user's own. Returns what the tenant may do.
async fn check(app: &App, grant: &ConnectionGrant, now: Timestamp) -> Result<Limits, ApiError> {
    let ConnectionGrant { tenant_id, key, user_id, chat_id } = grant;
    let (access, owner) =
        tokio::join!(app.authenticator.open(tenant_id, key, now), app.chats.owner_of(tenant_id, chat_id));
    let access = access??;
    let owner = owner?.ok_or_else(|| ApiError::chat_not_found(chat_id.as_str()))?;
    if owner != *user_id {
        return Err(ApiError::chat_access_denied(chat_id, user_id));
    }
    Ok(access.limits)
}

async fn welcome(app: &App, connection: &Connection, request_id: &str) {
    let ended = match Box::pin(greet(app, connection)).await {
        Ok(Ok(())) => Ok(()),
        // It was closed again before it was open, which `$disconnect` may not be told of.
        Ok(Err(PostError::Gone)) => app.connections.end(connection).await.map_err(ApiError::from),
        Ok(Err(error)) => {
            tracing::warn!(request_id, error.cause = telemetry::causes(&error), "a new socket was not greeted");
            Ok(())
        }
        // Without a greeting its client knows nothing of what is going on in the chat: it is to connect again.
        Err(error) if matches!(error.code(), Code::ChatNotFound | Code::ConnectionClosing | Code::Unavailable) => {
            telemetry::log_cause(&error, request_id);
            turn_away(app, connection, &error, request_id).await
        }
        Err(error) => Err(error),
    };
    if let Err(error) = ended {
        telemetry::log_cause(&error, request_id);
    }
}

/// Greets the socket: with the answers that are being streamed, read after the socket was stored, so that none falls
/// between those it is told of here and those that find it.
///
/// Whoever deletes the chat or shuts the gate looks for open sockets after that. A socket that opens meanwhile looks
/// itself, before it is greeted and once more when it is open for sure: either they find it, or it finds out.
async fn greet(app: &App, connection: &Connection) -> Result<Result<(), PostError>, ApiError> {
    let Connection { connection_id, grant: ConnectionGrant { tenant_id, user_id, chat_id, .. }, expires_at, .. } =
        connection;
    let active_streams = patiently(|| still_welcome(app, connection)).await?;
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
    let greet = async || Ok(app.chats.greet(tenant_id, user_id, connection_id, Timestamp::now()).await?);
    let (welcome, is_new) = tokio::join!(patiently(|| still_welcome(app, connection)), patiently(greet));
    if is_new? {
        let created = app.publisher.deliver(connection_id, &event(Body::UserCreated { user_id })).await;
        if created.is_err() {
            return Ok(created);
        }
    }
    welcome?;
    app.connections.note_greeted(connection).await?;
    Ok(Ok(()))
}

/// A part of the greeting, tried again, and given up when it takes too long: the client is to be told in time.
async fn patiently<T, F>(part: impl FnMut() -> F) -> Result<T, ApiError>
where
    F: Future<Output = Result<T, ApiError>>,
{
    within(GREETING, Box::pin(retry_for(GREETING, part))).await
}

/// Whether what let the socket in still does; returns the answers that are being streamed.
async fn still_welcome(app: &App, connection: &Connection) -> Result<Vec<ActiveStream>, ApiError> {
    let ConnectionGrant { tenant_id, key, chat_id, .. } = &connection.grant;
    let now = Timestamp::now();
    let (access, presence) =
        tokio::join!(app.authenticator.open(tenant_id, key, now), app.chats.presence(tenant_id, chat_id, now));
    access?.map_err(AccessDenied::closing)?;
    let (_, active_streams) = presence?.ok_or_else(|| ApiError::chat_not_found(chat_id.as_str()))?;
    Ok(active_streams)
}

/// Says to a socket why it is closed, closes it, and forgets it: `$disconnect` may never be told.
async fn turn_away(app: &App, connection: &Connection, reason: &ApiError, request_id: &str) -> Result<(), ApiError> {
    let body = Body::Error(ErrorReport::new(reason, request_id, None));
    let event = Event { body, chat_id: Some(&connection.grant.chat_id), timestamp: Timestamp::now() };
    let said = app.publisher.deliver_once_open(&connection.connection_id, &event).await;
    let closed = app.publisher.close(&connection.connection_id).await;
    if let Err(PostError::Failed(cause)) = said.and(closed) {
        tracing::warn!(request_id, error.cause = telemetry::causes(cause.as_ref()), "a socket was not turned away");
        // It may be open. Then it is closed when it speaks, which it can only while it is known.
        return Ok(());
    }
    Ok(app.connections.end(connection).await?)
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
