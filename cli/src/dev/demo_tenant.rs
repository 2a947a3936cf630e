//! The demo tenant, whose API key the documentation uses.
//!
//! Each start creates it unless it exists, in a stack whose functions use a tenants table. Changes of its limits stay.

use anyhow::{Context, Result};
use aws_sdk_dynamodb::Client;
use gateway::template::Function;
use shared::{
    domain::{api_key::ApiKey, chat::ChatConfig, limits::Limits, tenant::NewTenant, time::Timestamp},
    storage::TenantRepository,
};

use crate::local_stack::DEMO_API_KEY;

const NAME: &str = "Demo";
/// The environment variable with the name of the tenants table.
const TABLE_VARIABLE: &str = "TENANTS_TABLE";

/// Creates the demo tenant unless it exists. Returns whether it was created.
pub(super) async fn create(client: &Client, functions: &[Function]) -> Result<bool> {
    let Some(table) = functions.iter().find_map(|function| function.environment.get(TABLE_VARIABLE)) else {
        return Ok(false);
    };
    let tenants = TenantRepository::new(client.clone(), table.clone());
    let key = ApiKey::new(DEMO_API_KEY).hash();
    let tenant = NewTenant { name: NAME, key: &key, limits: Limits::default(), defaults: ChatConfig::default() };
    let created = tenants.create(tenant, Timestamp::now()).await;
    Ok(created.context("failed to create the demo tenant")?.is_some())
}
