//! Streaming one answer from beginning to end.

use std::{panic::AssertUnwindSafe, pin::pin, sync::Arc, time::Duration};

use futures_util::{
    FutureExt, StreamExt,
    future::{Either, select},
};
use tokio_util::sync::CancellationToken;

use super::{
    fan_out::{ChatConnections, FanOut, FanOutContext, GenerationInfo},
    heartbeat,
    socket_writer::StartAt,
    text_buffer::{End, TextBuffer},
};
use crate::{
    agents::{AgentError, Deltas},
    auth::Authenticator,
    domain::{
        error::{ApiError, Code},
        message::{FinishReason, Message, Status, Usage},
        time::Timestamp,
    },
    runtime::{
        after_response,
        telemetry::{self, StreamEnd, StreamLine, Streamed},
    },
    storage::{
        Chats, Connection, ConnectionGrant, FinishResult, Generation, GenerationLease, Outcome, RunningGeneration,
        StorageError,
    },
    websocket::Timing,
};

/// The longest answer, in bytes of UTF-8: a DynamoDB item holds 400 KB.
const MAX_ANSWER_BYTES: usize = 300_000;

/// How long to wait before the end of an answer is stored again that could not be.
const STORE_AGAIN: Duration = Duration::from_millis(500);

/// All that the answer to one message needs.
#[derive(Debug)]
pub struct GenerationContext {
    /// Where the answer is stored.
    pub chats: Chats,
    /// How the chat's sockets are reached.
    pub sockets: ChatConnections,
    /// Who says whether they may still be.
    pub authenticator: Authenticator,
    /// The socket that wants the answer.
    pub connection: Connection,
    /// The message that is answered, to be acknowledged; none where an answer is made anew.
    pub message: Option<Message>,
    /// The place of the answer.
    pub generation: Generation,
    /// The model that answers, as events show it.
    pub model: String,
    /// When the answer was asked for.
    pub received_at: Timestamp,
    /// The id under which errors are logged.
    pub request_id: String,
}

/// Why an answer is over.
#[derive(Debug)]
pub(super) enum GenerationEnd {
    /// The agent has said all, for this reason.
    Said(FinishReason),
    /// A socket has had enough.
    Cancelled,
    /// It cannot go on.
    Failed(ApiError),
    /// Someone else has the answer now.
    Lost,
}

/// Takes the answer from the agent, posts it to all sockets of the chat as it comes, and stores it.
///
/// The socket that asked hears of it at once; the others as soon as they are found. They are looked up after the
/// message was stored, and a new socket looks for live streams after it was stored itself, so no socket misses both.
pub fn generate(context: GenerationContext, answer: Deltas) -> impl Future<Output = ()> + Send {
    let tenant_id = context.connection.grant.tenant_id.clone();
    Streamed::log_when_done(&tenant_id, |line| run(context, answer, line))
}

async fn run(context: GenerationContext, answer: Deltas, line: StreamLine) {
    let ConnectionGrant { tenant_id, chat_id, .. } = &context.connection.grant;
    let lease = Arc::new(context.chats.lease(tenant_id, chat_id, &context.generation));
    let fan_out = FanOut::new(context.context(lease.clone()));
    fan_out.begin(context.connection.clone(), StartAt::Message);
    let finding = async {
        for socket in context.sockets.of_chat(tenant_id, chat_id, &context.request_id).await {
            if !fan_out.has(&socket.connection_id) {
                fan_out.begin(socket, StartAt::Message);
            }
        }
    };
    let (streamed, ()) = tokio::join!(run_agent(&context, &lease, &fan_out, answer), finding);
    line.set(streamed);
    fan_out.done().await;
    dismiss_unwelcome(&context).await;
}

/// Feeds the agent's text to the writers, then stores how it ended, then lets the writers say so: whoever hears that an
/// answer has ended can read it.
async fn run_agent(context: &GenerationContext, lease: &GenerationLease, fan_out: &FanOut, answer: Deltas) -> Streamed {
    let buffer = &fan_out.context().buffer;
    let mut summary = AgentSummary::default();
    let over = CancellationToken::new();
    let ending = {
        let streaming = pin!(async {
            tokio::select! {
                ending = listen(context, buffer, answer, &mut summary) => ending,
                ending = heartbeat::keep(context, lease, fan_out) => ending,
                // There is still time to store what came, and to say so.
                () = after_response::deadline_near() => GenerationEnd::Said(FinishReason::Length),
            }
        });
        let watching = pin!(heartbeat::watch(context, lease, fan_out, &over));
        match select(streaming, watching).await {
            Either::Left((ending, watching)) => {
                over.cancel();
                watching.await;
                ending
            }
            Either::Right((ending, streaming)) => match ending {
                Some(ending) => ending,
                None => streaming.await,
            },
        }
    };

    let first_token_ms = summary.first_token_ms;
    let streamed = |end, code| {
        let total_ms = Timestamp::now().millis_since(context.received_at);
        Streamed { end, code, first_token_ms, total_ms: Some(total_ms), tokens: summary.usage.output_tokens.into() }
    };
    let lost = || {
        buffer.lose();
        streamed(StreamEnd::LeaseLost, None)
    };
    let (status, finish_reason, error) = match ending {
        GenerationEnd::Said(reason) => (Status::Complete, reason, None),
        GenerationEnd::Cancelled => (Status::Cancelled, FinishReason::Cancelled, None),
        GenerationEnd::Failed(error) => (Status::Failed, FinishReason::Error, Some(error)),
        GenerationEnd::Lost => return lost(),
    };
    let outcome = Outcome { content: buffer.text_from(0), status, finish_reason, usage: summary.usage, first_token_ms };
    if let Some(error) = &error {
        telemetry::log_cause(error, &context.request_id);
    }
    match store(context, lease, &outcome).await {
        Ok(FinishResult::Stored) => tidy(context, lease, fan_out).await,
        // Nobody else tells the sockets of a chat that is gone.
        Ok(FinishResult::Lost) if error.as_ref().is_some_and(|error| error.code() == Code::ChatNotFound) => {}
        Ok(FinishResult::Lost) => return lost(),
        // By now the lease has lapsed, and whoever looks next ends the answer with what is saved.
        Err(failure) => {
            telemetry::log_cause(&failure.into(), &context.request_id);
            return lost();
        }
    }
    let streamed = streamed(StreamEnd::Finished(finish_reason), error.as_ref().map(ApiError::code));
    let total_ms = streamed.total_ms.unwrap_or_default();
    let timing = Timing { first_token_ms: first_token_ms.unwrap_or(total_ms), total_ms };
    buffer.end(End { error, finish_reason, usage: summary.usage, timing });
    streamed
}

/// What an agent has told beside its text.
#[derive(Default)]
struct AgentSummary {
    first_token_ms: Option<u64>,
    usage: Usage,
}

/// Feeds what the agent says to the writers, to its end.
async fn listen(
    context: &GenerationContext,
    buffer: &TextBuffer,
    mut answer: Deltas,
    summary: &mut AgentSummary,
) -> GenerationEnd {
    let mut finish_reason = FinishReason::Stop;
    loop {
        let delta = match AssertUnwindSafe(answer.next()).catch_unwind().await {
            Ok(None) => return GenerationEnd::Said(finish_reason),
            Ok(Some(Ok(delta))) => delta,
            Ok(Some(Err(failure))) => return GenerationEnd::Failed(failure.into()),
            Err(_) => return GenerationEnd::Failed(AgentError::panicked().into()),
        };
        summary.usage = delta.usage.unwrap_or(summary.usage);
        finish_reason = delta.finish_reason.unwrap_or(finish_reason);
        if !delta.content.is_empty() {
            summary.first_token_ms.get_or_insert_with(|| Timestamp::now().millis_since(context.received_at));
            let room = MAX_ANSWER_BYTES - buffer.len();
            let fits = &delta.content[..delta.content.floor_char_boundary(room)];
            buffer.push(fits);
            if fits.len() < delta.content.len() {
                return GenerationEnd::Said(FinishReason::Length);
            }
        }
    }
}

/// Stores how the answer ended; again and again, for as long as the lease lasts.
async fn store(
    context: &GenerationContext,
    lease: &GenerationLease,
    outcome: &Outcome,
) -> Result<FinishResult, StorageError> {
    let now = Timestamp::now();
    loop {
        match lease.finish(outcome, now).await {
            Err(error) if lease.lapses_at() > Timestamp::now() => {
                telemetry::log_cause(&error.into(), &context.request_id);
                tokio::time::sleep(STORE_AGAIN).await;
            }
            finished => return finished,
        }
    }
}

/// Leaves nothing behind that only a running answer needs. Those who want to join it from now on are told by others.
async fn tidy(context: &GenerationContext, lease: &GenerationLease, fan_out: &FanOut) {
    match lease.tidy().await {
        Ok(record) => {
            if let Some(by) = record.as_ref().and_then(RunningGeneration::cancelled_by) {
                heartbeat::tell_end_too(context, fan_out, by).await;
            }
        }
        Err(error) => telemetry::log_cause(&error.into(), &context.request_id),
    }
}

/// Closes the sockets of the chat whose keys do not open its tenant's gate any more.
async fn dismiss_unwelcome(context: &GenerationContext) {
    let ConnectionGrant { tenant_id, chat_id, key, .. } = &context.connection.grant;
    let denied = |result: Result<(), ApiError>| result.err().filter(|error| error.code() == Code::ConnectionClosing);
    let now = Timestamp::now();
    if denied(context.authenticator.recheck(tenant_id, key, now).await).is_none() {
        return;
    }
    for socket in context.sockets.of_chat(tenant_id, chat_id, &context.request_id).await {
        if let Some(reason) = denied(context.authenticator.recheck(tenant_id, &socket.grant.key, now).await) {
            context.sockets.publisher.close_all(&[socket], &reason, &context.request_id).await;
        }
    }
}

impl GenerationContext {
    fn context(&self, lease: Arc<GenerationLease>) -> FanOutContext {
        let Generation { message_id, seq, in_reply_to, replaces, .. } = self.generation.clone();
        FanOutContext {
            sockets: self.sockets.clone(),
            chat_id: self.connection.grant.chat_id.clone(),
            message: self.message.clone(),
            answer: GenerationInfo { message_id, seq, in_reply_to, replaces, model: self.model.clone() },
            request_id: self.request_id.clone(),
            buffer: TextBuffer::new(),
            lease: Some(lease),
        }
    }
}
