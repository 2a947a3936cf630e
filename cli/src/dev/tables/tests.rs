use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::GlobalSecondaryIndexDescription;
use gateway::template::Template;

use super::*;

const TEMPLATE: &str = "
Resources:
  Chats:
    Type: AWS::DynamoDB::Table
    Properties:
      BillingMode: PAY_PER_REQUEST
      SSESpecification: { SSEEnabled: true }
      AttributeDefinitions:
        - { AttributeName: pk, AttributeType: S }
        - { AttributeName: sk, AttributeType: N }
        - { AttributeName: owner, AttributeType: S }
      KeySchema:
        - { AttributeName: pk, KeyType: HASH }
        - { AttributeName: sk, KeyType: RANGE }
      GlobalSecondaryIndexes:
        - IndexName: by_owner
          KeySchema: [{ AttributeName: owner, KeyType: HASH }]
          Projection: { ProjectionType: INCLUDE, NonKeyAttributes: [title] }
      TimeToLiveSpecification: { AttributeName: ttl, Enabled: true }
";

fn chats() -> Table {
    let template = Template::parse(TEMPLATE, &BTreeMap::new()).expect("a template");
    let resources = template.resources("AWS::DynamoDB::Table").expect("resolved");
    table(&resources[0]).expect("a table")
}

/// The description of an existing table, in another order than the request.
fn described(request: &CreateTableInput) -> TableDescription {
    let index = &request.global_secondary_indexes()[0];
    let index = GlobalSecondaryIndexDescription::builder()
        .index_name(index.index_name())
        .set_key_schema(Some(index.key_schema().to_vec()))
        .set_projection(index.projection().cloned());
    let mut attributes = request.attribute_definitions().to_vec();
    attributes.reverse();
    TableDescription::builder()
        .table_name("Chats")
        .set_attribute_definitions(Some(attributes))
        .set_key_schema(Some(request.key_schema().to_vec()))
        .global_secondary_indexes(index.build())
        .build()
}

#[test]
fn table_of_the_template_becomes_a_request() {
    let Table { request, time_to_live } = chats();
    assert_eq!(request.table_name(), Some("Chats"));
    assert_eq!(request.billing_mode(), Some(&BillingMode::PayPerRequest));
    let schema = requested_schema(&request);
    assert!(schema.attributes.contains(&("sk".to_owned(), "N".to_owned())));
    assert!(schema.keys.contains(&("sk".to_owned(), "RANGE".to_owned())));
    let IndexSchema { keys, projection, non_key_attributes } = &schema.indexes["by_owner"];
    assert!(keys.contains(&("owner".to_owned(), "HASH".to_owned())));
    assert_eq!((projection.as_str(), non_key_attributes.contains("title")), ("INCLUDE", true));
    assert_eq!(time_to_live.as_deref(), Some("ttl"));
}

#[test]
fn existing_table_has_the_requested_schema() {
    let request = chats().request;
    assert_eq!(existing_schema(&described(&request)), requested_schema(&request));
}

#[test]
fn table_without_the_index_has_another_schema() {
    let request = chats().request;
    let mut found = described(&request);
    found.global_secondary_indexes = None;
    assert_ne!(existing_schema(&found), requested_schema(&request));
}
