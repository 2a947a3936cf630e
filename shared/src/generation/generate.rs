//! A generation from start to end.

use std::{
    pin::pin,
    sync::{Arc, atomic::AtomicU32},
    time::Duration,
};

use futures_util::future::{Either, select};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{
    end::{EndNotice, GenerationEnd},
    fan_out::FanOut,
    finish::{clean_up, remove_record, settle_budget, store_outcome},
    forward_deltas::{AgentReport, forward_deltas},
    heartbeat::{keep_lease, poll_commands},
    message_stream::{MessageInfo, MessageStream},
    owned_generation::OwnedGeneration,
    socket_writer::JoinAt,
    sockets::ChatConnections,
    store::GenerationStore,
    text_buffer::TextBuffer,
    timings::Timings,
};
use crate::{
    agents::Deltas,
    auth::Authenticator,
    domain::{
        connection::{Connection, ConnectionGrant},
        error::{ApiError, Code},
        generation::Outcome,
        message::{FinishReason, Message, Status, Usage},
        time::Timestamp,
    },
    runtime::{
        after_response,
        clock::Clock,
        telemetry::{self, GenerationLine, GenerationResult, GenerationSummary},
    },
    storage::{FinishResult, Generation, GenerationRepository},
    websocket::{Publisher, Timing},
};

/// What a generation needs.
#[derive(Debug)]
pub struct GenerationContext {
    /// Where the message is stored.
    pub generations: GenerationRepository,
    /// The connections of the chat.
    pub sockets: ChatConnections,
    /// Rechecks their keys.
    pub authenticator: Authenticator,
    /// The connection that asked for the message.
    pub connection: Connection,
    /// The user's message, to be acknowledged; `None` for a regeneration.
    pub message: Option<Message>,
    /// The placeholder of the assistant message, and its lease.
    pub generation: Generation,
    /// How many generations run in the chat, this one included; polls tell later.
    pub generations_in_chat: u32,
    /// When the request arrived.
    pub received_at: Timestamp,
    /// The shortest time between two token frames to one socket, after the first ones of an answer.
    pub frame_interval: Duration,
    /// The id under which errors are logged.
    pub request_id: String,
}

/// Reads an assistant message from the agent, posts it to all sockets of the chat as it grows, and stores it.
///
/// The connection that asked gets its events at once, the others as soon as they are found. They are searched after the
/// message was stored, and a new connection looks for running generations after it was stored itself, so no socket misses
/// both.
pub fn generate(context: GenerationContext, deltas: Deltas) -> impl Future<Output = ()> + Send {
    let tenant_id = context.connection.grant.tenant_id.clone();
    GenerationSummary::log_when_done(&tenant_id, async move |line| {
        let generation = context.start();
        stream_and_store(&generation, context.connection, deltas, &line).await;
        close_denied_connections(&generation, &context.sockets.publisher).await;
    })
}

/// Runs a generation until every writer is done.
pub(super) async fn stream_and_store(
    owned: &OwnedGeneration,
    connection: Connection,
    deltas: Deltas,
    line: &GenerationLine,
) {
    owned.fan_out.add(connection, JoinAt::Start);
    let (streamed, ()) = tokio::join!(stream_message(owned, deltas), owned.add_open_connections());
    line.set(streamed);
    owned.fan_out.finish().await;
}

/// Streams the message, stores it, and only then lets the writers post the end: a client that sees the end can read the
/// message.
async fn stream_message(owned: &OwnedGeneration, deltas: Deltas) -> GenerationSummary {
    let buffer = &owned.stream().buffer;
    let mut report = AgentReport::default();
    let end = until_end(owned, deltas, &mut report).await;
    let AgentReport { first_token_ms, usage: reported, is_free } = report;
    let content = buffer.text_from(0);
    let usage = reported.unwrap_or_else(|| {
        if is_free && content.is_empty() { Usage::default() } else { Usage::estimated(owned.input_tokens, &content) }
    });

    let streamed = |end, code| {
        let total_ms = owned.now().millis_since(owned.received_at);
        GenerationSummary { end, code, first_token_ms, total_ms: Some(total_ms), usage }
    };
    let lease_lost = || {
        buffer.lose_lease();
        // Another process logs the usage.
        GenerationSummary { usage: Usage::default(), ..streamed(GenerationResult::LeaseLost, None) }
    };
    let (status, finish_reason, error) = match end {
        GenerationEnd::Completed(reason) => (Status::Complete, reason, None),
        GenerationEnd::Cancelled => (Status::Cancelled, FinishReason::Cancelled, None),
        GenerationEnd::Failed(error) => (Status::Failed, FinishReason::Error, Some(error)),
        GenerationEnd::LeaseLost => return lease_lost(),
    };
    if let Some(error) = &error {
        telemetry::log_cause(error, &owned.stream().request_id);
    }
    let outcome = Outcome { content, status, finish_reason, usage, first_token_ms };
    let ended_at = owned.now();
    let (stored, ()) = tokio::join!(store_outcome(owned, &outcome, ended_at), settle_budget(owned, usage));
    match stored {
        Ok(FinishResult::Stored) => {}
        // No other process tells the sockets of a deleted chat, or knows the usage.
        Ok(FinishResult::Lost) if error.as_ref().is_some_and(|error| error.code() == Code::ChatNotFound) => {}
        Ok(FinishResult::Lost) => return lease_lost(),
        // The lease has expired: another process takes over with the text that is saved.
        Err(failure) => {
            owned.log(failure);
            return lease_lost();
        }
    }
    let removed = remove_record(owned, usage, ended_at).await;
    let streamed = streamed(GenerationResult::Finished(finish_reason), error.as_ref().map(ApiError::code));
    let total_ms = streamed.total_ms.unwrap_or_default();
    let timing = Timing { first_token_ms: first_token_ms.unwrap_or(total_ms), total_ms };
    buffer.finish(EndNotice { error, finish_reason, usage, timing });
    clean_up(owned, removed).await;
    streamed
}

/// Forwards the agent's text until it ends, a command ends it, the lease is lost or the function's deadline is near.
async fn until_end(owned: &OwnedGeneration, deltas: Deltas, report: &mut AgentReport) -> GenerationEnd {
    let stream = owned.stream();
    let ended = CancellationToken::new();
    let streaming = pin!(async {
        tokio::select! {
            end = forward_deltas(deltas, &stream.buffer, report, owned.received_at, stream.clock) => end,
            end = keep_lease(owned) => end,
            // Time enough remains to store the text and post the end.
            () = after_response::deadline_near() => GenerationEnd::Completed(FinishReason::Length),
        }
    });
    let polling = pin!(poll_commands(owned, &ended));
    match select(streaming, polling).await {
        Either::Left((end, polling)) => {
            ended.cancel();
            // Commands of a slower poll are left to their senders, who find that the generation has ended.
            let _ = timeout(owned.stream().timings.last_poll, polling).await;
            end
        }
        Either::Right((Some(end), _)) => end,
        Either::Right((None, streaming)) => streaming.await,
    }
}

/// Closes the sockets of the chat whose keys have become invalid, if the key that asked for the message has.
async fn close_denied_connections(owned: &OwnedGeneration, publisher: &Publisher) {
    let OwnedGeneration { grant: ConnectionGrant { tenant_id, key, .. }, authenticator, .. } = owned;
    let denied = |result: Result<(), ApiError>| result.err().filter(|error| error.code() == Code::ConnectionClosing);
    let now = owned.now();
    if denied(authenticator.recheck(tenant_id, key, now).await).is_none() {
        return;
    }
    for connection in owned.stream().open_connections().await {
        if let Some(reason) = denied(authenticator.recheck(tenant_id, &connection.grant.key, now).await) {
            publisher.close_all(&[connection], &reason, &owned.stream().request_id).await;
        }
    }
}

impl GenerationContext {
    fn start(&self) -> OwnedGeneration {
        let Self { connection, generation, .. } = self;
        let ConnectionGrant { tenant_id, chat_id, .. } = &connection.grant;
        let Generation { message_id, seq, in_reply_to, replaces, model, .. } = generation.clone();
        let lease: Arc<dyn GenerationStore> = Arc::new(self.generations.lease(tenant_id, chat_id, generation));
        let stream = MessageStream {
            tenant_id: tenant_id.clone(),
            chat_id: chat_id.clone(),
            user_message: self.message.clone(),
            message: MessageInfo { message_id, seq, in_reply_to, replaces, model },
            request_id: self.request_id.clone(),
            buffer: TextBuffer::new(),
            sockets: Arc::new(self.sockets.clone()),
            lease: Some(lease.clone()),
            clock: Clock::system(),
            timings: Timings { coalescing: self.frame_interval, ..Timings::default() },
            generations: AtomicU32::new(self.generations_in_chat),
        };
        OwnedGeneration {
            grant: connection.grant.clone(),
            authenticator: self.authenticator.clone(),
            lease,
            fan_out: FanOut::new(stream),
            received_at: self.received_at,
            input_tokens: generation.input_tokens(),
        }
    }
}
