//! Clients of AWS services, made once before a function runs. The SDK reads region, credentials and endpoints from the
//! environment.

use std::time::Duration;

use aws_config::{
    BehaviorVersion, SdkConfig, retry::RetryConfig, stalled_stream_protection::StalledStreamProtectionConfig,
    timeout::TimeoutConfig,
};
use aws_sdk_secretsmanager::{error::SdkError, operation::get_secret_value::GetSecretValueError};
use secrecy::SecretString;

use crate::runtime::telemetry::{CountCapacity, SendTrace};

/// How long one attempt of a call may take; the SDK makes up to three.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a call may take with all its attempts. API Gateway gives up on a function after 29 s.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(10);

/// How long connecting to Bedrock may take.
const BEDROCK_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The configuration that all clients share.
pub async fn sdk_config() -> SdkConfig {
    aws_config::defaults(BehaviorVersion::latest()).timeout_config(timeouts()).load().await
}

/// The timeouts of all clients except Bedrock's.
#[must_use]
pub fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder().operation_attempt_timeout(ATTEMPT_TIMEOUT).operation_timeout(OPERATION_TIMEOUT).build()
}

/// The client of DynamoDB. Its calls and capacity units count towards the current activity's log line.
#[must_use]
pub fn dynamodb(config: &SdkConfig) -> aws_sdk_dynamodb::Client {
    let config = aws_sdk_dynamodb::config::Builder::from(config).interceptor(CountCapacity).build();
    aws_sdk_dynamodb::Client::from_conf(config)
}

/// The client of the API Gateway management API at `endpoint`. It makes one attempt: the publisher decides about
/// retries, because newer text may have gathered meanwhile.
#[must_use]
pub fn management_api(config: &SdkConfig, endpoint: String) -> aws_sdk_apigatewaymanagement::Client {
    let config = aws_sdk_apigatewaymanagement::config::Builder::from(config)
        .endpoint_url(endpoint)
        .retry_config(RetryConfig::disabled())
        .build();
    aws_sdk_apigatewaymanagement::Client::from_conf(config)
}

/// The client of Bedrock. It makes one attempt without a timeout: the agent knows how long a model may be silent, and
/// when a retry would repeat text.
#[must_use]
pub fn bedrock(config: &SdkConfig) -> aws_sdk_bedrockruntime::Client {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(BEDROCK_CONNECT_TIMEOUT)
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

/// Reads the text of a secret in Secrets Manager by its name or ARN.
///
/// # Errors
///
/// When the secret does not exist, is binary, or the function may not read it.
pub async fn secret(config: &SdkConfig, name: &str) -> Result<SecretString, SecretError> {
    let client = aws_sdk_secretsmanager::Client::new(config);
    let output = client.get_secret_value().secret_id(name).send().await.map_err(Box::new)?;
    output.secret_string.map(|text| SecretString::from(text.trim())).ok_or(SecretError::NoText)
}

/// Why a secret could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// Secrets Manager refused it.
    #[error("failed to read a secret")]
    Unread(#[from] Box<SdkError<GetSecretValueError>>),
    /// The secret is binary.
    #[error("failed to read a secret: it holds no text")]
    NoText,
}
