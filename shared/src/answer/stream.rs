//! Streaming one answer from beginning to end.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::{FutureExt, StreamExt, stream::BoxStream};
use tokio::task::JoinSet;

use super::{
    feed::{End, Feed},
    writer,
};
use crate::{
    agent::{AgentError, Delta},
    error::{ApiError, Code},
    message::{FinishReason, Status, Usage},
    store::{Chats, Connection, Connections, Exchange, Outcome, Pass},
    telemetry,
    time::Timestamp,
    ws::{Publisher, Timing},
};

/// The longest answer, in bytes of UTF-8: a DynamoDB item holds 400 KB.
const MAX_ANSWER_BYTES: usize = 300_000;

/// How often a stream looks whether its chat is still there.
const LOOK_INTERVAL: Duration = Duration::from_millis(800);

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
    let mut write_to = |connection: Connection| {
        let (answering, feed) = (answering.clone(), feed.subscribe());
        writers.spawn(async move { writer::write(&answering, &connection, feed).await });
    };
    write_to(answering.connection.clone());
    let finding = async { other_sockets(&answering).await.into_iter().for_each(write_to) };
    tokio::join!(generate(&answering, &feed, answer), finding);
    while writers.join_next().await.is_some() {}
}

async fn other_sockets(answering: &Answering) -> Vec<Connection> {
    let Connection { connection_id, pass: Pass { tenant_id, chat_id, .. }, .. } = &answering.connection;
    match answering.connections.of_chat(tenant_id, chat_id, answering.received_at).await {
        Ok(sockets) => sockets.into_iter().filter(|socket| socket.connection_id != *connection_id).collect(),
        Err(error) => {
            telemetry::log_cause(&error.into(), &answering.request_id);
            Vec::new()
        }
    }
}

/// Feeds the agent's text to the writers, then stores how it ended, then lets the writers say so: whoever hears that an
/// answer has ended can read it.
async fn generate(answering: &Answering, feed: &Feed, answer: BoxStream<'static, Result<Delta, AgentError>>) {
    let mut told = Told::default();
    let error = tokio::select! {
        error = listen(answering, feed, answer, &mut told) => error,
        error = until_deleted(answering) => Some(error),
    };

    let finish_reason = match error {
        Some(_) => FinishReason::Error,
        None => told.finish_reason.unwrap_or(FinishReason::Stop),
    };
    let status = if error.is_some() { Status::Failed } else { Status::Complete };
    let outcome = Outcome { content: feed.text(), status, finish_reason, usage: told.usage };
    let error = store(answering, &outcome).await.err().or(error);
    if let Some(error) = &error {
        telemetry::log_cause(error, &answering.request_id);
    }
    let total_ms = Timestamp::now().millis_since(answering.received_at);
    let timing = Timing { first_token_ms: told.first_token_ms.unwrap_or(total_ms), total_ms };
    feed.end(End { error, finish_reason, usage: told.usage, timing });
}

/// What an agent has told beside its text.
#[derive(Default)]
struct Told {
    first_token_ms: Option<u64>,
    finish_reason: Option<FinishReason>,
    usage: Usage,
}

/// Feeds what the agent says to the writers; returns why it broke off, if it did.
async fn listen(
    answering: &Answering,
    feed: &Feed,
    mut answer: BoxStream<'static, Result<Delta, AgentError>>,
    told: &mut Told,
) -> Option<ApiError> {
    loop {
        let delta = match AssertUnwindSafe(answer.next()).catch_unwind().await {
            Ok(None) => return None,
            Ok(Some(Ok(delta))) => delta,
            Ok(Some(Err(failure))) => return Some(agent_failed(failure)),
            Err(_) => return Some(agent_failed(AgentError("the agent panicked".into()))),
        };
        told.usage = delta.usage.unwrap_or(told.usage);
        told.finish_reason = delta.finish_reason.or(told.finish_reason);
        if !delta.content.is_empty() {
            told.first_token_ms.get_or_insert_with(|| Timestamp::now().millis_since(answering.received_at));
            let room = MAX_ANSWER_BYTES - feed.len();
            let fits = &delta.content[..delta.content.floor_char_boundary(room)];
            feed.push(fits);
            if fits.len() < delta.content.len() {
                told.finish_reason = Some(FinishReason::Length);
                return None;
            }
        }
    }
}

/// Waits until the chat is deleted, which ends the answer within a second or so.
async fn until_deleted(answering: &Answering) -> ApiError {
    let Pass { tenant_id, chat_id, .. } = &answering.connection.pass;
    loop {
        tokio::time::sleep(LOOK_INTERVAL).await;
        // A look that fails is made up for by the next one.
        if matches!(answering.chats.exists(tenant_id, chat_id).await, Ok(false)) {
            return ApiError::chat_not_found(chat_id.as_str());
        }
    }
}

async fn store(answering: &Answering, outcome: &Outcome) -> Result<(), ApiError> {
    let Pass { tenant_id, chat_id, .. } = &answering.connection.pass;
    let reply = &answering.exchange.reply;
    if !answering.chats.finish(tenant_id, chat_id, reply, outcome, Timestamp::now()).await? {
        return Err(ApiError::chat_not_found(chat_id.as_str()));
    }
    // The answer is safe. If the record of the stream is not removed, it lapses.
    if let Err(error) = answering.chats.forget_stream(tenant_id, chat_id, reply).await {
        telemetry::log_cause(&error.into(), &answering.request_id);
    }
    Ok(())
}

fn agent_failed(failure: AgentError) -> ApiError {
    ApiError::new(
        Code::AgentError,
        "The agent could not answer.",
        "Send the message again; what came before the failure is kept with the chat.",
    )
    .with_cause(failure)
}
