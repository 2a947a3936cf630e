//! The handler of `$connect`.

use shared::{
    after,
    auth::Doorkeeper,
    error::ApiError,
    id::{ChatId, UserId},
    input::Field,
    store::{Chats, Connection, Connections},
    time::Timestamp,
    ws::{Body, Event, Publisher, SocketEvent},
};

/// What the function works with.
#[derive(Clone, Debug)]
pub(crate) struct App {
    pub(crate) doorkeeper: Doorkeeper,
    pub(crate) chats: Chats,
    pub(crate) connections: Connections,
    pub(crate) publisher: Publisher,
}

/// Lets the socket in, or refuses the handshake. The first event follows after the answer, since the socket does not
/// exist before.
pub(crate) async fn handle(app: App, event: SocketEvent) -> Result<(), ApiError> {
    let tenant = app.doorkeeper.admit(event.api_key()).await?;
    let mut query = event.query();
    let user_id: UserId = query.required("user_id")?;
    let ChatName(chat_name) = query.required("chat_id")?;
    let not_found = || ApiError::chat_not_found(&chat_name);
    let chat_id = ChatId::parse(&chat_name).ok_or_else(not_found)?;
    let now = Timestamp::now();
    let (owner, _) = app.chats.presence(&tenant, &chat_id, now).await?.ok_or_else(not_found)?;
    if owner != user_id {
        return Err(ApiError::chat_access_denied(&chat_id, &user_id));
    }
    let connection = Connection::open(event.connection_id, tenant, user_id, chat_id, now);
    app.connections.put(&connection).await?;
    after::spawn(async move {
        if let Err(error) = welcome(&app, &connection).await {
            tracing::warn!(request_id = event.request_id, error.cause = error, "a new socket was not welcomed");
        }
    });
    Ok(())
}

/// Greets the socket: with the answers that are being streamed, read after the socket was stored, so that none falls
/// between those it is told of here and those that find it.
async fn welcome(app: &App, connection: &Connection) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let Connection { connection_id, tenant_id, user_id, chat_id, expires_at } = connection;
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
    app.publisher.post_once_open(connection_id, &event(established)).await?;
    if app.chats.greet(tenant_id, user_id, now).await? {
        app.publisher.post(connection_id, &event(Body::UserCreated { user_id })).await?;
    }
    Ok(())
}

/// Any text: one that is no chat's id is a chat that does not exist.
struct ChatName(String);

impl Field for ChatName {
    const ALLOWED: &'static str = "the id of a chat, chat_…";

    fn read(value: &shared::input::Value) -> Option<Self> {
        value.as_str().filter(|text| !text.is_empty()).map(|text| Self(text.to_owned()))
    }
}
