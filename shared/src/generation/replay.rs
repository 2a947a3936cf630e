//! Posting a finished generation: again to one socket, or its end to the chat's sockets after a takeover.

use std::{sync::Arc, sync::atomic::AtomicU32, time::Duration};

use super::{
    end::EndNotice,
    fan_out::FanOut,
    message_stream::{MessageInfo, MessageStream},
    socket_writer::JoinAt,
    sockets::{ChatConnections, Sockets},
    text_buffer::TextBuffer,
    timings::Timings,
};
use crate::{
    domain::{
        connection::Connection,
        error::{ApiError, Code},
        generation::FinishedGeneration,
        id::{ChatId, ConnectionId, TenantId},
        message::Status,
    },
    runtime::clock::Clock,
    websocket::Timing,
};

/// The intervals of a replay. It holds a process that only its client needs, and a client that reads too slowly can ask
/// again.
pub(super) fn replay_timings() -> Timings {
    Timings { post: Duration::from_secs(1), ..Timings::default() }
}

/// Posts a finished generation to one socket. A post that takes longer than a second ends it.
pub async fn replay(
    sockets: &ChatConnections,
    connection: Connection,
    generation: FinishedGeneration,
    join_at: JoinAt,
    request_id: &str,
) {
    let chat = (&connection.grant.tenant_id, &connection.grant.chat_id);
    let sockets = Arc::new(sockets.clone());
    let Some(fan_out) = fan_out(sockets, chat, generation, request_id, replay_timings()) else { return };
    fan_out.add(connection, join_at);
    fan_out.finish().await;
}

/// Posts the end of a generation whose owner is gone to the chat's sockets, `except` those that get it otherwise.
pub async fn announce_end(
    sockets: &ChatConnections,
    chat: (&TenantId, &ChatId),
    generation: FinishedGeneration,
    except: &[ConnectionId],
    request_id: &str,
) {
    let sockets = Arc::new(sockets.clone());
    let Some(fan_out) = fan_out(sockets, chat, generation, request_id, Timings::default()) else { return };
    for connection in fan_out.stream().open_connections().await {
        if !except.contains(&connection.connection_id) {
            fan_out.add(connection, JoinAt::End);
        }
    }
    fan_out.finish().await;
}

/// A fan-out without writers; `None` when the generation has not finished, which callers rule out.
pub(super) fn fan_out(
    sockets: Arc<dyn Sockets>,
    (tenant, chat): (&TenantId, &ChatId),
    generation: FinishedGeneration,
    request_id: &str,
    timings: Timings,
) -> Option<FanOut> {
    let FinishedGeneration { message, replaces, model, first_token_ms } = generation;
    let (Some(finish_reason), Some(completed_at), Some(in_reply_to)) =
        (message.finish_reason, message.completed_at, message.in_reply_to)
    else {
        tracing::error!(request_id, chat_id = %chat, "stored assistant message is inconsistent");
        return None;
    };
    let total_ms = completed_at.millis_since(message.created_at);
    let notice = EndNotice {
        error: match message.status {
            Status::Interrupted => Some(agent_error("The answer was cut off before its end.")),
            Status::Failed => Some(agent_error("The agent could not answer.")),
            _ => None,
        },
        finish_reason,
        usage: message.usage.unwrap_or_default(),
        timing: Timing { first_token_ms: first_token_ms.unwrap_or(total_ms), total_ms },
    };
    Some(FanOut::new(MessageStream {
        tenant_id: tenant.clone(),
        chat_id: chat.clone(),
        user_message: None,
        message: MessageInfo { message_id: message.message_id, seq: message.seq, in_reply_to, replaces, model },
        request_id: request_id.to_owned(),
        buffer: TextBuffer::finished(message.content, notice),
        sockets,
        lease: None,
        clock: Clock::system(),
        timings,
        generations: AtomicU32::new(1),
    }))
}

fn agent_error(message: &str) -> ApiError {
    let suggestion = "Ask for it again with `regenerate`; what came of it is kept with the chat.";
    ApiError::new(Code::AgentError, message, suggestion)
}
