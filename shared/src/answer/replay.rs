//! Telling sockets of an answer that has ended.

use super::{
    feed::{End, Feed},
    writer::Beginning,
    writers::{Sockets, Subject, Telling, Writers},
};
use crate::{
    error::{ApiError, Code},
    id::{ChatId, ConnectionId, TenantId},
    message::Status,
    store::{Answer, Connection},
    ws::Timing,
};

/// Tells a socket of an answer that has ended.
pub async fn replay(sockets: &Sockets, connection: Connection, answer: Answer, beginning: Beginning, request_id: &str) {
    let Some(writers) = writers(sockets, &connection.pass.chat_id, answer, request_id) else { return };
    writers.begin(connection, beginning);
    writers.done().await;
}

/// Tells the sockets of a chat that an answer has ended whose streamer could not say so; but not those that are told
/// otherwise.
pub async fn tell_end(
    sockets: &Sockets,
    (tenant, chat): (&TenantId, &ChatId),
    answer: Answer,
    but: &[ConnectionId],
    request_id: &str,
) {
    let Some(writers) = writers(sockets, chat, answer, request_id) else { return };
    for socket in sockets.of_chat(tenant, chat, request_id).await {
        if !but.contains(&socket.connection_id) {
            writers.begin(socket, Beginning::End);
        }
    }
    writers.done().await;
}

/// The writers of an answer that has ended; `None` for one that has not, which nobody here has to tell of.
fn writers(sockets: &Sockets, chat: &ChatId, answer: Answer, request_id: &str) -> Option<Writers> {
    let Answer { message, replaces, model, first_token_ms } = answer;
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
    Some(Writers::new(Telling {
        sockets: sockets.clone(),
        chat_id: chat.clone(),
        message: None,
        answer: Subject { message_id: message.message_id, seq: message.seq, in_reply_to, replaces, model },
        request_id: request_id.to_owned(),
        feed: Feed::ended(message.content, end),
        hold: None,
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
