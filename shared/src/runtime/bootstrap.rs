//! How every function starts: logs first, then its configuration, so that an invalid one is reported; then its clients.

use aws_config::SdkConfig;
use secrecy::SecretString;

use super::{
    aws::{self, SecretError},
    config::{ConfigError, FunctionConfig, RuntimeConfig},
    telemetry,
};

/// Starts the logs of the function `crate_name`, which is `env!("CARGO_CRATE_NAME")`, and reads its configuration.
///
/// # Errors
///
/// Every variable that is missing or invalid.
pub fn start<C: FunctionConfig>(crate_name: &str) -> Result<(RuntimeConfig, C), ConfigError> {
    let runtime = RuntimeConfig::from_env();
    telemetry::init(&runtime, crate_name);
    Ok((runtime, C::from_env()?))
}

/// The clients of AWS services, made from one configuration of the SDK. There is one client of DynamoDB: a second one
/// would read the root certificates again, which is most of a cold start.
#[derive(Clone, Debug)]
pub struct Clients {
    sdk: SdkConfig,
    dynamodb: aws_sdk_dynamodb::Client,
}

impl Clients {
    /// Reads the SDK's configuration from the environment.
    pub async fn load() -> Self {
        let sdk = aws::sdk_config().await;
        Self { dynamodb: aws::dynamodb(&sdk), sdk }
    }

    /// The client of DynamoDB.
    #[must_use]
    pub fn dynamodb(&self) -> aws_sdk_dynamodb::Client {
        self.dynamodb.clone()
    }

    /// A client that posts to sockets through the management API at `endpoint`.
    #[must_use]
    pub fn management_api(&self, endpoint: String) -> aws_sdk_apigatewaymanagement::Client {
        aws::management_api(&self.sdk, endpoint)
    }

    /// A client of Bedrock's models.
    #[must_use]
    pub fn bedrock(&self) -> aws_sdk_bedrockruntime::Client {
        aws::bedrock(&self.sdk)
    }

    /// The text of a secret of Secrets Manager.
    ///
    /// # Errors
    ///
    /// [`SecretError`] when it cannot be read.
    pub async fn secret(&self, name: &str) -> Result<SecretString, SecretError> {
        aws::secret(&self.sdk, name).await
    }
}
