//! Creates the tables of the template in a local DynamoDB.
//!
//! Ignores properties that DynamoDB Local does not support, such as encryption and backups.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, anyhow, bail};
use aws_sdk_dynamodb::{
    Client,
    error::DisplayErrorContext,
    operation::create_table::CreateTableInput,
    types::{
        AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, LocalSecondaryIndex,
        Projection, ProjectionType, ProvisionedThroughput, ScalarAttributeType, TableDescription,
        TimeToLiveSpecification, TimeToLiveStatus,
    },
};
use gateway::template::Resource;
use serde::Deserialize;

/// `Properties` of an `AWS::DynamoDB::Table`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Properties {
    attribute_definitions: Vec<Attribute>,
    key_schema: Vec<Key>,
    #[serde(default)]
    billing_mode: Option<String>,
    #[serde(default)]
    provisioned_throughput: Option<Throughput>,
    #[serde(default)]
    global_secondary_indexes: Vec<Index>,
    #[serde(default)]
    local_secondary_indexes: Vec<Index>,
    #[serde(default)]
    time_to_live_specification: Option<TimeToLive>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Attribute {
    attribute_name: String,
    attribute_type: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Key {
    attribute_name: String,
    key_type: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Index {
    index_name: String,
    key_schema: Vec<Key>,
    projection: ProjectionProperties,
    #[serde(default)]
    provisioned_throughput: Option<Throughput>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ProjectionProperties {
    #[serde(default)]
    projection_type: Option<String>,
    #[serde(default)]
    non_key_attributes: Vec<String>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Throughput {
    read_capacity_units: i64,
    write_capacity_units: i64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TimeToLive {
    #[serde(default)]
    attribute_name: Option<String>,
    enabled: bool,
}

/// The part of a table that cannot be changed later, for comparison.
#[derive(Debug, PartialEq, Eq)]
struct TableSchema {
    attributes: BTreeSet<(String, String)>,
    keys: BTreeSet<(String, String)>,
    indexes: BTreeMap<String, IndexSchema>,
}

/// The part of an index that cannot be changed later.
#[derive(Debug, PartialEq, Eq)]
struct IndexSchema {
    keys: BTreeSet<(String, String)>,
    projection: String,
    non_key_attributes: BTreeSet<String>,
}

/// A table of the template.
#[derive(Debug)]
struct Table {
    request: CreateTableInput,
    time_to_live: Option<String>,
}

/// Creates the tables that do not exist. Returns how many were created.
///
/// # Errors
///
/// When a table exists with other keys or indexes. `remedy` is what the user can do then.
pub(super) async fn create(client: &Client, resources: &[Resource], remedy: &str) -> Result<usize> {
    let mut created = 0;
    for resource in resources {
        let name = &resource.logical_id;
        let table = table(resource).with_context(|| format!("failed to read the table {name} of the template"))?;
        match client.describe_table().table_name(name).send().await {
            Ok(found) => {
                let found = found.table.with_context(|| format!("DynamoDB did not describe the table {name}"))?;
                if existing_schema(&found) != requested_schema(&table.request) {
                    bail!("the table {name} exists with other keys or indexes than in the template: {remedy}");
                }
            }
            Err(error) if error.as_service_error().is_some_and(|error| error.is_resource_not_found_exception()) => {
                send(client, &table.request).await.with_context(|| format!("failed to create the table {name}"))?;
                created += 1;
            }
            Err(error) => bail!("failed to read the table {name}: {}", DisplayErrorContext(error)),
        }
        if let Some(attribute) = &table.time_to_live {
            enable_ttl(client, name, attribute).await.with_context(|| format!("failed to enable the TTL of {name}"))?;
        }
    }
    Ok(created)
}

async fn send(client: &Client, request: &CreateTableInput) -> Result<()> {
    client
        .create_table()
        .set_table_name(request.table_name.clone())
        .set_attribute_definitions(request.attribute_definitions.clone())
        .set_key_schema(request.key_schema.clone())
        .set_billing_mode(request.billing_mode.clone())
        .set_provisioned_throughput(request.provisioned_throughput.clone())
        .set_global_secondary_indexes(request.global_secondary_indexes.clone())
        .set_local_secondary_indexes(request.local_secondary_indexes.clone())
        .send()
        .await
        .map_err(|error| anyhow!("{}", DisplayErrorContext(error)))?;
    Ok(())
}

/// Enables the TTL of a table unless it is enabled, because enabling it twice is an error.
async fn enable_ttl(client: &Client, table: &str, attribute: &str) -> Result<()> {
    let found = client
        .describe_time_to_live()
        .table_name(table)
        .send()
        .await
        .map_err(|error| anyhow!("{}", DisplayErrorContext(error)))?;
    let enabled = found.time_to_live_description.is_some_and(|found| {
        found.attribute_name.as_deref() == Some(attribute)
            && matches!(found.time_to_live_status, Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling))
    });
    if !enabled {
        let specification = TimeToLiveSpecification::builder().attribute_name(attribute).enabled(true).build()?;
        client
            .update_time_to_live()
            .table_name(table)
            .time_to_live_specification(specification)
            .send()
            .await
            .map_err(|error| anyhow!("{}", DisplayErrorContext(error)))?;
    }
    Ok(())
}

/// Reads a table of the template. Its name is its logical id, to which the gateway resolves `!Ref`.
fn table(resource: &Resource) -> Result<Table> {
    let properties = Properties::deserialize(&resource.properties)?;
    let mut request = CreateTableInput::builder().table_name(&resource.logical_id);
    for attribute in &properties.attribute_definitions {
        let definition = AttributeDefinition::builder()
            .attribute_name(&attribute.attribute_name)
            .attribute_type(ScalarAttributeType::from(attribute.attribute_type.as_str()))
            .build()?;
        request = request.attribute_definitions(definition);
    }
    request = request.set_key_schema(Some(keys(&properties.key_schema)?));
    // CloudFormation's default.
    request = request.billing_mode(BillingMode::from(properties.billing_mode.as_deref().unwrap_or("PROVISIONED")));
    request = request.set_provisioned_throughput(throughput(properties.provisioned_throughput)?);
    for index in &properties.global_secondary_indexes {
        let index = GlobalSecondaryIndex::builder()
            .index_name(&index.index_name)
            .set_key_schema(Some(keys(&index.key_schema)?))
            .projection(projection(&index.projection))
            .set_provisioned_throughput(throughput(index.provisioned_throughput)?)
            .build()?;
        request = request.global_secondary_indexes(index);
    }
    for index in &properties.local_secondary_indexes {
        let index = LocalSecondaryIndex::builder()
            .index_name(&index.index_name)
            .set_key_schema(Some(keys(&index.key_schema)?))
            .projection(projection(&index.projection))
            .build()?;
        request = request.local_secondary_indexes(index);
    }
    let time_to_live = properties.time_to_live_specification.filter(|ttl| ttl.enabled);
    Ok(Table { request: request.build()?, time_to_live: time_to_live.and_then(|ttl| ttl.attribute_name) })
}

fn keys(keys: &[Key]) -> Result<Vec<KeySchemaElement>> {
    keys.iter()
        .map(|key| {
            let kind = KeyType::from(key.key_type.as_str());
            Ok(KeySchemaElement::builder().attribute_name(&key.attribute_name).key_type(kind).build()?)
        })
        .collect()
}

fn throughput(throughput: Option<Throughput>) -> Result<Option<ProvisionedThroughput>> {
    let Some(throughput) = throughput else { return Ok(None) };
    let built = ProvisionedThroughput::builder()
        .read_capacity_units(throughput.read_capacity_units)
        .write_capacity_units(throughput.write_capacity_units)
        .build()?;
    Ok(Some(built))
}

fn projection(projected: &ProjectionProperties) -> Projection {
    let attributes = (!projected.non_key_attributes.is_empty()).then(|| projected.non_key_attributes.clone());
    let kind = projected.projection_type.as_deref().unwrap_or("ALL");
    Projection::builder().projection_type(ProjectionType::from(kind)).set_non_key_attributes(attributes).build()
}

fn requested_schema(request: &CreateTableInput) -> TableSchema {
    let global = request.global_secondary_indexes().iter();
    let global = global.map(|index| (index.index_name(), index.key_schema(), index.projection()));
    let local = request.local_secondary_indexes().iter();
    let local = local.map(|index| (index.index_name(), index.key_schema(), index.projection()));
    schema(request.attribute_definitions(), request.key_schema(), global.chain(local))
}

fn existing_schema(found: &TableDescription) -> TableSchema {
    let global = found.global_secondary_indexes().iter();
    let global = global.map(|index| (index.index_name().unwrap_or_default(), index.key_schema(), index.projection()));
    let local = found.local_secondary_indexes().iter();
    let local = local.map(|index| (index.index_name().unwrap_or_default(), index.key_schema(), index.projection()));
    schema(found.attribute_definitions(), found.key_schema(), global.chain(local))
}

fn schema<'a>(
    attributes: &[AttributeDefinition],
    keys: &[KeySchemaElement],
    indexes: impl Iterator<Item = (&'a str, &'a [KeySchemaElement], Option<&'a Projection>)>,
) -> TableSchema {
    let pairs = |keys: &[KeySchemaElement]| -> BTreeSet<(String, String)> {
        keys.iter().map(|key| (key.attribute_name.clone(), key.key_type.to_string())).collect()
    };
    let attributes = attributes.iter().map(|a| (a.attribute_name.clone(), a.attribute_type.to_string())).collect();
    let indexes = indexes
        .map(|(name, keys, projection)| {
            let non_key_attributes =
                projection.map(|p| p.non_key_attributes().iter().cloned().collect()).unwrap_or_default();
            let projection = projection.and_then(|p| p.projection_type()).map(ToString::to_string).unwrap_or_default();
            (name.to_owned(), IndexSchema { keys: pairs(keys), projection, non_key_attributes })
        })
        .collect();
    TableSchema { attributes, keys: pairs(keys), indexes }
}

#[cfg(test)]
mod tests;
