//! FanOutContext sockets of an answer that has ended.

use super::{
    fan_out::{ChatConnections, FanOut, FanOutContext, GenerationInfo},
    socket_writer::StartAt,
    text_buffer::{End, TextBuffer},
};
use crate::{
    domain::{
        connection::Connection,
        error::{ApiError, Code},
        generation::FinishedGeneration,
        id::{ChatId, ConnectionId, TenantId},
        message::Status,
    },
    websocket::Timing,
};

/// Tells a socket of an answer that has ended.
pub async fn replay(
    sockets: &ChatConnections,
    connection: Connection,
    answer: FinishedGeneration,
    beginning: StartAt,
    request_id: &str,
) {
    let Some(fan_out) = fan_out(sockets, &connection.grant.chat_id, answer, request_id) else { return };
    fan_out.begin(connection, beginning);
    fan_out.done().await;
}

/// Tells the sockets of a chat that an answer has ended whose streamer could not say so; but not those that are told
/// otherwise.
pub async fn announce_end(
    sockets: &ChatConnections,
    (tenant, chat): (&TenantId, &ChatId),
    answer: FinishedGeneration,
    but: &[ConnectionId],
    request_id: &str,
) {
    let Some(fan_out) = fan_out(sockets, chat, answer, request_id) else { return };
    for socket in sockets.of_chat(tenant, chat, request_id).await {
        if !but.contains(&socket.connection_id) {
            fan_out.begin(socket, StartAt::End);
        }
    }
    fan_out.done().await;
}

/// The writers of an answer that has ended; `None` for one that has not, which nobody here has to tell of.
fn fan_out(sockets: &ChatConnections, chat: &ChatId, answer: FinishedGeneration, request_id: &str) -> Option<FanOut> {
    let FinishedGeneration { message, replaces, model, first_token_ms } = answer;
    let (Some(finish_reason), Some(completed_at), Some(in_reply_to)) =
        (message.finish_reason, message.completed_at, message.in_reply_to)
    else {
        tracing::error!(request_id, chat_id = %chat, "an answer is not what it should be");
        return None;
    };
    let total_ms = completed_at.millis_since(message.created_at);
    let end = End {
        error: match message.status {
            Status::Interrupted => Some(interrupted()),
            Status::Failed => Some(failed()),
            _ => None,
        },
        finish_reason,
        usage: message.usage.unwrap_or_default(),
        timing: Timing { first_token_ms: first_token_ms.unwrap_or(total_ms), total_ms },
    };
    Some(FanOut::new(FanOutContext {
        sockets: sockets.clone(),
        chat_id: chat.clone(),
        message: None,
        answer: GenerationInfo { message_id: message.message_id, seq: message.seq, in_reply_to, replaces, model },
        request_id: request_id.to_owned(),
        buffer: TextBuffer::ended(message.content, end),
        lease: None,
    }))
}

fn interrupted() -> ApiError {
    ApiError::new(
        Code::AgentError,
        "The answer was cut off before its end.",
        "Ask for it again with `regenerate`; what came of it is kept with the chat.",
    )
}

fn failed() -> ApiError {
    ApiError::new(
        Code::AgentError,
        "The agent could not answer.",
        "Ask for it again with `regenerate`; what came of it is kept with the chat.",
    )
}
