//! The greeting: the first events on a new socket, sent after the handshake's response.

use std::{future::Future, time::Duration};

use shared::{
    domain::{
        connection::{Connection, ConnectionGrant},
        error::{ApiError, Code},
        generation::ActiveStream,
        tenant::AccessDenied,
        time::Timestamp,
    },
    runtime::{deadline::within, retry::retry_for, telemetry},
    websocket::{Body, ErrorReport, Event, PostError},
};

use crate::app::App;

/// How long each step of the greeting is retried.
const STEP_DEADLINE: Duration = Duration::from_secs(3);

/// Greets a socket. A socket that cannot be greeted is closed: its client knows no running generation of the chat, and
/// has to connect again.
pub(crate) async fn greet_or_close(app: &App, connection: &Connection, request_id: &str) {
    match Box::pin(greet(app, connection)).await {
        Ok(Ok(())) => {}
        // The socket was closed before it was open; API Gateway may not send `$disconnect` for that.
        Ok(Err(PostError::Gone)) => remove(app, connection, request_id).await,
        Ok(Err(error)) => {
            tracing::warn!(request_id, error.cause = telemetry::causes(&error), "connection_established post failed");
        }
        Err(error) => {
            telemetry::log_cause(&error, request_id);
            if closes_socket(error.code()) {
                close(app, connection, &error, request_id).await;
            }
        }
    }
}

fn closes_socket(code: Code) -> bool {
    matches!(code, Code::ChatNotFound | Code::ConnectionClosing | Code::Unavailable)
}

/// Sends `connection_established` and, to a new user, `user_created`. The outer error says that the socket may not stay,
/// the inner error that it could not be reached.
///
/// Running generations are read after the connection was stored: each of them either is in the first event, or finds the
/// connection. A deleted chat and a revoked key close the connections that they find, so both are checked before the
/// first event and again once the socket is open.
async fn greet(app: &App, connection: &Connection) -> Result<Result<(), PostError>, ApiError> {
    let Connection { connection_id, grant: ConnectionGrant { tenant_id, user_id, chat_id, .. }, expires_at, .. } =
        connection;
    let active_streams = retried(|| recheck(app, connection)).await?;
    let event = |body| Event { body, chat_id: Some(chat_id), timestamp: Timestamp::now() };

    let established = Body::ConnectionEstablished {
        connection_id,
        user_id,
        expires_at: *expires_at,
        active_streams: &active_streams,
    };
    let is_stored = || is_stored(app, connection);
    if let Err(error) = app.publisher.deliver_once_open(connection_id, &event(established), is_stored).await {
        return Ok(Err(error));
    }
    let note_user =
        async || Ok(app.users.record_connection(tenant_id, user_id, connection_id, Timestamp::now()).await?);
    let (rechecked, is_new_user) = tokio::join!(retried(|| recheck(app, connection)), retried(note_user));
    if is_new_user? {
        let created = app.publisher.deliver(connection_id, &event(Body::UserCreated { user_id })).await;
        if created.is_err() {
            return Ok(created);
        }
    }
    rechecked?;
    app.connections.mark_established(connection).await?;
    Ok(Ok(()))
}

async fn retried<T, F>(step: impl FnMut() -> F) -> Result<T, ApiError>
where
    F: Future<Output = Result<T, ApiError>>,
{
    within(STEP_DEADLINE, Box::pin(retry_for(STEP_DEADLINE, step))).await
}

/// The running generations of the chat, if the chat still exists and the key still gives access.
async fn recheck(app: &App, connection: &Connection) -> Result<Vec<ActiveStream>, ApiError> {
    let ConnectionGrant { tenant_id, key, chat_id, .. } = &connection.grant;
    let now = Timestamp::now();
    let (access, active_streams) =
        tokio::join!(app.authenticator.open(tenant_id, key, now), app.generations.list_active(tenant_id, chat_id, now));
    access?.map_err(AccessDenied::closing)?;
    active_streams?.ok_or_else(|| ApiError::chat_not_found(chat_id.as_str()))
}

/// Whether `$disconnect` has not removed the connection. True if that cannot be read.
async fn is_stored(app: &App, connection: &Connection) -> bool {
    !matches!(app.connections.is_established(connection).await, Ok(None))
}

/// Sends the reason, closes the socket, and removes the connection: API Gateway may not send `$disconnect`.
async fn close(app: &App, connection: &Connection, reason: &ApiError, request_id: &str) {
    let body = Body::Error(ErrorReport::new(reason, request_id, None));
    let event = Event { body, chat_id: Some(&connection.grant.chat_id), timestamp: Timestamp::now() };
    let is_stored = || is_stored(app, connection);
    let posted = app.publisher.deliver_once_open(&connection.connection_id, &event, is_stored).await;
    let closed = app.publisher.close(&connection.connection_id).await;
    if let Err(PostError::Failed(cause)) = posted.and(closed) {
        tracing::warn!(request_id, error.cause = telemetry::causes(cause.as_ref()), "refused connection not closed");
        // The socket may be open. Its connection stays, so that its next frame is refused and the socket closed.
        return;
    }
    remove(app, connection, request_id).await;
}

/// Removes the connection and its slot. If that fails, the slot returns when its tenant needs it.
async fn remove(app: &App, connection: &Connection, request_id: &str) {
    if let Err(error) = app.connections.end(connection).await {
        tracing::warn!(request_id, error.cause = telemetry::causes(&error), "connection not removed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn socket_without_access_or_state_is_closed() {
        assert!([Code::ChatNotFound, Code::ConnectionClosing, Code::Unavailable].into_iter().all(closes_socket));
        assert!(!closes_socket(Code::Internal));
    }
}
