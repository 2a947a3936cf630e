//! `$disconnect`.

use aws_sdk_dynamodb::types::AttributeValue;
use tests::{Stack, eventually};

#[tokio::test]
async fn a_closed_socket_leaves_nothing_behind() {
    let stack = Stack::shared();
    let tenant = stack.tenant("disconnect").await;
    let chat = tenant.chat("u").await;
    let mut socket = tenant.connect(&chat, "u").await;
    let id = socket.next().await["connection_id"].as_str().expect("an id").to_owned();
    let items = async |pk: String| {
        let query = stack.dynamodb().query().table_name("ConnectionsTable").key_condition_expression("pk = :pk");
        let query = query.expression_attribute_values(":pk", AttributeValue::S(pk));
        query.send().await.expect("the table answers").count()
    };
    let of_tenant = || tenant.id.to_string();
    // Under the tenant there are the socket and the item of its leases.
    assert_eq!((items(id.clone()).await, items(of_tenant()).await), (1, 2));
    let leases = async || stack.connections().leases(&tenant.id).await.expect("the table answers").len();
    assert_eq!(leases().await, 1);

    socket.close().await;
    let forgotten = async || (items(id.clone()).await, items(of_tenant()).await) == (0, 1);
    eventually("the socket is forgotten", forgotten).await;
    eventually("the lease is given back", async || leases().await == 0).await;
}
