//! The clients of AWS services, made once before a function runs. Region, credentials and endpoints come from the
//! environment, as the SDK reads it.

use std::time::Duration;

use aws_config::{BehaviorVersion, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};

/// How long one attempt of a request may take; the SDK makes up to three.
const ATTEMPT: Duration = Duration::from_secs(3);
/// How long a request may take with all its attempts. API Gateway gives up on a function after 29 s.
const OPERATION: Duration = Duration::from_secs(10);

/// What all clients have in common.
pub async fn sdk_config() -> SdkConfig {
    let timeouts = TimeoutConfig::builder().operation_attempt_timeout(ATTEMPT).operation_timeout(OPERATION).build();
    aws_config::defaults(BehaviorVersion::latest()).timeout_config(timeouts).load().await
}

/// The client of DynamoDB.
#[must_use]
pub fn dynamodb(config: &SdkConfig) -> aws_sdk_dynamodb::Client {
    aws_sdk_dynamodb::Client::new(config)
}

/// The client that posts to sockets, through the management API at `endpoint`. It tries once: who posts knows better
/// than the SDK what to send next.
#[must_use]
pub fn management_api(config: &SdkConfig, endpoint: String) -> aws_sdk_apigatewaymanagement::Client {
    let config = aws_sdk_apigatewaymanagement::config::Builder::from(config)
        .endpoint_url(endpoint)
        .retry_config(RetryConfig::disabled())
        .build();
    aws_sdk_apigatewaymanagement::Client::from_conf(config)
}
