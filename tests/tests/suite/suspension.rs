//! What those who run the service do to a tenant or a key is felt: on the next request, and on open sockets.

use tests::Stack;

/// The command line may not reach the sockets; then the first message after a while does it.
#[tokio::test]
async fn a_socket_that_was_missed_is_closed_when_it_speaks() {
    let stack = Stack::shared();
    let tenant = stack.tenant("missed").await;
    let id = tenant.chat("u").await;
    let mut socket = tenant.connect(&id, "u").await;
    let suspended = shared::domain::tenant::TenantStatus::Suspended;
    assert!(stack.tenants().set_status(&tenant.id, suspended).await.expect("the table answers"));
    socket.send(&serde_json::json!({ "content": "Hello?" })).await;
    assert_eq!(socket.next_of("error").await["error"]["code"], "CONNECTION_CLOSING");
    socket.closed().await;
}
