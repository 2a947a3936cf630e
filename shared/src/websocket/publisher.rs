//! Posts events to sockets through API Gateway's management API.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use aws_sdk_apigatewaymanagement::{
    Client,
    error::SdkError,
    operation::{get_connection::GetConnectionError, post_to_connection::PostToConnectionError},
    primitives::Blob,
};
use futures_util::{FutureExt, StreamExt, stream};
use tokio::time::Instant;

use super::{
    event::{Body, ErrorReport, Event},
    post_retry::{PostError, PostRetry},
};
use crate::{
    domain::{connection::Connection, error::ApiError, id::ConnectionId, time::Timestamp},
    runtime::{retry::Backoff, telemetry},
};

/// How many sockets are closed at a time.
const CONCURRENT_CLOSES: usize = 16;

/// The pauses before a new socket opens: 2.6 s in all.
const OPEN_BACKOFF: Backoff = Backoff::exact(Duration::from_millis(5), Duration::from_millis(1_280));
const OPEN_RETRIES: u32 = 9;

/// After how many of them, which take 160 ms, the connection is read. Most sockets are open by then.
const UNCHECKED_RETRIES: u32 = 5;

/// How long a process posts less often after a refused post.
const BACK_OFF: Duration = Duration::from_secs(10);

/// Posts events to sockets.
#[derive(Clone, Debug)]
pub struct Publisher {
    client: Client,
    /// When API Gateway last refused a post.
    refused_at: Arc<Mutex<Option<Instant>>>,
}

impl Publisher {
    /// Posts through this client.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client, refused_at: Arc::default() }
    }

    /// Posts one event, in one attempt. Two events to one socket keep their order only when the second post waits for the
    /// first.
    ///
    /// # Errors
    ///
    /// [`PostError`].
    pub async fn post(&self, socket: &ConnectionId, event: &Event<'_>) -> Result<(), PostError> {
        let data = serde_json::to_vec(event).map_err(|error| PostError::Failed(error.into()))?;
        let bytes = data.len();
        let posted = self.client.post_to_connection().connection_id(socket.as_str()).data(Blob::new(data)).send().await;
        if posted.as_ref().is_err_and(is_refused) {
            *self.refused_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
            telemetry::count_refused_post();
        }
        posted?;
        telemetry::count_frame(bytes);
        Ok(())
    }

    /// Whether API Gateway has refused a post of this process within the last ten seconds.
    #[must_use]
    pub fn has_refused_posts(&self) -> bool {
        let refused_at = *self.refused_at.lock().unwrap_or_else(PoisonError::into_inner);
        refused_at.is_some_and(|refused_at| refused_at.elapsed() < BACK_OFF)
    }

    /// Posts one event and retries for half a minute: API Gateway throttles at times, and a client may read slowly.
    ///
    /// # Errors
    ///
    /// [`PostError`] of the last attempt.
    pub async fn deliver(&self, socket: &ConnectionId, event: &Event<'_>) -> Result<(), PostError> {
        PostRetry::default().repeat(|| self.post(socket, event)).await
    }

    /// As [`deliver`](Self::deliver), for a quarter of a second in all: for posts that reply to a frame.
    ///
    /// # Errors
    ///
    /// [`PostError`] of the last attempt.
    pub async fn deliver_soon(&self, socket: &ConnectionId, event: &Event<'_>) -> Result<(), PostError> {
        PostRetry::of_reply().repeat(|| self.post(socket, event)).await
    }

    /// Posts the first event on a socket. The socket does not exist until API Gateway has received the response of
    /// `$connect` and finished the handshake, which no event announces. Until then posts fail with `GoneException`, so they
    /// are retried for 2.6 s; but only while the connection `is_stored`: a socket that has closed fails in the same way, and
    /// clients that connect in a loop must not hold processes.
    ///
    /// # Errors
    ///
    /// [`PostError`] of the last attempt.
    pub async fn deliver_once_open<F: Future<Output = bool>>(
        &self,
        socket: &ConnectionId,
        event: &Event<'_>,
        is_stored: impl Fn() -> F,
    ) -> Result<(), PostError> {
        let mut retry = 0;
        loop {
            match self.deliver(socket, event).await {
                Err(PostError::Gone) if retry < OPEN_RETRIES => OPEN_BACKOFF.wait(retry).await,
                result => return result,
            }
            retry += 1;
            if retry > UNCHECKED_RETRIES && !is_stored().await {
                return Err(PostError::Gone);
            }
        }
    }

    /// Closes a socket. Succeeds when it is gone already.
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

    /// Posts the reason to each socket, then closes it; retries each for a second. Returns whether API Gateway has closed
    /// all of them.
    pub async fn close_all(&self, connections: &[Connection], reason: &ApiError, request_id: &str) -> bool {
        let closes: Vec<_> =
            connections.iter().map(|connection| self.close_with(connection, reason, request_id).boxed()).collect();
        let closed: Vec<bool> = stream::iter(closes).buffer_unordered(CONCURRENT_CLOSES).collect().await;
        closed.into_iter().all(|is_closed| is_closed)
    }

    /// API Gateway knows no close codes of our own, so an error event tells the reason.
    async fn close_with(&self, connection: &Connection, reason: &ApiError, request_id: &str) -> bool {
        let event = Event {
            body: Body::Error(ErrorReport::new(reason, request_id, None)),
            chat_id: Some(&connection.grant.chat_id),
            timestamp: Timestamp::now(),
        };
        let posted = PostRetry::one_second().repeat(|| self.post(&connection.connection_id, &event)).await;
        if let Err(PostError::Failed(cause)) = posted {
            let cause = telemetry::causes(cause.as_ref());
            tracing::warn!(request_id, error.cause = cause, "connection closed without notice");
        }
        match PostRetry::one_second().repeat(|| self.close(&connection.connection_id)).await {
            Ok(()) | Err(PostError::Gone) => true,
            Err(PostError::Failed(cause)) => {
                let cause = telemetry::causes(cause.as_ref());
                tracing::warn!(request_id, error.cause = cause, "connection close failed");
                false
            }
        }
    }

    /// Whether API Gateway says that a socket is gone. False when API Gateway cannot be reached.
    pub async fn is_gone(&self, socket: &ConnectionId) -> bool {
        let output = self.client.get_connection().connection_id(socket.as_str()).send().await;
        output.is_err_and(|error| error.as_service_error().is_some_and(GetConnectionError::is_gone_exception))
    }
}

/// Whether API Gateway refused a post because there are too many, or because the client does not read: it tells both in the
/// same way.
/// <https://docs.aws.amazon.com/botocore/latest/reference/services/apigatewaymanagementapi/client/exceptions/LimitExceededException.html>
fn is_refused<R>(error: &SdkError<PostToConnectionError, R>) -> bool {
    error.as_service_error().is_some_and(PostToConnectionError::is_limit_exceeded_exception)
}
