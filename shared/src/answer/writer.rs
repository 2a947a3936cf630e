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
    store::Connection,
    telemetry,
    time::Timestamp,
    ws::{Body, ErrorReport, Event, MAX_EVENT_BYTES, Patience, PostError, fitting},
};

/// The shortest time between two frames of tokens: 25 a second look as smooth as more, and each is paid for.
const FRAME_INTERVAL: Duration = Duration::from_millis(40);

/// What a frame needs beside its text.
const ENVELOPE_BYTES: usize = 512;

/// How long a new socket is waited for to have had its first event.
const GREETING: Duration = Duration::from_secs(5);

/// How often it is asked whether it has.
const ASK_INTERVAL: Duration = Duration::from_millis(20);

/// Posts a message and the answer to it to one socket, until the answer ends or the socket is gone. A socket that is
/// lost is nobody's error: the answer is stored, and the client reads it when it is back.
pub(super) async fn write(answering: &Answering, connection: &Connection, feed: watch::Receiver<Progress>) {
    if !greeted(answering, connection).await {
        return;
    }
    let writer = Writer { answering, socket: &connection.connection_id, feed, cursor: 0 };
    if let Err(PostError::Failed(cause)) = writer.run().await {
        let request_id = &answering.request_id;
        tracing::warn!(request_id, error.cause = telemetry::causes(cause.as_ref()), "a socket was given up");
    }
}

/// Waits until a socket that was just opened has had its first event. False when it is gone.
async fn greeted(answering: &Answering, connection: &Connection) -> bool {
    let patience_ends = connection.opened_at.plus(GREETING);
    while !connection.greeted && Timestamp::now() < patience_ends {
        match answering.connections.was_greeted(connection).await {
            Ok(None) => return false,
            Ok(Some(true)) | Err(_) => break,
            Ok(Some(false)) => tokio::time::sleep(ASK_INTERVAL).await,
        }
    }
    true
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
        self.deliver(Body::received(&exchange.message)).await?;
        self.deliver(Body::MessageStreamStarted {
            message_id: &exchange.reply.message_id,
            seq: exchange.reply.seq,
            in_reply_to: &exchange.reply.in_reply_to,
            model,
        })
        .await?;

        // The first token leaves at once.
        let mut next_frame = Instant::now();
        let mut patience = Patience::default();
        loop {
            match self.next(next_frame).await {
                Next::Token(token) => {
                    next_frame = Instant::now() + FRAME_INTERVAL;
                    match self.post_token(&token).await {
                        Ok(()) => patience = Patience::default(),
                        // What gathers meanwhile leaves with the next try.
                        Err(failure) => patience.bear(failure).await?,
                    }
                }
                Next::End(end) => return self.deliver_end(&end).await,
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
        let event = self.event(Body::MessageStreamToken { message_id, offset: self.cursor, next_offset, token });
        self.answering.publisher.post(self.socket, &event).await?;
        self.cursor = next_offset;
        Ok(())
    }

    async fn deliver_end(&self, end: &End) -> Result<(), PostError> {
        let message_id = &self.answering.exchange.reply.message_id;
        if let Some(error) = &end.error {
            let report = ErrorReport::new(error, &self.answering.request_id, Some(message_id));
            self.deliver(Body::Error(report)).await?;
        }
        let text = self.feed.borrow().text.clone();
        let fits = fitting(&text, MAX_EVENT_BYTES - ENVELOPE_BYTES).len() == text.len();
        let finish_reason = if end.error.is_some() { FinishReason::Error } else { end.finish_reason };
        self.deliver(Body::MessageStreamEnded {
            message_id,
            finish_reason,
            content: fits.then_some(&text),
            content_omitted: !fits,
            usage: end.usage,
            timing: end.timing,
        })
        .await
    }

    async fn deliver(&self, body: Body<'_>) -> Result<(), PostError> {
        self.answering.publisher.deliver(self.socket, &self.event(body)).await
    }

    fn event<'e>(&'e self, body: Body<'e>) -> Event<'e> {
        let chat_id = Some(&self.answering.connection.pass.chat_id);
        Event { body, chat_id, timestamp: Timestamp::now() }
    }
}
