//! Suspended tenants.

use serde_json::json;
use shared::domain::tenant::TenantStatus;
use tests::Stack;

/// The command line may not reach the socket; the recheck of the key closes it.
#[tokio::test]
async fn socket_of_a_suspended_tenant_is_closed_at_its_next_frame() {
    let stack = Stack::shared();
    let tenant = stack.tenant("not reached").await;
    let id = tenant.chat("u").await;
    let mut socket = tenant.connect(&id, "u").await;
    let suspended = TenantStatus::Suspended;
    assert!(stack.tenants().set_status(&tenant.id, suspended).await.expect("DynamoDB responds"));
    socket.send(&json!({ "content": "Hello?" })).await;
    assert_eq!(socket.next_of("error").await["error"]["code"], "CONNECTION_CLOSING");
    socket.closed().await;
}

mod black_box {
    use reqwest::StatusCode;
    use tests::Api;

    #[tokio::test]
    async fn suspended_tenant_is_refused_and_its_sockets_are_closed() {
        let api = Api::shared();
        let (tenant, other_tenant) = (api.tenant("to be suspended").await, api.tenant("another tenant").await);
        let (its_chat, other_chat) = (tenant.chat("u").await, other_tenant.chat("u").await);
        let mut socket = tenant.connect(&its_chat, "u").await;
        let mut other = other_tenant.connect(&other_chat, "u").await;

        let suspended = Api::shared().chat(&["tenant", "suspend", &tenant.id]).await;
        assert_eq!(suspended["sockets"]["closed"], 1, "{suspended}");
        let error = socket.next_of("error").await;
        assert_eq!(error["error"]["code"], "CONNECTION_CLOSING");
        socket.closed().await;
        let refused = tenant.get("/api/v1/chats/user/u").await;
        assert_eq!((refused.status, refused.code()), (StatusCode::FORBIDDEN, "TENANT_SUSPENDED"));
        let query = format!("api_key={}&user_id=u&chat_id={its_chat}", tenant.key);
        assert_eq!(tenant.connect_with(&query, &[]).await.err(), Some(Api::shared().refusal(StatusCode::FORBIDDEN)));

        assert_eq!(other.say("I am still here").await.last().expect("an end")["finish_reason"], "stop");
        Api::shared().chat(&["tenant", "resume", &tenant.id]).await;
        assert_eq!(tenant.get("/api/v1/chats/user/u").await.status, StatusCode::OK);
    }
}
