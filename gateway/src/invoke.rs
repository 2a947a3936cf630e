//! Client of the Lambda Invoke API.
//! <https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html>

use std::{collections::HashMap, time::Duration};

use axum::body::Bytes;
use reqwest::StatusCode;
use serde_json::Value;
use thiserror::Error;
use tokio::{sync::Semaphore, time::timeout};

/// Why an invocation has no usable response.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum InvokeError {
    /// The timeout ended before the function responded, or before the concurrency limit admitted the invocation.
    #[error("the function did not respond within {} ms", .0.as_millis())]
    Timeout(Duration),
    /// The function failed. Its error message is dropped, because it may contain client data.
    #[error("the function failed with {error_type}")]
    Function {
        /// `errorType` of the function or of its runtime.
        error_type: String,
    },
    /// The function returned, but not a proxy response.
    #[error("the function returned a malformed proxy response")]
    MalformedResponse,
    /// The Invoke API cannot be reached.
    #[error("failed to reach the Lambda Invoke API; is the Lambda emulator running?")]
    Unreachable(#[source] reqwest::Error),
}

pub(crate) struct Invoker {
    client: reqwest::Client,
    endpoint: String,
    /// Concurrency limit by function.
    permits: HashMap<String, Semaphore>,
}

impl Invoker {
    pub(crate) fn new(
        endpoint: &str,
        functions: impl Iterator<Item = String>,
        concurrency: usize,
    ) -> Result<Self, reqwest::Error> {
        Ok(Self {
            client: reqwest::Client::builder().no_proxy().build()?,
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            permits: functions.map(|function| (function, Semaphore::new(concurrency))).collect(),
        })
    }

    /// Invokes a function and returns its payload. `limit` includes the wait for a permit.
    pub(crate) async fn invoke(&self, function: &str, event: &Value, limit: Duration) -> Result<Bytes, InvokeError> {
        timeout(limit, self.send(function, event)).await.unwrap_or(Err(InvokeError::Timeout(limit)))
    }

    async fn send(&self, function: &str, event: &Value) -> Result<Bytes, InvokeError> {
        let _permit = match self.permits.get(function) {
            Some(permits) => permits.acquire().await.ok(),
            None => None,
        };
        let url = format!("{}/2015-03-31/functions/{function}/invocations", self.endpoint);
        let response = self
            .client
            .post(url)
            .header("content-type", "application/json")
            .body(event.to_string())
            .send()
            .await
            .map_err(unreachable_endpoint)?;
        // Lambda marks a function error by this header, `cargo lambda watch` by the status.
        let failed = response.status() != StatusCode::OK || response.headers().contains_key("x-amz-function-error");
        let payload = response.bytes().await.map_err(unreachable_endpoint)?;
        if failed {
            let error_type = serde_json::from_slice::<Value>(&payload)
                .ok()
                .and_then(|error| Some(error.get("errorType")?.as_str()?.to_owned()))
                .unwrap_or_else(|| "an error without a type".to_owned());
            return Err(InvokeError::Function { error_type });
        }
        Ok(payload)
    }
}

fn unreachable_endpoint(error: reqwest::Error) -> InvokeError {
    InvokeError::Unreachable(error.without_url())
}
