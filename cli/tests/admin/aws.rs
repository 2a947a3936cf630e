//! A stack on AWS, whose tables are found through CloudFormation. A small server stands in for CloudFormation.

use std::process::Output;

use aws_sdk_dynamodb::types::{AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType};
use serde_json::json;

use crate::harness::{chat, dynamodb, dynamodb_endpoint, message, result, serve};

const TENANTS: &str = "prod-TenantsTable-1ABC";
const CHATS: &str = "prod-ChatsTable-1ABC";
const CONNECTIONS: &str = "prod-ConnectionsTable-1ABC";

/// Runs a command on a stack on AWS.
fn on_aws(arguments: &[&str], cloudformation: &str) -> Output {
    let mut command = chat();
    command.args(arguments).args(["--json", "--region", "eu-west-1"]);
    command.envs([
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_CONFIG_FILE", "/dev/null"),
        ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("AWS_ENDPOINT_URL_CLOUDFORMATION", cloudformation),
        ("AWS_ENDPOINT_URL_DYNAMODB", dynamodb_endpoint()),
    ]);
    command.output().expect("chat starts")
}

fn cloudformation() -> String {
    serve(|_, body| {
        let is = |name: &str, value: &str| body.split('&').any(|pair| pair == format!("{name}={value}"));
        assert!(is("Action", "DescribeStackResource"), "{body}");
        if !is("StackName", "prod") {
            let error = "<ErrorResponse><Error><Type>Sender</Type><Code>ValidationError</Code>\
                         <Message>Stack 'x' does not exist</Message></Error></ErrorResponse>";
            return (400, error.to_owned());
        }
        let id = if is("LogicalResourceId", "TenantsTable") {
            TENANTS
        } else if is("LogicalResourceId", "ChatsTable") {
            CHATS
        } else if is("LogicalResourceId", "ConnectionsTable") {
            CONNECTIONS
        } else {
            assert!(is("LogicalResourceId", "WebSocketApi"), "{body}");
            "a1b2c3"
        };
        let response = format!(
            "<DescribeStackResourceResponse><DescribeStackResourceResult><StackResourceDetail>\
             <PhysicalResourceId>{id}</PhysicalResourceId></StackResourceDetail></DescribeStackResourceResult>\
             </DescribeStackResourceResponse>"
        );
        (200, response)
    })
}

/// Creates a table with this key.
async fn table(name: &str, attributes: &[&str]) {
    let mut create = dynamodb().create_table().table_name(name).billing_mode(BillingMode::PayPerRequest);
    for (attribute, kind) in attributes.iter().zip([KeyType::Hash, KeyType::Range]) {
        let key = KeySchemaElement::builder().attribute_name(*attribute).key_type(kind).build();
        let kind = ScalarAttributeType::S;
        let definition = AttributeDefinition::builder().attribute_name(*attribute).attribute_type(kind).build();
        create = create.key_schema(key.expect("complete")).attribute_definitions(definition.expect("complete"));
    }
    create.send().await.expect("the table is created");
}

#[tokio::test]
async fn tables_of_a_stack_are_found_by_their_logical_ids() {
    let cloudformation = cloudformation();
    let list = ["tenant", "list", "--stack", "prod"];
    let missing = message(result(&on_aws(&list, &cloudformation)));
    assert!(missing.starts_with("the tables of the stack prod do not exist in eu-west-1"), "{missing}");

    table(TENANTS, &["pk"]).await;
    table(CHATS, &["pk", "sk"]).await;
    table(CONNECTIONS, &["pk", "sk"]).await;
    result(&on_aws(&["tenant", "create", "Far", "--stack", "prod"], &cloudformation)).expect("created");
    let listed = result(&on_aws(&list, &cloudformation)).expect("listed");
    assert_eq!((listed["tenants"].as_array().map(Vec::len), &listed["tenants"][0]["name"]), (Some(1), &"Far".into()));

    // The stack has no such table any more; the local table with that logical id is not used.
    dynamodb().delete_table().table_name(CHATS).send().await.expect("the table is deleted");
    let export = ["user", "export", "Far", "u", "--stack", "prod"];
    let missing = message(result(&on_aws(&export, &cloudformation)));
    assert!(missing.starts_with("the tables of the stack prod do not exist in eu-west-1"), "{missing}");

    // The failure reports what was erased before it.
    for (arguments, users) in
        [(&["user", "erase", "Far", "u"][..], json!(null)), (&["tenant", "erase", "Far"], json!(0))]
    {
        let arguments = [arguments, &["--yes", "--stack", "prod"]].concat();
        let failed = result(&on_aws(&arguments, &cloudformation)).expect_err("a table is missing");
        assert_eq!((&failed["erased"], &failed["chats"], &failed["users"]), (&json!(false), &json!(0), &users));
        let message = failed["error"]["message"].as_str().expect("a message");
        assert!(message.starts_with("the tables of the stack prod do not exist in eu-west-1"), "{message}");
    }
}

#[test]
fn unknown_stack_is_reported() {
    let failure = message(result(&on_aws(&["tenant", "list", "--stack", "x"], &cloudformation())));
    assert!(failure.contains("of the stack x in eu-west-1: Stack 'x' does not exist; check --stack"), "{failure}");
}

#[test]
fn stack_and_dynamodb_endpoint_are_exclusive() {
    let arguments = ["tenant", "--stack", "prod", "list", "--dynamodb-endpoint", "http://127.0.0.1:1"];
    let output = chat().args(arguments).output().expect("chat starts");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
}
