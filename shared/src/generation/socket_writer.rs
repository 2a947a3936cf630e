//! The events of one socket: acknowledgement, start, tokens, end.

use std::sync::Arc;

use serde_json::Value;
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{
    coalescing::Coalescing,
    end::EndNotice,
    message_stream::{MessageInfo, MessageStream},
    text_buffer::{BufferEnd, Progress},
};
use crate::{
    domain::{connection::Connection, error::ApiError, message::FinishReason, time::Timestamp},
    runtime::telemetry,
    websocket::{Body, ErrorReport, Event, MAX_EVENT_BYTES, PostError, PostRetry, json_prefix},
};

/// What a frame needs beside its text.
const ENVELOPE_BYTES: usize = 512;

/// Where a socket joins a message stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinAt {
    /// At the acknowledgement of the user's message.
    Start,
    /// At an offset in bytes of UTF-8, where its client left off.
    Offset(usize),
    /// At the end.
    End,
}

/// Posts a message stream to one socket until it ends or the socket is gone. A failing socket does not fail the
/// generation: the message is stored, and the client reads it when it reconnects.
pub(super) async fn write(stream: &MessageStream, connection: &Connection, join_at: JoinAt, stop: &CancellationToken) {
    let opens_until = match wait_until_established(stream, connection).await {
        Established::Yes => None,
        Established::Unknown => Some(connection.opened_at.plus(stream.timings.open)),
        Established::Removed => return,
    };
    let progress = stream.buffer.subscribe();
    let mut writer = SocketWriter { stream, connection, opens_until, progress, cursor: 0, stop };
    let request_id = &stream.request_id;
    match writer.run(join_at).await {
        Ok(()) => {}
        Err(PostError::Gone) => {
            if let Err(error) = stream.sockets.forget(connection).await {
                tracing::warn!(request_id, error.cause = telemetry::causes(&error), "connection not removed");
            }
        }
        Err(PostError::Failed(cause)) => {
            tracing::warn!(request_id, error.cause = telemetry::causes(cause.as_ref()), "stream post failed");
        }
    }
}

/// Whether a socket has had its first event, and so was open.
enum Established {
    Yes,
    /// Not within the time that it may take, or storage did not respond.
    Unknown,
    /// Its connection is not stored any more.
    Removed,
}

/// Waits until a new socket has had its first event.
async fn wait_until_established(stream: &MessageStream, connection: &Connection) -> Established {
    if connection.established {
        return Established::Yes;
    }
    let deadline = connection.opened_at.plus(stream.timings.establish);
    while stream.now() < deadline {
        match stream.sockets.is_established(connection).await {
            Ok(None) => return Established::Removed,
            Ok(Some(true)) => return Established::Yes,
            Ok(Some(false)) => sleep(stream.timings.check_established).await,
            Err(_) => break,
        }
    }
    Established::Unknown
}

struct SocketWriter<'a> {
    stream: &'a MessageStream,
    connection: &'a Connection,
    /// Until when the socket may still open: API Gateway knows it a moment after `$connect` has returned.
    opens_until: Option<Timestamp>,
    progress: watch::Receiver<Progress>,
    /// How much of the text the socket has, in bytes.
    cursor: usize,
    /// Cancelled when another writer takes this socket.
    stop: &'a CancellationToken,
}

/// The next step of a writer.
enum Step {
    PostToken(String),
    PostEnd(Arc<EndNotice>),
    Stop,
}

impl SocketWriter<'_> {
    async fn run(&mut self, join_at: JoinAt) -> Result<(), PostError> {
        match join_at {
            JoinAt::Start => {
                if let Some(message) = &self.stream.user_message {
                    self.deliver(Body::received(message)).await?;
                }
                self.post_started().await?;
            }
            // A client without text has not seen the start either.
            JoinAt::Offset(0) => self.post_started().await?,
            JoinAt::Offset(offset) => match self.cursor_at(offset) {
                Ok(cursor) => self.cursor = cursor,
                Err(error) => {
                    self.post_error(&error).await?;
                    if self.progress.borrow().end.is_some() {
                        return Ok(());
                    }
                    // The socket still gets the text from now on.
                    self.cursor = self.stream.buffer.len();
                }
            },
            JoinAt::End => self.cursor = self.stream.buffer.len(),
        }

        let mut coalescing = Coalescing::new(self.stream.timings.coalescing);
        let mut retry = self.new_retry();
        loop {
            match self.next(&coalescing).await {
                Step::PostToken(token) => {
                    coalescing.frame_leaves(Instant::now());
                    match retry.attempt(self.post_token(&token)).await {
                        Ok(()) => retry = self.new_retry(),
                        // The next attempt includes the text that gathers meanwhile.
                        Err(failure) => retry.wait(failure).await?,
                    }
                }
                Step::PostEnd(notice) => return self.post_end(&notice).await,
                Step::Stop => return Ok(()),
            }
        }
    }

    /// Waits for text or the end, then until the next frame may leave.
    async fn next(&mut self, coalescing: &Coalescing) -> Step {
        let (cursor, stop) = (self.cursor, self.stop);
        let has_text = |progress: &Progress| progress.text.len() > cursor;
        let news = self.progress.wait_for(|progress| has_text(progress) || progress.end.is_some());
        tokio::select! {
            biased;
            () = stop.cancelled() => return Step::Stop,
            progress = news => match progress {
                Ok(progress) => match &progress.end {
                    Some(BufferEnd::Finished(notice)) if !has_text(&progress) => return Step::PostEnd(notice.clone()),
                    Some(BufferEnd::LeaseLost) => return Step::Stop,
                    _ => {}
                },
                Err(_) => return Step::Stop,
            },
        }
        sleep_until(coalescing.next_frame(Instant::now(), self.stream.load())).await;
        // An expired lease may still be renewed; if another process takes over, it is lost.
        while !self.stream.may_post() && !self.must_stop() {
            sleep(self.stream.timings.check_lease).await;
        }
        if self.must_stop() {
            return Step::Stop;
        }
        Step::PostToken(
            json_prefix(&self.progress.borrow().text[cursor..], MAX_EVENT_BYTES - ENVELOPE_BYTES).to_owned(),
        )
    }

    fn must_stop(&self) -> bool {
        self.stop.is_cancelled() || matches!(self.progress.borrow().end, Some(BufferEnd::LeaseLost))
    }

    /// The cursor for a client's offset. Of a message that was cut off a client may have more text than was saved.
    fn cursor_at(&self, offset: usize) -> Result<usize, ApiError> {
        let progress = self.progress.borrow();
        let is_cut_off = matches!(
            &progress.end,
            Some(BufferEnd::Finished(end)) if matches!(end.finish_reason, FinishReason::Error | FinishReason::Cancelled)
        );
        if is_cut_off && offset > progress.text.len() {
            return Ok(progress.text.len());
        }
        if !progress.text.is_char_boundary(offset) {
            let allowed = "the last next_offset that came, or 0";
            return Err(ApiError::invalid_parameter("offset", &Value::from(offset), allowed));
        }
        Ok(offset)
    }

    async fn post_started(&self) -> Result<(), PostError> {
        let MessageInfo { message_id, seq, in_reply_to, replaces, model } = &self.stream.message;
        let replaces = replaces.as_ref();
        self.deliver(Body::MessageStreamStarted { message_id, seq: *seq, in_reply_to, model, replaces }).await
    }

    async fn post_token(&mut self, token: &str) -> Result<(), PostError> {
        let next_offset = self.cursor + token.len();
        let message_id = &self.stream.message.message_id;
        let event = self.event(Body::MessageStreamToken { message_id, offset: self.cursor, next_offset, token });
        self.post(&event).await?;
        self.cursor = next_offset;
        Ok(())
    }

    async fn post_end(&self, notice: &EndNotice) -> Result<(), PostError> {
        if let Some(error) = &notice.error {
            self.post_error(error).await?;
        }
        let content = {
            let text = &self.progress.borrow().text;
            let fits = json_prefix(text, MAX_EVENT_BYTES - ENVELOPE_BYTES).len() == text.len();
            fits.then(|| text.clone())
        };
        self.deliver(Body::MessageStreamEnded {
            message_id: &self.stream.message.message_id,
            finish_reason: notice.finish_reason,
            content: content.as_deref(),
            content_omitted: content.is_none(),
            usage: notice.usage,
            timing: notice.timing,
        })
        .await
    }

    async fn post_error(&self, error: &ApiError) -> Result<(), PostError> {
        let message_id = Some(&self.stream.message.message_id);
        self.deliver(Body::Error(ErrorReport::new(error, &self.stream.request_id, message_id))).await
    }

    async fn deliver(&self, body: Body<'_>) -> Result<(), PostError> {
        let event = self.event(body);
        self.new_retry().repeat(|| self.post(&event)).await
    }

    /// Posts one event. A socket that is gone may not be open yet.
    async fn post(&self, event: &Event<'_>) -> Result<(), PostError> {
        loop {
            match self.stream.sockets.post(&self.connection.connection_id, event).await {
                Err(PostError::Gone) if self.may_still_open() => sleep(self.stream.timings.retry_opening).await,
                result => return result,
            }
        }
    }

    fn may_still_open(&self) -> bool {
        self.opens_until.is_some_and(|until| self.stream.now() < until) && !self.must_stop()
    }

    fn new_retry(&self) -> PostRetry {
        PostRetry::lasting(self.stream.timings.post)
    }

    fn event<'e>(&'e self, body: Body<'e>) -> Event<'e> {
        Event { body, chat_id: Some(&self.stream.chat_id), timestamp: self.stream.now() }
    }
}
