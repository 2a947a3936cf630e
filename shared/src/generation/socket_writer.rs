//! One socket's view of an answer.

use std::{sync::Arc, time::Duration};

use serde_json::Value;
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    fan_out::{FanOutContext, GenerationInfo},
    text_buffer::{BufferEnd, End, Progress},
};
use crate::{
    domain::{error::ApiError, message::FinishReason, time::Timestamp},
    runtime::telemetry,
    storage::Connection,
    websocket::{Body, ErrorReport, Event, MAX_EVENT_BYTES, PostError, PostRetry, json_prefix},
};

/// The shortest time between two frames of tokens: 25 a second look as smooth as more, and each is paid for.
const FRAME_INTERVAL: Duration = Duration::from_millis(40);

/// What a frame needs beside its text.
const ENVELOPE_BYTES: usize = 512;

/// How long a new socket is waited for to have had its first event.
const GREETING: Duration = Duration::from_secs(5);

/// How often it is asked whether it has.
const ASK_INTERVAL: Duration = Duration::from_millis(20);

/// How often a writer that may not speak looks whether it may again.
const LEASE_INTERVAL: Duration = Duration::from_millis(200);

/// Where a writer begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartAt {
    /// With the message that is answered.
    Message,
    /// So many bytes into the answer, where a client left off.
    Offset(usize),
    /// With the end alone.
    End,
}

/// Posts an answer to one socket, until it ends or the socket is gone. A socket that is lost is nobody's error: the
/// answer is stored, and the client reads it when it is back.
pub(super) async fn write(
    context: &FanOutContext,
    connection: &Connection,
    beginning: StartAt,
    stop: &CancellationToken,
) {
    if !greeted(context, connection).await {
        return;
    }
    let mut writer = Writer { context, connection, buffer: context.buffer.subscribe(), cursor: 0, stop };
    let request_id = &context.request_id;
    match writer.run(beginning).await {
        Ok(()) => {}
        Err(PostError::Gone) => {
            if let Err(error) = context.sockets.connections.end(connection).await {
                telemetry::log_cause(&error.into(), request_id);
            }
        }
        Err(PostError::Failed(cause)) => {
            tracing::warn!(request_id, error.cause = telemetry::causes(cause.as_ref()), "a socket was given up");
        }
    }
}

/// Waits until a socket that was just opened has had its first event. False when it is gone.
async fn greeted(context: &FanOutContext, connection: &Connection) -> bool {
    let patience_ends = connection.opened_at.plus(GREETING);
    while !connection.greeted && Timestamp::now() < patience_ends {
        match context.sockets.connections.was_greeted(connection).await {
            Ok(None) => return false,
            Ok(Some(true)) | Err(_) => break,
            Ok(Some(false)) => tokio::time::sleep(ASK_INTERVAL).await,
        }
    }
    true
}

struct Writer<'a> {
    context: &'a FanOutContext,
    connection: &'a Connection,
    buffer: watch::Receiver<Progress>,
    /// How much of the text the socket has, in bytes.
    cursor: usize,
    /// Another writer wants to take over.
    stop: &'a CancellationToken,
}

/// What a writer does next.
enum Next {
    Token(String),
    BufferEnd(BufferEnd),
    Stop,
}

impl Writer<'_> {
    async fn run(&mut self, beginning: StartAt) -> Result<(), PostError> {
        match beginning {
            StartAt::Message => {
                if let Some(message) = &self.context.message {
                    self.deliver(Body::received(message)).await?;
                }
                self.say_started().await?;
            }
            // Whoever has nothing of the answer has not heard of it either.
            StartAt::Offset(0) => self.say_started().await?,
            StartAt::Offset(offset) => match self.place(offset) {
                Ok(place) => self.cursor = place,
                Err(error) => {
                    self.say_error(&error).await?;
                    if self.buffer.borrow().over.is_some() {
                        return Ok(());
                    }
                    // What still comes is not withheld for that.
                    self.cursor = self.buffer.borrow().text.len();
                }
            },
            StartAt::End => self.cursor = self.buffer.borrow().text.len(),
        }

        // The first token leaves at once.
        let mut next_frame = Instant::now();
        let mut patience = PostRetry::default();
        loop {
            match self.next(next_frame).await {
                Next::Token(token) => {
                    next_frame = Instant::now() + FRAME_INTERVAL;
                    match self.post_token(&token).await {
                        Ok(()) => patience = PostRetry::default(),
                        // What gathers meanwhile leaves with the next try.
                        Err(failure) => patience.wait(failure).await?,
                    }
                }
                Next::BufferEnd(BufferEnd::Ended(end)) => return self.say_end(&end).await,
                Next::BufferEnd(BufferEnd::Lost) | Next::Stop => return Ok(()),
            }
        }
    }

    /// Waits until there is something to say; of tokens, what has gathered when the next frame may leave.
    async fn next(&mut self, next_frame: Instant) -> Next {
        let cursor = self.cursor;
        let has_token = |progress: &Progress| progress.text.len() > cursor;
        let something = self.buffer.wait_for(|progress| has_token(progress) || progress.over.is_some());
        let over = tokio::select! {
            biased;
            () = self.stop.cancelled() => return Next::Stop,
            progress = something => match progress {
                Ok(progress) if has_token(&progress) => None,
                Ok(progress) => progress.over.clone(),
                Err(_) => Some(BufferEnd::Lost),
            },
        };
        if let Some(over) = over {
            return Next::BufferEnd(over);
        }
        tokio::time::sleep_until(next_frame).await;
        // A lease that has lapsed may still be renewed, or be taken over.
        while !self.context.is_held() {
            if let Some(over @ BufferEnd::Lost) = self.buffer.borrow().over.clone() {
                return Next::BufferEnd(over);
            }
            tokio::time::sleep(LEASE_INTERVAL).await;
        }
        if self.stop.is_cancelled() {
            return Next::Stop;
        }
        Next::Token(json_prefix(&self.buffer.borrow().text[cursor..], MAX_EVENT_BYTES - ENVELOPE_BYTES).to_owned())
    }

    /// Where in the text a client left off. It may have heard more of an answer that was cut off than was saved.
    fn place(&self, offset: usize) -> Result<usize, ApiError> {
        let progress = self.buffer.borrow();
        let cut_off = matches!(
            &progress.over,
            Some(BufferEnd::Ended(end)) if matches!(end.finish_reason, FinishReason::Error | FinishReason::Cancelled)
        );
        if cut_off && offset > progress.text.len() {
            return Ok(progress.text.len());
        }
        if !progress.text.is_char_boundary(offset) {
            let allowed = "the last next_offset that came, or 0";
            return Err(ApiError::invalid_parameter("offset", &Value::from(offset), allowed));
        }
        Ok(offset)
    }

    async fn say_started(&self) -> Result<(), PostError> {
        let GenerationInfo { message_id, seq, in_reply_to, replaces, model } = &self.context.answer;
        let replaces = replaces.as_ref();
        self.deliver(Body::MessageStreamStarted { message_id, seq: *seq, in_reply_to, model, replaces }).await
    }

    async fn post_token(&mut self, token: &str) -> Result<(), PostError> {
        let next_offset = self.cursor + token.len();
        let message_id = &self.context.answer.message_id;
        let event = self.event(Body::MessageStreamToken { message_id, offset: self.cursor, next_offset, token });
        self.context.sockets.publisher.post(&self.connection.connection_id, &event).await?;
        self.cursor = next_offset;
        Ok(())
    }

    async fn say_end(&self, end: &Arc<End>) -> Result<(), PostError> {
        if let Some(error) = &end.error {
            self.say_error(error).await?;
        }
        let content = {
            let text = &self.buffer.borrow().text;
            let fits = json_prefix(text, MAX_EVENT_BYTES - ENVELOPE_BYTES).len() == text.len();
            fits.then(|| text.clone())
        };
        self.deliver(Body::MessageStreamEnded {
            message_id: &self.context.answer.message_id,
            finish_reason: end.finish_reason,
            content: content.as_deref(),
            content_omitted: content.is_none(),
            usage: end.usage,
            timing: end.timing,
        })
        .await
    }

    async fn say_error(&self, error: &ApiError) -> Result<(), PostError> {
        let message_id = Some(&self.context.answer.message_id);
        self.deliver(Body::Error(ErrorReport::new(error, &self.context.request_id, message_id))).await
    }

    async fn deliver(&self, body: Body<'_>) -> Result<(), PostError> {
        self.context.sockets.publisher.deliver(&self.connection.connection_id, &self.event(body)).await
    }

    fn event<'e>(&'e self, body: Body<'e>) -> Event<'e> {
        Event { body, chat_id: Some(&self.context.chat_id), timestamp: Timestamp::now() }
    }
}
