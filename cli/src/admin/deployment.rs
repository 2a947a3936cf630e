//! The stack that a command works on: on this machine, or on AWS.

use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use aws_config::{BehaviorVersion, Region, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_sdk_cloudformation::{Client as CloudFormation, error::ProvideErrorMetadata};
use aws_sdk_dynamodb::config::{Credentials, SharedCredentialsProvider};

use super::cause::root_cause;
use crate::local_aws;

/// The logical ids of the template's resources. Local tables have them as names.
const TENANTS: &str = "TenantsTable";
const CHATS: &str = "ChatsTable";
const CONNECTIONS: &str = "ConnectionsTable";
const WEBSOCKET_API: &str = "WebSocketApi";
/// The stage of the WebSocket API.
const STAGE: &str = "live";

/// The default addresses of `chat dev`.
const LOCAL_DYNAMODB: &str = "http://127.0.0.1:8001";
const LOCAL_MANAGEMENT: &str = "http://127.0.0.1:8000";

/// The flags that select the stack.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct DeploymentOptions {
    /// The name of the CloudFormation stack [default: the stack on this machine]
    #[arg(long, value_name = "NAME", global = true, conflicts_with = "dynamodb_endpoint", help_heading = "On AWS")]
    stack: Option<String>,

    /// The AWS profile with the credentials and the region [default: as the AWS CLI chooses]
    #[arg(long, value_name = "NAME", global = true, requires = "stack", help_heading = "On AWS")]
    profile: Option<String>,

    /// The region of the stack [default: the profile's]
    #[arg(long, value_name = "NAME", global = true, requires = "stack", help_heading = "On AWS")]
    region: Option<String>,

    /// The address of the local DynamoDB [default: http://127.0.0.1:8001, as `chat dev` starts it]
    #[arg(long, value_name = "URL", global = true, help_heading = "On this machine")]
    dynamodb_endpoint: Option<String>,

    /// The address of the management API, which closes sockets [default: http://127.0.0.1:8000, or the stack's]
    #[arg(long, value_name = "URL", global = true, help_heading = "On this machine")]
    management_endpoint: Option<String>,

    /// Print one JSON object on stdout, and everything for people on stderr
    #[arg(long, global = true, help_heading = "For programs")]
    pub(super) json: bool,
}

/// Where a stack's tables and sockets are.
#[derive(Debug)]
pub(super) struct Deployment {
    /// The name of the CloudFormation stack and its region; `None` on this machine.
    pub(super) stack: Option<(String, String)>,
    /// The address of the local DynamoDB; empty on AWS.
    pub(super) dynamodb: String,
    /// The address of the management API.
    pub(super) management: String,
    /// The names of the tables.
    pub(super) tenants: String,
    pub(super) chats: String,
    pub(super) connections: String,
}

impl DeploymentOptions {
    /// Finds the tables and the address of the management API, and how to reach them.
    pub(super) async fn find(&self) -> Result<(SdkConfig, Deployment)> {
        match &self.stack {
            Some(stack) => Box::pin(self.on_aws(stack)).await,
            None => Ok(self.on_this_machine()),
        }
    }

    fn on_this_machine(&self) -> (SdkConfig, Deployment) {
        let dynamodb = self.dynamodb_endpoint.as_deref().unwrap_or(LOCAL_DYNAMODB).to_owned();
        let credentials =
            Credentials::new(local_aws::ACCESS_KEY, local_aws::SECRET_KEY, None, None, "local development");
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static(local_aws::REGION))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .endpoint_url(&dynamodb)
            // A local server that cannot be reached will not appear during a retry.
            .retry_config(RetryConfig::standard().with_max_attempts(2))
            .timeout_config(timeouts())
            .build();
        let management = self.management_endpoint.as_deref().unwrap_or(LOCAL_MANAGEMENT).to_owned();
        let [tenants, chats, connections] = [TENANTS, CHATS, CONNECTIONS].map(str::to_owned);
        (config, Deployment { stack: None, dynamodb, management, tenants, chats, connections })
    }

    async fn on_aws(&self, stack: &str) -> Result<(SdkConfig, Deployment)> {
        if self.dynamodb_endpoint.is_some() {
            bail!("--dynamodb-endpoint selects a stack on this machine and --stack one on AWS: pass only one of them");
        }
        let mut config = aws_config::defaults(BehaviorVersion::latest()).timeout_config(timeouts());
        if let Some(profile) = &self.profile {
            config = config.profile_name(profile);
        }
        if let Some(region) = &self.region {
            config = config.region(Region::new(region.clone()));
        }
        let config = config.load().await;
        let region = config.region().context("no region is set: pass --region, or set one in the profile")?.to_string();
        let client = CloudFormation::new(&config);
        let id = |resource| physical_id(&client, stack, &region, resource);
        let (tenants, chats, connections, api) =
            tokio::try_join!(id(TENANTS), id(CHATS), id(CONNECTIONS), id(WEBSOCKET_API))?;
        let management = self.management_endpoint.clone().unwrap_or_else(|| management_endpoint(&api, &region));
        let stack = Some((stack.to_owned(), region));
        Ok((config, Deployment { stack, dynamodb: String::new(), management, tenants, chats, connections }))
    }
}

fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(3))
        .operation_attempt_timeout(Duration::from_secs(10))
        .operation_timeout(Duration::from_secs(30))
        .build()
}

/// The name that CloudFormation gave to a resource of the template. Requests one resource, because a stack has more
/// than one response can contain.
async fn physical_id(client: &CloudFormation, stack: &str, region: &str, resource: &str) -> Result<String> {
    let described = client.describe_stack_resource().stack_name(stack).logical_resource_id(resource).send().await;
    let output = described.map_err(|error| match error.as_service_error().and_then(|error| error.message()) {
        Some(message) => anyhow!(
            "failed to find {resource} of the stack {stack} in {region}: {message}; check --stack, --region and \
             --profile"
        ),
        None => anyhow!(
            "failed to ask CloudFormation in {region} about the stack {stack}: {}; check the credentials of the \
             profile, and the network",
            root_cause(&error)
        ),
    })?;
    output
        .stack_resource_detail
        .and_then(|detail| detail.physical_resource_id)
        .with_context(|| format!("the stack {stack} has no {resource} yet: wait until its deployment is complete"))
}

fn management_endpoint(api: &str, region: &str) -> String {
    let suffix = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    format!("https://{api}.execute-api.{region}.{suffix}/{STAGE}")
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, path::Path};

    use gateway::template::Template;

    use super::*;

    #[test]
    fn template_has_the_resources_that_commands_need() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../template.yaml");
        let template = Template::load(&path, &BTreeMap::new()).expect("the project's template");
        let names = |kind| -> Vec<String> {
            let resources = template.resources(kind).expect("resolved");
            resources.into_iter().map(|resource| resource.logical_id).collect()
        };
        let tables = names("AWS::DynamoDB::Table");
        assert!([TENANTS, CHATS, CONNECTIONS].iter().all(|name| tables.iter().any(|table| table == name)));
        let text = std::fs::read_to_string(path).expect("readable");
        assert!(text.contains(&format!("  {WEBSOCKET_API}:\n")) && text.contains(&format!("StageName: {STAGE}\n")));
    }

    #[test]
    fn management_endpoint_is_in_the_region_of_the_stack() {
        assert_eq!(management_endpoint("a1b2", "eu-west-1"), "https://a1b2.execute-api.eu-west-1.amazonaws.com/live");
        assert!(management_endpoint("a1b2", "cn-north-1").ends_with(".cn/live"));
    }
}
