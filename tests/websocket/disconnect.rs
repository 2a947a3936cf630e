//! `$disconnect`.

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::json;
use tests::{Stack, eventually};

#[tokio::test]
async fn closed_socket_leaves_no_items_and_frees_its_slot() {
    let stack = Stack::shared();
    let tenant = stack.tenant("disconnect").await;
    let chat = tenant.chat("u").await;
    let mut socket = tenant.connect(&chat, "u").await;
    let id = socket.next().await["connection_id"].as_str().expect("an id").to_owned();
    let items = async |pk: String| {
        let query = stack.dynamodb().query().table_name("ConnectionsTable").key_condition_expression("pk = :pk");
        let query = query.expression_attribute_values(":pk", AttributeValue::S(pk));
        query.send().await.expect("DynamoDB responds").count()
    };
    let of_tenant = || tenant.id.to_string();
    // The tenant has the connection and the item of its slots.
    assert_eq!((items(id.clone()).await, items(of_tenant()).await), (1, 2));
    let leases = async || stack.connections().slots().list(&tenant.id).await.expect("DynamoDB responds").len();
    assert_eq!(leases().await, 1);

    socket.close().await;
    let is_removed = async || (items(id.clone()).await, items(of_tenant()).await) == (0, 1);
    eventually("the connection is removed", is_removed).await;
    eventually("the slot is free", async || leases().await == 0).await;
}

#[tokio::test]
async fn frame_that_names_a_route_of_the_life_cycle_changes_nothing() {
    let stack = Stack::shared();
    let tenant = stack.tenant("named route").await;
    let chat = tenant.chat("u").await;
    let mut socket = tenant.connect(&chat, "u").await;
    let id = socket.next().await["connection_id"].clone();
    for (function, route) in [("ws-disconnect", "$disconnect"), ("ws-connect", "$connect")] {
        let context = json!({ "connectedAt": 0, "requestTimeEpoch": 0, "connectionId": id, "eventType": "MESSAGE", "routeKey": route, "requestId": "r" });
        let event = json!({ "body": json!({ "action": route }).to_string(), "requestContext": context });
        assert_eq!(stack.invoke(function, &event).await, json!({ "statusCode": 200 }));
    }
    socket.send(&json!({ "type": "ping" })).await;
    socket.next_of("pong").await;
    let slots = stack.connections().slots().list(&tenant.id).await.expect("DynamoDB responds");
    assert_eq!(slots.len(), 1);
}
