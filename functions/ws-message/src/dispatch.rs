//! Admits a frame, and chooses its handler by its type.

use std::sync::Arc;

use shared::{
    domain::{
        connection::Connection,
        error::{ApiError, Code},
        id::ChatId,
        limits,
    },
    runtime::{deadline::within_deadline, panics::catch_panic, telemetry},
    storage::{FrameAdmission, Refusal},
    websocket::{Body, ErrorReport, Frame, SocketEvent},
};

use crate::{app::App, cancel::cancel, ping::ping, regenerate::regenerate, resume::resume, send_message::send_message};

/// How an error is posted.
#[derive(Default)]
struct Reply {
    /// The chat of the connection, as soon as it is known.
    chat_id: Option<ChatId>,
    /// Whether the error is not posted at all.
    is_dropped: bool,
}

/// Handles one frame. Clients never see the function's return value, so errors are posted.
pub(crate) async fn handle(app: Arc<App>, event: SocketEvent) -> Result<(), ApiError> {
    let mut reply = Reply::default();
    let result = catch_panic(within_deadline(Box::pin(admit_and_dispatch(&app, &event, &mut reply)))).await;
    if let Err(error) = &result
        && !reply.is_dropped
    {
        let report = Body::Error(ErrorReport::new(error, &event.request_id, None));
        app.post(&event.connection_id, reply.chat_id.as_ref(), report, &event.request_id).await;
        if closes_socket(error.code()) {
            close(&app, &event).await;
        }
    }
    result
}

/// Counts the frame against its connection's rate limit, then dispatches it.
async fn admit_and_dispatch(app: &Arc<App>, event: &SocketEvent, reply: &mut Reply) -> Result<(), ApiError> {
    match app.sockets.connections.admit_frame(&event.connection_id, event.received_at()).await? {
        FrameAdmission::Allowed(connection) => {
            telemetry::note_tenant(&connection.grant.tenant_id);
            reply.chat_id = Some(connection.grant.chat_id.clone());
            dispatch(app, event, connection).await
        }
        FrameAdmission::RateLimited(connection, refusal) => {
            telemetry::note_tenant(&connection.grant.tenant_id);
            *reply = Reply { chat_id: Some(connection.grant.chat_id), is_dropped: refusal == Refusal::Dropped };
            Err(match refusal {
                Refusal::Told | Refusal::Dropped => limits::frame_rate_exceeded(),
                Refusal::Closing => limits::refused_frames_exceeded(),
            })
        }
        FrameAdmission::Unknown => Err(unknown_connection()),
    }
}

async fn dispatch(app: &Arc<App>, event: &SocketEvent, connection: Connection) -> Result<(), ApiError> {
    let frame = Frame::read(event.body());
    // Without access, a client learns nothing about its frame either.
    if !rechecks_itself(&frame) {
        app.recheck(&connection.grant).await?;
    }
    match frame? {
        Frame::Message { content, client_id } => send_message(app, event, connection, content, client_id).await,
        Frame::Cancel { message_id } => cancel(app, event, connection, &message_id).await,
        Frame::Resume { message_id, offset } => resume(app, event, connection, &message_id, offset).await,
        Frame::Regenerate { message_id } => regenerate(app, event, connection, &message_id).await,
        Frame::Ping => ping(app, event, &connection).await,
    }
}

/// A message is rechecked beside its other reads, which saves a round trip before the model is asked.
fn rechecks_itself(frame: &Result<Frame, ApiError>) -> bool {
    matches!(frame, Ok(Frame::Message { .. }))
}

fn closes_socket(code: Code) -> bool {
    matches!(code, Code::ConnectionClosing | Code::ChatNotFound)
}

async fn close(app: &App, event: &SocketEvent) {
    if let Err(error) = app.sockets.publisher.close(&event.connection_id).await {
        let request_id = &event.request_id;
        tracing::warn!(request_id, error.cause = telemetry::causes(&error), "connection close failed");
    }
}

fn unknown_connection() -> ApiError {
    ApiError::new(
        Code::ConnectionClosing,
        "This connection is not known any more.",
        "Close it and connect again; then send the message again with the same client_message_id.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_frame_but_a_message_is_rechecked_first() {
        let rechecks = |text| rechecks_itself(&Frame::read(text));
        assert!(rechecks(r#"{"content":"Hello"}"#) && rechecks(r#"{"type":"message","content":"Hello"}"#));
        for text in [r#"{"type":"ping"}"#, r#"{"type":"shout"}"#, r#"{"content":""}"#, "not JSON"] {
            assert!(!rechecks(text), "{text}");
        }
    }

    #[test]
    fn socket_is_closed_when_its_chat_or_its_access_is_gone() {
        let closing: Vec<Code> = Code::ALL.into_iter().filter(|code| closes_socket(*code)).collect();
        assert_eq!(closing, [Code::ChatNotFound, Code::ConnectionClosing]);
    }

    #[test]
    fn unknown_connection_is_closed() {
        assert!(closes_socket(unknown_connection().code()));
    }
}
