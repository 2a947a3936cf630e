//! Streaming one answer from beginning to end.

use std::{panic::AssertUnwindSafe, pin::pin, sync::Arc, time::Duration};

use futures_util::{
    FutureExt, StreamExt,
    future::{Either, select},
};
use tokio_util::sync::CancellationToken;

use super::{
    feed::{End, Feed},
    keeper,
    writer::Beginning,
    writers::{Sockets, Subject, Telling, Writers},
};
use crate::{
    after,
    agent::{AgentError, Deltas},
    auth::Doorkeeper,
    error::{ApiError, Code},
    message::{FinishReason, Message, Status, Usage},
    store::{Chats, Connection, Finished, Hold, Outcome, Pass, Reply, StoreError, StreamRecord},
    telemetry::{self, StreamEnd, StreamLine, Streamed},
    time::Timestamp,
    ws::Timing,
};

/// The longest answer, in bytes of UTF-8: a DynamoDB item holds 400 KB.
const MAX_ANSWER_BYTES: usize = 300_000;

/// How long to wait before the end of an answer is stored again that could not be.
const STORE_AGAIN: Duration = Duration::from_millis(500);

/// All that the answer to one message needs.
#[derive(Debug)]
pub struct Answering {
    /// Where the answer is stored.
    pub chats: Chats,
    /// How the chat's sockets are reached.
    pub sockets: Sockets,
    /// Who says whether they may still be.
    pub doorkeeper: Doorkeeper,
    /// The socket that wants the answer.
    pub connection: Connection,
    /// The message that is answered, to be acknowledged; none where an answer is made anew.
    pub message: Option<Message>,
    /// The place of the answer.
    pub reply: Reply,
    /// The model that answers, as events show it.
    pub model: String,
    /// When the answer was asked for.
    pub received_at: Timestamp,
    /// The id under which errors are logged.
    pub request_id: String,
}

/// Why an answer is over.
#[derive(Debug)]
pub(super) enum Ending {
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
pub fn stream(answering: Answering, answer: Deltas) -> impl Future<Output = ()> + Send {
    let tenant_id = answering.connection.pass.tenant_id.clone();
    Streamed::telling(&tenant_id, |line| run(answering, answer, line))
}

async fn run(answering: Answering, answer: Deltas, line: StreamLine) {
    let Pass { tenant_id, chat_id, .. } = &answering.connection.pass;
    let hold = Arc::new(answering.chats.hold(tenant_id, chat_id, &answering.reply));
    let writers = Writers::new(answering.telling(hold.clone()));
    writers.begin(answering.connection.clone(), Beginning::Message);
    let finding = async {
        for socket in answering.sockets.of_chat(tenant_id, chat_id, &answering.request_id).await {
            if !writers.has(&socket.connection_id) {
                writers.begin(socket, Beginning::Message);
            }
        }
    };
    let (streamed, ()) = tokio::join!(generate(&answering, &hold, &writers, answer), finding);
    line.say(streamed);
    writers.done().await;
    dismiss_unwelcome(&answering).await;
}

/// Feeds the agent's text to the writers, then stores how it ended, then lets the writers say so: whoever hears that an
/// answer has ended can read it.
async fn generate(answering: &Answering, hold: &Hold, writers: &Writers, answer: Deltas) -> Streamed {
    let feed = &writers.telling().feed;
    let mut told = Told::default();
    let over = CancellationToken::new();
    let ending = {
        let streaming = pin!(async {
            tokio::select! {
                ending = listen(answering, feed, answer, &mut told) => ending,
                ending = keeper::keep(answering, hold, writers) => ending,
                // There is still time to store what came, and to say so.
                () = after::closing() => Ending::Said(FinishReason::Length),
            }
        });
        let watching = pin!(keeper::watch(answering, hold, writers, &over));
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

    let first_token_ms = told.first_token_ms;
    let streamed = |end, code| {
        let total_ms = Timestamp::now().millis_since(answering.received_at);
        Streamed { end, code, first_token_ms, total_ms: Some(total_ms), tokens: told.usage.output_tokens.into() }
    };
    let lost = || {
        feed.lose();
        streamed(StreamEnd::Lost, None)
    };
    let (status, finish_reason, error) = match ending {
        Ending::Said(reason) => (Status::Complete, reason, None),
        Ending::Cancelled => (Status::Cancelled, FinishReason::Cancelled, None),
        Ending::Failed(error) => (Status::Failed, FinishReason::Error, Some(error)),
        Ending::Lost => return lost(),
    };
    let outcome = Outcome { content: feed.text_from(0), status, finish_reason, usage: told.usage, first_token_ms };
    if let Some(error) = &error {
        telemetry::log_cause(error, &answering.request_id);
    }
    match store(answering, hold, &outcome).await {
        Ok(Finished::Stored) => tidy(answering, hold, writers).await,
        // Nobody else tells the sockets of a chat that is gone.
        Ok(Finished::Lost) if error.as_ref().is_some_and(|error| error.code() == Code::ChatNotFound) => {}
        Ok(Finished::Lost) => return lost(),
        // By now the lease has lapsed, and whoever looks next ends the answer with what is saved.
        Err(failure) => {
            telemetry::log_cause(&failure.into(), &answering.request_id);
            return lost();
        }
    }
    let streamed = streamed(StreamEnd::Finished(finish_reason), error.as_ref().map(ApiError::code));
    let total_ms = streamed.total_ms.unwrap_or_default();
    let timing = Timing { first_token_ms: first_token_ms.unwrap_or(total_ms), total_ms };
    feed.end(End { error, finish_reason, usage: told.usage, timing });
    streamed
}

/// What an agent has told beside its text.
#[derive(Default)]
struct Told {
    first_token_ms: Option<u64>,
    usage: Usage,
}

/// Feeds what the agent says to the writers, to its end.
async fn listen(answering: &Answering, feed: &Feed, mut answer: Deltas, told: &mut Told) -> Ending {
    let mut finish_reason = FinishReason::Stop;
    loop {
        let delta = match AssertUnwindSafe(answer.next()).catch_unwind().await {
            Ok(None) => return Ending::Said(finish_reason),
            Ok(Some(Ok(delta))) => delta,
            Ok(Some(Err(failure))) => return Ending::Failed(failure.into()),
            Err(_) => return Ending::Failed(AgentError::panicked().into()),
        };
        told.usage = delta.usage.unwrap_or(told.usage);
        finish_reason = delta.finish_reason.unwrap_or(finish_reason);
        if !delta.content.is_empty() {
            told.first_token_ms.get_or_insert_with(|| Timestamp::now().millis_since(answering.received_at));
            let room = MAX_ANSWER_BYTES - feed.len();
            let fits = &delta.content[..delta.content.floor_char_boundary(room)];
            feed.push(fits);
            if fits.len() < delta.content.len() {
                return Ending::Said(FinishReason::Length);
            }
        }
    }
}

/// Stores how the answer ended; again and again, for as long as the lease lasts.
async fn store(answering: &Answering, hold: &Hold, outcome: &Outcome) -> Result<Finished, StoreError> {
    let now = Timestamp::now();
    loop {
        match hold.finish(outcome, now).await {
            Err(error) if hold.lapses_at() > Timestamp::now() => {
                telemetry::log_cause(&error.into(), &answering.request_id);
                tokio::time::sleep(STORE_AGAIN).await;
            }
            finished => return finished,
        }
    }
}

/// Leaves nothing behind that only a running answer needs. Those who want to join it from now on are told by others.
async fn tidy(answering: &Answering, hold: &Hold, writers: &Writers) {
    match hold.tidy().await {
        Ok(record) => {
            if let Some(by) = record.as_ref().and_then(StreamRecord::cancelled_by) {
                keeper::tell_end_too(answering, writers, by).await;
            }
        }
        Err(error) => telemetry::log_cause(&error.into(), &answering.request_id),
    }
}

/// Closes the sockets of the chat whose keys do not open its tenant's gate any more.
async fn dismiss_unwelcome(answering: &Answering) {
    let Pass { tenant_id, chat_id, key, .. } = &answering.connection.pass;
    let shut = |result: Result<(), ApiError>| result.err().filter(|error| error.code() == Code::ConnectionClosing);
    let now = Timestamp::now();
    if shut(answering.doorkeeper.recheck(tenant_id, key, now).await).is_none() {
        return;
    }
    for socket in answering.sockets.of_chat(tenant_id, chat_id, &answering.request_id).await {
        if let Some(reason) = shut(answering.doorkeeper.recheck(tenant_id, &socket.pass.key, now).await) {
            answering.sockets.publisher.close_all(&[socket], &reason, &answering.request_id).await;
        }
    }
}

impl Answering {
    fn telling(&self, hold: Arc<Hold>) -> Telling {
        let Reply { message_id, seq, in_reply_to, replaces, .. } = self.reply.clone();
        Telling {
            sockets: self.sockets.clone(),
            chat_id: self.connection.pass.chat_id.clone(),
            message: self.message.clone(),
            answer: Subject { message_id, seq, in_reply_to, replaces, model: self.model.clone() },
            request_id: self.request_id.clone(),
            feed: Feed::new(),
            hold: Some(hold),
        }
    }
}
