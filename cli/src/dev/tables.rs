//! The tables of the template, made in DynamoDB Local.
//!
//! Only what DynamoDB Local knows is taken over: encryption and backups mean nothing to it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::DisplayErrorContext;
use aws_sdk_dynamodb::operation::create_table::CreateTableInput;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, LocalSecondaryIndex, Projection,
    ProjectionType, ProvisionedThroughput, ScalarAttributeType, TableDescription, TimeToLiveSpecification,
    TimeToLiveStatus,
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
    projection: Projected,
    #[serde(default)]
    provisioned_throughput: Option<Throughput>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Projected {
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

/// What of a table cannot be changed by writing to it.
#[derive(Debug, PartialEq, Eq)]
struct Shape {
    attributes: BTreeSet<(String, String)>,
    keys: BTreeSet<(String, String)>,
    indexes: BTreeMap<String, IndexShape>,
}

/// What of an index cannot be changed.
#[derive(Debug, PartialEq, Eq)]
struct IndexShape {
    keys: BTreeSet<(String, String)>,
    projection: String,
    others: BTreeSet<String>,
}

/// A table as the template describes it.
#[derive(Debug)]
struct Table {
    request: CreateTableInput,
    time_to_live: Option<String>,
}

/// Makes the tables that are not there yet. Returns how many were made.
///
/// # Errors
///
/// When a table is there with other keys or indexes. `remedy` says what to do then.
pub(super) async fn create(client: &Client, resources: &[Resource], remedy: &str) -> Result<usize> {
    let mut created = 0;
    for resource in resources {
        let name = &resource.logical_id;
        let table =
            table(resource).with_context(|| format!("failed to understand the table {name} of the template"))?;
        match client.describe_table().table_name(name).send().await {
            Ok(found) => {
                let found = found.table.with_context(|| format!("DynamoDB describes no table {name}"))?;
                if shape_of_description(&found) != shape_of_request(&table.request) {
                    bail!("the table {name} is there with other keys or indexes than the template's; {remedy}");
                }
            }
            Err(error) if error.as_service_error().is_some_and(|error| error.is_resource_not_found_exception()) => {
                send(client, &table.request).await.with_context(|| format!("failed to create the table {name}"))?;
                created += 1;
            }
            Err(error) => bail!("failed to look for the table {name}: {}", DisplayErrorContext(error)),
        }
        if let Some(attribute) = &table.time_to_live {
            expire(client, name, attribute).await.with_context(|| format!("failed to set the expiry of {name}"))?;
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
        .map_err(|error| anyhow::anyhow!("{}", DisplayErrorContext(error)))?;
    Ok(())
}

/// Lets items expire by an attribute, unless they do so already: asking twice is an error.
async fn expire(client: &Client, table: &str, attribute: &str) -> Result<()> {
    let found = client
        .describe_time_to_live()
        .table_name(table)
        .send()
        .await
        .map_err(|error| anyhow::anyhow!("{}", DisplayErrorContext(error)))?;
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
            .map_err(|error| anyhow::anyhow!("{}", DisplayErrorContext(error)))?;
    }
    Ok(())
}

/// The request that makes a table of the template. Its name is its logical id, which is what `!Ref` gives the functions.
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
    // CloudFormation's default differs from what is cheap to run, and must be the same here.
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

fn projection(projected: &Projected) -> Projection {
    let attributes = (!projected.non_key_attributes.is_empty()).then(|| projected.non_key_attributes.clone());
    let kind = projected.projection_type.as_deref().unwrap_or("ALL");
    Projection::builder().projection_type(ProjectionType::from(kind)).set_non_key_attributes(attributes).build()
}

fn shape_of_request(request: &CreateTableInput) -> Shape {
    let global = request.global_secondary_indexes().iter();
    let global = global.map(|index| (index.index_name(), index.key_schema(), index.projection()));
    let local = request.local_secondary_indexes().iter();
    let local = local.map(|index| (index.index_name(), index.key_schema(), index.projection()));
    shape(request.attribute_definitions(), request.key_schema(), global.chain(local))
}

fn shape_of_description(found: &TableDescription) -> Shape {
    let global = found.global_secondary_indexes().iter();
    let global = global.map(|index| (index.index_name().unwrap_or_default(), index.key_schema(), index.projection()));
    let local = found.local_secondary_indexes().iter();
    let local = local.map(|index| (index.index_name().unwrap_or_default(), index.key_schema(), index.projection()));
    shape(found.attribute_definitions(), found.key_schema(), global.chain(local))
}

fn shape<'a>(
    attributes: &[AttributeDefinition],
    keys: &[KeySchemaElement],
    indexes: impl Iterator<Item = (&'a str, &'a [KeySchemaElement], Option<&'a Projection>)>,
) -> Shape {
    let pairs = |keys: &[KeySchemaElement]| -> BTreeSet<(String, String)> {
        keys.iter().map(|key| (key.attribute_name.clone(), key.key_type.to_string())).collect()
    };
    let attributes = attributes.iter().map(|a| (a.attribute_name.clone(), a.attribute_type.to_string())).collect();
    let indexes = indexes
        .map(|(name, keys, projection)| {
            let others = projection.map(|p| p.non_key_attributes().iter().cloned().collect()).unwrap_or_default();
            let projection = projection.and_then(|p| p.projection_type()).map(ToString::to_string).unwrap_or_default();
            (name.to_owned(), IndexShape { keys: pairs(keys), projection, others })
        })
        .collect();
    Shape { attributes, keys: pairs(keys), indexes }
}

#[cfg(test)]
#[path = "tables_tests.rs"]
mod tests;
