//! The demo tenant, whose key is the one that the documentation uses.

use anyhow::{Context, Result};
use aws_sdk_dynamodb::Client;
use gateway::template::Function;
use shared::domain::api_key::ApiKey;
use shared::domain::chat::ChatConfig;
use shared::domain::limits::Limits;
use shared::domain::tenant::NewTenant;
use shared::domain::time::Timestamp;
use shared::storage::TenantRepository;

/// The key of the demo tenant.
pub(super) const API_KEY: &str = "your-tenant-api-key";
const NAME: &str = "Demo";
/// The variable in which functions find the name of the tenants' table.
const TABLE: &str = "TENANTS_TABLE";

/// Makes the demo tenant unless it is there. Returns whether it was made; a template without tenants gets none.
pub(super) async fn create(client: &Client, functions: &[Function]) -> Result<bool> {
    let Some(table) = functions.iter().find_map(|function| function.environment.get(TABLE)) else { return Ok(false) };
    let tenants = TenantRepository::new(client.clone(), table.clone());
    let key = ApiKey::new(API_KEY).hash();
    let made = tenants
        .create(
            NewTenant { name: NAME, key: &key, limits: Limits::default(), defaults: ChatConfig::default() },
            Timestamp::now(),
        )
        .await;
    Ok(made.context("failed to make the demo tenant")?.is_some())
}
