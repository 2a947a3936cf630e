//! Where the tables and the sockets are: on this machine, or in a stack on AWS.

use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_cloudformation::Client as CloudFormation;
use aws_sdk_cloudformation::error::ProvideErrorMetadata;
use aws_sdk_dynamodb::config::{Credentials, SharedCredentialsProvider};
use shared::storage::{
    ChatRepository, ConnectionRepository, IdempotencyRepository, MessageRepository, TenantIndex, TenantRepository,
    UserRepository,
};

use super::Admin;
use super::explain::root;
use crate::dev;
use crate::terminal::Terminal;

/// The names that the template gives its resources. Local tables are named so.
const TENANTS: &str = "TenantsTable";
const CHATS: &str = "ChatsTable";
const CONNECTIONS: &str = "ConnectionsTable";
const WEBSOCKET_API: &str = "WebSocketApi";
/// The stage of the WebSocket API.
const STAGE: &str = "live";

/// The ports of `chat dev`, unless it was told others.
const LOCAL_DYNAMODB: &str = "http://127.0.0.1:8001";
const LOCAL_MANAGEMENT: &str = "http://127.0.0.1:8000";

/// The flags that say where.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct PlaceOptions {
    /// The CloudFormation stack that the API was deployed as; without it, the stack on this machine is meant
    #[arg(long, value_name = "NAME", global = true, conflicts_with = "dynamodb_endpoint", help_heading = "On AWS")]
    stack: Option<String>,

    /// The profile whose credentials and region to use [default: as the AWS CLI would choose]
    #[arg(long, value_name = "NAME", global = true, requires = "stack", help_heading = "On AWS")]
    profile: Option<String>,

    /// The region of the stack [default: the profile's]
    #[arg(long, value_name = "NAME", global = true, requires = "stack", help_heading = "On AWS")]
    region: Option<String>,

    /// The local DynamoDB [default: http://127.0.0.1:8001, that of `chat dev`]
    #[arg(long, value_name = "URL", global = true, help_heading = "On this machine")]
    dynamodb_endpoint: Option<String>,

    /// Where sockets are closed [default: http://127.0.0.1:8000, or what --stack says]
    #[arg(long, value_name = "URL", global = true, help_heading = "On this machine")]
    management_endpoint: Option<String>,

    /// One JSON object on stdout; what people read goes to stderr
    #[arg(long, global = true, help_heading = "For programs")]
    pub(crate) json: bool,
}

/// Where the tables and the sockets are.
#[derive(Debug)]
pub(super) struct Place {
    /// The stack, and the region that it is in; none for this machine.
    pub(super) stack: Option<(String, String)>,
    /// The address of the local DynamoDB.
    pub(super) dynamodb: String,
    pub(super) management: String,
    tenants: String,
    chats: String,
    connections: String,
}

impl PlaceOptions {
    /// Finds the tables.
    pub(super) async fn open(&self, terminal: Terminal) -> Result<Admin> {
        let (config, place) = match &self.stack {
            Some(stack) => Box::pin(self.on_aws(stack)).await?,
            None => self.here(),
        };
        let dynamodb = shared::runtime::aws::dynamodb(&config);
        Ok(Admin {
            terminal,
            tenants: TenantRepository::new(dynamodb.clone(), place.tenants.clone()),
            chats: ChatRepository::new(dynamodb.clone(), place.chats.clone()),
            messages: MessageRepository::new(dynamodb.clone(), place.chats.clone()),
            users: UserRepository::new(dynamodb.clone(), place.chats.clone()),
            idempotency: IdempotencyRepository::new(dynamodb.clone(), place.chats.clone()),
            tenant_index: TenantIndex::new(dynamodb.clone(), place.chats.clone()),
            connections: ConnectionRepository::new(dynamodb, place.connections.clone()),
            management: shared::runtime::aws::management_api(&config, place.management.clone()),
            place,
        })
    }

    fn here(&self) -> (SdkConfig, Place) {
        let dynamodb = self.dynamodb_endpoint.as_deref().unwrap_or(LOCAL_DYNAMODB).to_owned();
        let credentials = Credentials::new(dev::ACCESS_KEY, dev::SECRET_KEY, None, None, "local development");
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static(dev::REGION))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .endpoint_url(&dynamodb)
            // What is not there on this machine is not there a second later.
            .retry_config(RetryConfig::standard().with_max_attempts(2))
            .timeout_config(timeouts())
            .build();
        let management = self.management_endpoint.as_deref().unwrap_or(LOCAL_MANAGEMENT).to_owned();
        let [tenants, chats, connections] = [TENANTS, CHATS, CONNECTIONS].map(str::to_owned);
        (config, Place { stack: None, dynamodb, management, tenants, chats, connections })
    }

    async fn on_aws(&self, stack: &str) -> Result<(SdkConfig, Place)> {
        if self.dynamodb_endpoint.is_some() {
            bail!("--dynamodb-endpoint is for the stack on this machine and --stack for one on AWS; grant one of them");
        }
        let mut config = aws_config::defaults(BehaviorVersion::latest()).timeout_config(timeouts());
        if let Some(profile) = &self.profile {
            config = config.profile_name(profile);
        }
        if let Some(region) = &self.region {
            config = config.region(Region::new(region.clone()));
        }
        let config = config.load().await;
        let region =
            config.region().context("no region is set; grant --region, or set one in the profile")?.to_string();
        let client = CloudFormation::new(&config);
        let id = |resource| physical_id(&client, stack, &region, resource);
        let (tenants, chats, connections, api) =
            tokio::try_join!(id(TENANTS), id(CHATS), id(CONNECTIONS), id(WEBSOCKET_API))?;
        let management = self.management_endpoint.clone().unwrap_or_else(|| management_endpoint(&api, &region));
        let stack = Some((stack.to_owned(), region));
        Ok((config, Place { stack, dynamodb: String::new(), management, tenants, chats, connections }))
    }
}

fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(3))
        .operation_attempt_timeout(Duration::from_secs(10))
        .operation_timeout(Duration::from_secs(30))
        .build()
}

/// The name that CloudFormation gave to a resource of the template. Asked for one at a time: a stack has more resources
/// than one answer about all of them would hold.
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
            root(&error)
        ),
    })?;
    output
        .stack_resource_detail
        .and_then(|detail| detail.physical_resource_id)
        .with_context(|| format!("the stack {stack} has no {resource} yet; wait until it is deployed"))
}

fn management_endpoint(api: &str, region: &str) -> String {
    let suffix = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    format!("https://{api}.execute-api.{region}.{suffix}/{STAGE}")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use gateway::template::Template;

    use super::*;

    #[test]
    fn the_template_has_the_names_that_are_looked_for() {
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
    fn sockets_are_closed_where_the_functions_close_them() {
        assert_eq!(management_endpoint("a1b2", "eu-west-1"), "https://a1b2.execute-api.eu-west-1.amazonaws.com/live");
        assert!(management_endpoint("a1b2", "cn-north-1").ends_with(".cn/live"));
    }
}
