//! Reads request bodies up to the payload limit.

use axum::body::{Body, Bytes};
use futures_util::StreamExt as _;

/// Payload size of an HTTP API.
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html>
const MAX_BODY: usize = 10 * 1024 * 1024;
/// How much of a larger body the gateway reads and discards, so that its client can read the response.
const MAX_DISCARDED: usize = 8 * MAX_BODY;

pub(super) enum BodyError {
    TooLarge,
    /// The client ended the connection, or sent invalid chunks.
    Incomplete,
}

pub(super) async fn read(body: Body) -> Result<Bytes, BodyError> {
    let mut stream = body.into_data_stream();
    let mut read = Vec::new();
    let mut total = 0;
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|_| BodyError::Incomplete)?;
        total += chunk.len();
        if total <= MAX_BODY {
            read.extend_from_slice(&chunk);
        } else if total > MAX_DISCARDED {
            break;
        }
    }
    if total > MAX_BODY { Err(BodyError::TooLarge) } else { Ok(read.into()) }
}
