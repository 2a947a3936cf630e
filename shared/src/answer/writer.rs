//! One socket's view of an answer.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, time::Instant};

use super::{
    feed::{End, Progress},
    stream::Answering,
};
use crate::{
    id::ConnectionId,
    message::FinishReason,
    time::Timestamp,
    ws::{Body, ErrorReport, Event, MAX_EVENT_BYTES, PostError, fitting},
};

/// The shortest time between two frames of tokens: 25 a second look as smooth as more, and each is paid for.
const FRAME_INTERVAL: Duration = Duration::from_millis(40);

/// What a frame needs beside its text.
const ENVELOPE_BYTES: usize = 512;

/// Posts a message and the answer to it to one socket, until the answer ends or the socket is gone. A socket that is
/// lost is nobody's error: the answer is stored, and the client reads it when it is back.
pub(super) async fn write(answering: &Answering, socket: &ConnectionId, feed: watch::Receiver<Progress>) {
    let writer = Writer { answering, socket, feed, cursor: 0 };
    match writer.run().await {
        Ok(()) | Err(PostError::Gone) => {}
        Err(PostError::Failed(cause)) => {
            tracing::warn!(error.cause = %cause, "a socket was given up")
        }
    }
}

struct Writer<'a> {
    answering: &'a Answering,
    socket: &'a ConnectionId,
    feed: watch::Receiver<Progress>,
    /// How much of the text was posted, in bytes.
    cursor: usize,
}

/// What a writer does next.
enum Next {
    Token(String),
    End(Arc<End>),
    Abandoned,
}

impl Writer<'_> {
    async fn run(mut self) -> Result<(), PostError> {
        let Answering { exchange, model, .. } = self.answering;
        self.post(Body::MessageReceived {
            message_id: &exchange.message.message_id,
            seq: exchange.message.seq,
            content: &exchange.message.content,
        })
        .await?;
        self.post(Body::MessageStreamStarted {
            message_id: &exchange.reply.message_id,
            seq: exchange.reply.seq,
            in_reply_to: &exchange.reply.in_reply_to,
            model,
        })
        .await?;

        // The first token leaves at once.
        let mut next_frame = Instant::now();
        loop {
            match self.next(next_frame).await {
                Next::Token(token) => {
                    next_frame = Instant::now() + FRAME_INTERVAL;
                    self.post_token(&token).await?;
                }
                Next::End(end) => return self.post_end(&end).await,
                Next::Abandoned => return Ok(()),
            }
        }
    }

    /// Waits until there is something to say; of tokens, what has gathered when the next frame may leave.
    async fn next(&mut self, next_frame: Instant) -> Next {
        let cursor = self.cursor;
        let has_token = |progress: &Progress| progress.text.len() > cursor;
        match self.feed.wait_for(|progress| has_token(progress) || progress.end.is_some()).await {
            Err(_) => return Next::Abandoned,
            Ok(progress) => match &progress.end {
                Some(end) if !has_token(&progress) => return Next::End(end.clone()),
                _ => {}
            },
        }
        tokio::time::sleep_until(next_frame).await;
        Next::Token(fitting(&self.feed.borrow().text[cursor..], MAX_EVENT_BYTES - ENVELOPE_BYTES).to_owned())
    }

    async fn post_token(&mut self, token: &str) -> Result<(), PostError> {
        let next_offset = self.cursor + token.len();
        let message_id = &self.answering.exchange.reply.message_id;
        self.post(Body::MessageStreamToken { message_id, offset: self.cursor, next_offset, token }).await?;
        self.cursor = next_offset;
        Ok(())
    }

    async fn post_end(&self, end: &End) -> Result<(), PostError> {
        let message_id = &self.answering.exchange.reply.message_id;
        if let Some(error) = &end.error {
            let report = ErrorReport::new(error, &self.answering.request_id, Some(message_id));
            self.post(Body::Error(report)).await?;
        }
        let text = self.feed.borrow().text.clone();
        let fits = fitting(&text, MAX_EVENT_BYTES - ENVELOPE_BYTES).len() == text.len();
        let finish_reason = if end.error.is_some() { FinishReason::Error } else { end.finish_reason };
        self.post(Body::MessageStreamEnded {
            message_id,
            finish_reason,
            content: fits.then_some(&text),
            content_omitted: !fits,
            usage: end.usage,
            timing: end.timing,
        })
        .await
    }

    async fn post(&self, body: Body<'_>) -> Result<(), PostError> {
        let event = Event { body, chat_id: Some(&self.answering.connection.chat_id), timestamp: Timestamp::now() };
        self.answering.publisher.post(self.socket, &event).await
    }
}
