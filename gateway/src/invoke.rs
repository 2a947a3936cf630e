//! The client of the Lambda Invoke API.
//! <https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html>

use std::collections::HashMap;
use std::time::Duration;

use axum::body::Bytes;
use reqwest::StatusCode;
use serde_json::Value;
use thiserror::Error;
use tokio::sync::Semaphore;

/// Why an invocation gave no answer that a route could use.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum InvokeError {
    /// The function did not answer in time, or no place for the invocation became free in time.
    #[error("the function did not answer within {} ms", .0.as_millis())]
    Timeout(Duration),
    /// The function failed. Its message stays out of this, since it may quote what a client sent.
    #[error("the function failed with {error_type}")]
    Function {
        /// What the function, or its runtime, calls the error.
        error_type: String,
    },
    /// The Invoke API cannot be reached.
    #[error("failed to reach the Lambda Invoke API; is the Lambda emulator running?")]
    Unreachable(#[source] reqwest::Error),
}

pub(crate) struct Invoker {
    client: reqwest::Client,
    endpoint: String,
    /// Places by function, since an emulator may not bear any number of queued calls.
    places: HashMap<String, Semaphore>,
}

impl Invoker {
    pub(crate) fn new(
        endpoint: &str,
        functions: impl Iterator<Item = String>,
        in_flight: usize,
    ) -> Result<Self, reqwest::Error> {
        Ok(Self {
            client: reqwest::Client::builder().no_proxy().build()?,
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            places: functions.map(|function| (function, Semaphore::new(in_flight))).collect(),
        })
    }

    /// Invokes a function and waits for its answer, for `limit` at most.
    pub(crate) async fn invoke(&self, function: &str, event: &Value, limit: Duration) -> Result<Bytes, InvokeError> {
        tokio::time::timeout(limit, self.send(function, event)).await.unwrap_or(Err(InvokeError::Timeout(limit)))
    }

    async fn send(&self, function: &str, event: &Value) -> Result<Bytes, InvokeError> {
        let _place = match self.places.get(function) {
            Some(places) => places.acquire().await.ok(),
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
        // Lambda marks a function error by this header, the emulator by the status.
        let failed = response.status() != StatusCode::OK || response.headers().contains_key("x-amz-function-error");
        let answer = response.bytes().await.map_err(unreachable_endpoint)?;
        if failed {
            let error_type = serde_json::from_slice::<Value>(&answer)
                .ok()
                .and_then(|error| Some(error.get("errorType")?.as_str()?.to_owned()))
                .unwrap_or_else(|| "an unnamed error".to_owned());
            return Err(InvokeError::Function { error_type });
        }
        Ok(answer)
    }
}

fn unreachable_endpoint(error: reqwest::Error) -> InvokeError {
    InvokeError::Unreachable(error.without_url())
}
