//! A stack on AWS: its tables are found through CloudFormation, whose part a small server plays here.

use std::process::Output;

use aws_sdk_dynamodb::types::{AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType};
use serde_json::json;

use crate::harness::{chat, dynamodb, dynamodb_endpoint, message, result, serve};

const TENANTS: &str = "prod-TenantsTable-1ABC";
const CHATS: &str = "prod-ChatsTable-1ABC";
const CONNECTIONS: &str = "prod-ConnectionsTable-1ABC";

/// Runs a command on a stack.
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
        let answer = format!(
            "<DescribeStackResourceResponse><DescribeStackResourceResult><StackResourceDetail>\
             <PhysicalResourceId>{id}</PhysicalResourceId></StackResourceDetail></DescribeStackResourceResult>\
             </DescribeStackResourceResponse>"
        );
        (200, answer)
    })
}

/// Makes a table with this key.
async fn table(name: &str, attributes: &[&str]) {
    let mut create = dynamodb().create_table().table_name(name).billing_mode(BillingMode::PayPerRequest);
    for (attribute, kind) in attributes.iter().zip([KeyType::Hash, KeyType::Range]) {
        let key = KeySchemaElement::builder().attribute_name(*attribute).key_type(kind).build();
        let kind = ScalarAttributeType::S;
        let definition = AttributeDefinition::builder().attribute_name(*attribute).attribute_type(kind).build();
        create = create.key_schema(key.expect("complete")).attribute_definitions(definition.expect("complete"));
    }
    create.send().await.expect("the table is made");
}

#[tokio::test]
async fn the_tables_of_a_stack_have_names_of_their_own() {
    let cloudformation = cloudformation();
    let list = ["tenant", "list", "--stack", "prod"];
    let gone = message(result(&on_aws(&list, &cloudformation)));
    assert!(gone.starts_with("the tables of the stack prod are gone from eu-west-1"), "{gone}");

    table(TENANTS, &["pk"]).await;
    table(CONNECTIONS, &["pk", "sk"]).await;
    result(&on_aws(&["tenant", "create", "Far", "--stack", "prod"], &cloudformation)).expect("made");
    let listed = result(&on_aws(&list, &cloudformation)).expect("listed");
    assert_eq!((listed["tenants"].as_array().map(Vec::len), &listed["tenants"][0]["name"]), (Some(1), &"Far".into()));

    // There is no such table yet; the one of this machine is not meant.
    let export = ["user", "export", "Far", "u", "--stack", "prod"];
    let gone = message(result(&on_aws(&export, &cloudformation)));
    assert!(gone.starts_with("the tables of the stack prod are gone from eu-west-1"), "{gone}");

    // What was erased before that is told all the same.
    for (arguments, users) in
        [(&["user", "erase", "Far", "u"][..], json!(null)), (&["tenant", "erase", "Far"], json!(0))]
    {
        let arguments = [arguments, &["--yes", "--stack", "prod"]].concat();
        let failed = result(&on_aws(&arguments, &cloudformation)).expect_err("a table is gone");
        assert_eq!((&failed["erased"], &failed["chats"], &failed["users"]), (&json!(false), &json!(0), &users));
        let message = failed["error"]["message"].as_str().expect("a message");
        assert!(message.starts_with("the tables of the stack prod are gone from eu-west-1"), "{message}");
    }
}

#[test]
fn a_stack_that_is_not_there() {
    let refusal = message(result(&on_aws(&["tenant", "list", "--stack", "x"], &cloudformation())));
    assert!(refusal.contains("of the stack x in eu-west-1: Stack 'x' does not exist; check --stack"), "{refusal}");
}

#[test]
fn one_place_at_a_time() {
    let arguments = ["tenant", "--stack", "prod", "list", "--dynamodb-endpoint", "http://127.0.0.1:1"];
    let output = chat().args(arguments).output().expect("chat starts");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
}
