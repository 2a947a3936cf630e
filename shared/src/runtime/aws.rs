//! The clients of AWS services, made once before a function runs. Region, credentials and endpoints come from the
//! environment, as the SDK reads it.

use std::time::Duration;

use aws_config::{
    BehaviorVersion, SdkConfig, retry::RetryConfig, stalled_stream_protection::StalledStreamProtectionConfig,
    timeout::TimeoutConfig,
};
use aws_sdk_secretsmanager::{error::SdkError, operation::get_secret_value::GetSecretValueError};
use secrecy::SecretString;

use crate::runtime::telemetry::{CountCapacity, SendTrace};

/// How long one attempt of a request may take; the SDK makes up to three.
const ATTEMPT: Duration = Duration::from_secs(3);
/// How long a request may take with all its attempts. API Gateway gives up on a function after 29 s.
const OPERATION: Duration = Duration::from_secs(10);

/// How long a connection to a model may take.
const CONNECT: Duration = Duration::from_secs(5);

/// What all clients have in common.
pub async fn sdk_config() -> SdkConfig {
    aws_config::defaults(BehaviorVersion::latest()).timeout_config(timeouts()).load().await
}

/// How long requests may take.
#[must_use]
pub fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder().operation_attempt_timeout(ATTEMPT).operation_timeout(OPERATION).build()
}

/// The client of DynamoDB. What it does is counted for the line of the request that it does it for.
#[must_use]
pub fn dynamodb(config: &SdkConfig) -> aws_sdk_dynamodb::Client {
    let config = aws_sdk_dynamodb::config::Builder::from(config).interceptor(CountCapacity).build();
    aws_sdk_dynamodb::Client::from_conf(config)
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

/// The client of Bedrock's models. It tries once and waits for ever: the agent that uses it knows how long a model may
/// think, and when a second try would say something twice.
#[must_use]
pub fn bedrock(config: &SdkConfig) -> aws_sdk_bedrockruntime::Client {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT)
        .disable_operation_attempt_timeout()
        .disable_operation_timeout()
        .disable_read_timeout()
        .build();
    let config = aws_sdk_bedrockruntime::config::Builder::from(config)
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts)
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .interceptor(SendTrace)
        .build();
    aws_sdk_bedrockruntime::Client::from_conf(config)
}

/// A secret of Secrets Manager, by its name or ARN: its whole text.
///
/// # Errors
///
/// When there is no such secret, it is binary, or the function may not read it.
pub async fn secret(config: &SdkConfig, name: &str) -> Result<SecretString, SecretError> {
    let client = aws_sdk_secretsmanager::Client::new(config);
    let answer = client.get_secret_value().secret_id(name).send().await.map_err(Box::new)?;
    answer.secret_string.map(|text| SecretString::from(text.trim())).ok_or(SecretError::NoText)
}

/// Why a secret could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// Secrets Manager did not hand it out.
    #[error("failed to read a secret")]
    Unread(#[from] Box<SdkError<GetSecretValueError>>),
    /// It has no text.
    #[error("failed to read a secret: it holds no text")]
    NoText,
}
