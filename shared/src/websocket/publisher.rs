//! Posting events to sockets, through API Gateway's management API.

use std::time::Duration;

use aws_sdk_apigatewaymanagement::{
    Client,
    error::SdkError,
    operation::{get_connection::GetConnectionError, post_to_connection::PostToConnectionError},
    primitives::Blob,
};

use futures_util::{FutureExt, StreamExt, stream};
use tokio::time::Instant;

use super::event::{Body, ErrorReport, Event};
use crate::{
    domain::{connection::Connection, error::ApiError, id::ConnectionId, time::Timestamp},
    runtime::telemetry,
};

/// How many sockets are closed at once.
const CLOSED_AT_ONCE: usize = 16;

/// Posts events to sockets.
#[derive(Clone, Debug)]
pub struct Publisher {
    client: Client,
}

/// An event that did not arrive.
#[derive(Debug, thiserror::Error)]
pub enum PostError {
    /// The socket is closed, or not open yet.
    #[error("the socket is gone")]
    Gone,
    /// API Gateway did not take it.
    #[error("failed to post to a socket")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Publisher {
    /// Posts through this client.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// Posts one event, once. Two events to one socket keep their order only when the second waits for the first.
    ///
    /// # Errors
    ///
    /// [`PostError`].
    pub async fn post(&self, socket: &ConnectionId, event: &Event<'_>) -> Result<(), PostError> {
        let data = serde_json::to_vec(event).map_err(|error| PostError::Failed(error.into()))?;
        let bytes = data.len();
        self.client.post_to_connection().connection_id(socket.as_str()).data(Blob::new(data)).send().await?;
        telemetry::count_frame(bytes);
        Ok(())
    }

    /// Posts one event until it arrives: API Gateway is short of capacity at times, and a client may read slowly.
    ///
    /// # Errors
    ///
    /// [`PostError`], after [`PostRetry`] has run out.
    pub async fn deliver(&self, socket: &ConnectionId, event: &Event<'_>) -> Result<(), PostError> {
        self.deliver_with(PostRetry::default(), socket, event).await
    }

    /// As [`deliver`](Self::deliver), for a second: for what somebody waits for, but not for longer.
    ///
    /// # Errors
    ///
    /// [`PostError`], after the second.
    pub async fn deliver_soon(&self, socket: &ConnectionId, event: &Event<'_>) -> Result<(), PostError> {
        self.deliver_with(PostRetry::short(), socket, event).await
    }

    async fn deliver_with(
        &self,
        mut patience: PostRetry,
        socket: &ConnectionId,
        event: &Event<'_>,
    ) -> Result<(), PostError> {
        loop {
            match self.post(socket, event).await {
                Ok(()) => return Ok(()),
                Err(error) => patience.wait(error).await?,
            }
        }
    }

    /// Posts the first event on a socket. It does not exist until API Gateway has taken the answer of `$connect` and
    /// finished the handshake, a moment that nobody announces: until then it is "gone", and the post is tried again,
    /// for about three seconds.
    ///
    /// # Errors
    ///
    /// [`PostError`].
    pub async fn deliver_once_open(&self, socket: &ConnectionId, event: &Event<'_>) -> Result<(), PostError> {
        let mut pause = Duration::from_millis(5);
        loop {
            match self.deliver(socket, event).await {
                Err(PostError::Gone) if pause < Duration::from_secs(2) => tokio::time::sleep(pause).await,
                result => return result,
            }
            pause *= 2;
        }
    }

    /// Closes a socket; one that is gone is closed.
    ///
    /// # Errors
    ///
    /// [`PostError::Failed`].
    pub async fn close(&self, socket: &ConnectionId) -> Result<(), PostError> {
        match self.client.delete_connection().connection_id(socket.as_str()).send().await {
            Ok(_) => Ok(()),
            Err(error) if error.as_service_error().is_some_and(|error| error.is_gone_exception()) => Ok(()),
            Err(error) => Err(PostError::Failed(error.into())),
        }
    }

    /// Says goodbye to sockets, then closes them; several at once, since each takes two calls.
    pub async fn close_all(&self, sockets: &[Connection], reason: &ApiError, request_id: &str) {
        let closing: Vec<_> = sockets.iter().map(|socket| self.dismiss(socket, reason, request_id).boxed()).collect();
        stream::iter(closing).buffer_unordered(CLOSED_AT_ONCE).collect::<()>().await;
    }

    /// Says goodbye to a socket, then closes it. There are no close codes of our own, hence the event before.
    async fn dismiss(&self, socket: &Connection, reason: &ApiError, request_id: &str) {
        let report = ErrorReport::new(reason, request_id, None);
        let event =
            Event { body: Body::Error(report), chat_id: Some(&socket.grant.chat_id), timestamp: Timestamp::now() };
        let said = self.post(&socket.connection_id, &event).await;
        let closed = self.close(&socket.connection_id).await;
        if let (Err(PostError::Failed(cause)), _) | (_, Err(PostError::Failed(cause))) = (said, closed) {
            tracing::warn!(
                request_id,
                error.cause = telemetry::causes(cause.as_ref()),
                "a socket was not closed in order"
            );
        }
    }

    /// Whether API Gateway says that a socket is gone. When it does not answer, the socket may live.
    pub async fn is_gone(&self, socket: &ConnectionId) -> bool {
        let looked = self.client.get_connection().connection_id(socket.as_str()).send().await;
        looked.is_err_and(|error| error.as_service_error().is_some_and(GetConnectionError::is_gone_exception))
    }
}

/// How long a socket is given that does not take what is posted to it: half a minute, with longer and longer pauses.
#[derive(Debug)]
pub struct PostRetry {
    lasts: Duration,
    failures: u32,
    failing_since: Option<Instant>,
}

impl Default for PostRetry {
    fn default() -> Self {
        Self { lasts: Duration::from_secs(30), failures: 0, failing_since: None }
    }
}

impl PostRetry {
    const LONGEST_PAUSE: Duration = Duration::from_secs(1);

    /// A second of it.
    fn short() -> Self {
        Self { lasts: Duration::from_secs(1), ..Self::default() }
    }

    /// Waits before the next try.
    ///
    /// # Errors
    ///
    /// The failure itself: at once when the socket is gone, otherwise when the time is over.
    pub async fn wait(&mut self, failure: PostError) -> Result<(), PostError> {
        let since = *self.failing_since.get_or_insert_with(Instant::now);
        if matches!(failure, PostError::Gone) || since.elapsed() > self.lasts {
            return Err(failure);
        }
        let pause = Duration::from_millis(20 << self.failures.min(10)).min(Self::LONGEST_PAUSE);
        self.failures += 1;
        telemetry::count_retried_post();
        tokio::time::sleep(pause.mul_f64(rand::random_range(0.5..1.0))).await;
        Ok(())
    }
}

impl<R> From<SdkError<PostToConnectionError, R>> for PostError
where
    R: std::fmt::Debug + Send + Sync + 'static,
{
    fn from(error: SdkError<PostToConnectionError, R>) -> Self {
        match error.as_service_error() {
            Some(PostToConnectionError::GoneException(_)) => Self::Gone,
            _ => Self::Failed(error.into()),
        }
    }
}
