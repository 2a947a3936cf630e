//! Streaming one answer from beginning to end.

use std::sync::Arc;

use futures_util::{StreamExt, stream::BoxStream};
use tokio::task::JoinSet;

use super::{
    feed::{End, Feed},
    writer,
};
use crate::{
    agent::{AgentError, Delta},
    error::{ApiError, Code},
    id::ConnectionId,
    message::{FinishReason, Status, Usage},
    store::{Chats, Connection, Connections, Exchange, Outcome},
    telemetry,
    time::Timestamp,
    ws::{Publisher, Timing},
};

/// The longest answer, in bytes of UTF-8: a DynamoDB item holds 400 KB.
const MAX_ANSWER_BYTES: usize = 300_000;

/// All that the answer to one message needs.
#[derive(Debug)]
pub struct Answering {
    /// Where the answer is stored.
    pub chats: Chats,
    /// Where the chat's sockets are found.
    pub connections: Connections,
    /// How sockets are reached.
    pub publisher: Publisher,
    /// The socket that the message came from.
    pub connection: Connection,
    /// The message, and the place of its answer.
    pub exchange: Exchange,
    /// The model that answers, as events show it.
    pub model: String,
    /// When the message arrived.
    pub received_at: Timestamp,
    /// The id under which errors are logged.
    pub request_id: String,
}

/// Takes the answer from the agent, posts it to all sockets of the chat as it comes, and stores it.
///
/// The socket that asked hears of it at once; the others as soon as they are found. They are looked up after the
/// message was stored, and a new socket looks for live streams after it was stored itself, so no socket misses both.
pub async fn stream(answering: Answering, answer: BoxStream<'static, Result<Delta, AgentError>>) {
    let answering = Arc::new(answering);
    let feed = Arc::new(Feed::new());
    let mut writers = JoinSet::new();
    let mut write_to = |socket: ConnectionId| {
        let (answering, feed) = (answering.clone(), feed.subscribe());
        writers.spawn(async move { writer::write(&answering, &socket, feed).await });
    };
    write_to(answering.connection.connection_id.clone());
    let generating = tokio::spawn(generate(answering.clone(), feed.clone(), answer));
    for socket in other_sockets(&answering).await {
        write_to(socket);
    }
    if let Err(panic) = generating.await {
        tracing::error!(request_id = answering.request_id, error.cause = %panic, "the answer was abandoned");
    }
    // Without its growing end a feed that has not ended is abandoned, and its writers stop.
    drop(feed);
    while writers.join_next().await.is_some() {}
}

async fn other_sockets(answering: &Answering) -> Vec<ConnectionId> {
    let Connection { connection_id, tenant_id, chat_id, .. } = &answering.connection;
    match answering.connections.of_chat(tenant_id, chat_id, answering.received_at).await {
        Ok(sockets) => sockets.into_iter().filter(|socket| socket != connection_id).collect(),
        Err(error) => {
            telemetry::log_cause(&error.into(), &answering.request_id);
            Vec::new()
        }
    }
}

/// Feeds the agent's text to the writers, then stores how it ended, then lets the writers say so: whoever hears that an
/// answer has ended can read it.
async fn generate(
    answering: Arc<Answering>,
    feed: Arc<Feed>,
    mut answer: BoxStream<'static, Result<Delta, AgentError>>,
) {
    let mut first_token_ms = None;
    let mut finish_reason = None;
    let mut usage = Usage::default();
    let mut error = None;
    while let Some(delta) = answer.next().await {
        let delta = match delta {
            Ok(delta) => delta,
            Err(failure) => {
                error = Some(agent_failed(failure));
                break;
            }
        };
        usage = delta.usage.unwrap_or(usage);
        finish_reason = delta.finish_reason.or(finish_reason);
        if !delta.content.is_empty() {
            first_token_ms.get_or_insert_with(|| Timestamp::now().millis_since(answering.received_at));
            let room = MAX_ANSWER_BYTES - feed.len();
            let fits = &delta.content[..delta.content.floor_char_boundary(room)];
            feed.push(fits);
            if fits.len() < delta.content.len() {
                finish_reason = Some(FinishReason::Length);
                break;
            }
        }
    }
    drop(answer);

    let finish_reason = if error.is_some() { FinishReason::Error } else { finish_reason.unwrap_or(FinishReason::Stop) };
    let status = if error.is_some() { Status::Failed } else { Status::Complete };
    let outcome = Outcome { content: feed.text(), status, finish_reason, usage };
    let error = store(&answering, &outcome).await.err().or(error);
    if let Some(error) = &error {
        telemetry::log_cause(error, &answering.request_id);
    }
    let total_ms = Timestamp::now().millis_since(answering.received_at);
    let timing = Timing { first_token_ms: first_token_ms.unwrap_or(total_ms), total_ms };
    feed.end(End { error, finish_reason, usage, timing });
}

async fn store(answering: &Answering, outcome: &Outcome) -> Result<(), ApiError> {
    let Connection { tenant_id, chat_id, .. } = &answering.connection;
    let reply = &answering.exchange.reply;
    if answering.chats.finish(tenant_id, chat_id, reply, outcome, Timestamp::now()).await? {
        Ok(())
    } else {
        Err(ApiError::chat_not_found(chat_id.as_str()))
    }
}

fn agent_failed(failure: AgentError) -> ApiError {
    ApiError::new(
        Code::AgentError,
        "The agent could not answer.",
        "Send the message again; what came before the failure is kept with the chat.",
    )
    .with_cause(failure)
}
