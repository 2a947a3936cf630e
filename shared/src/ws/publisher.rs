//! Posting events to sockets, through API Gateway's management API.

use std::time::Duration;

use aws_sdk_apigatewaymanagement::{
    Client, error::SdkError, operation::post_to_connection::PostToConnectionError, primitives::Blob,
};

use super::event::Event;
use crate::id::ConnectionId;

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

    /// Posts one event. Two events to one socket keep their order only when the second waits for the first.
    ///
    /// # Errors
    ///
    /// [`PostError`].
    pub async fn post(&self, socket: &ConnectionId, event: &Event<'_>) -> Result<(), PostError> {
        let data = serde_json::to_vec(event).map_err(|error| PostError::Failed(error.into()))?;
        self.client
            .post_to_connection()
            .connection_id(socket.as_str())
            .data(Blob::new(data))
            .send()
            .await
            .map(drop)
            .map_err(PostError::from)
    }

    /// Posts the first event on a socket. It does not exist until API Gateway has taken the answer of `$connect` and
    /// finished the handshake, a moment that nobody announces: until then it is "gone", and the post is tried again,
    /// for about three seconds.
    ///
    /// # Errors
    ///
    /// [`PostError`].
    pub async fn post_once_open(&self, socket: &ConnectionId, event: &Event<'_>) -> Result<(), PostError> {
        let mut pause = Duration::from_millis(5);
        loop {
            match self.post(socket, event).await {
                Err(PostError::Gone) if pause < Duration::from_secs(2) => tokio::time::sleep(pause).await,
                result => return result,
            }
            pause *= 2;
        }
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
