//! The error codes of WebSocket events, compared with their snapshots.

use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use shared::{
    agents::{AgentError, Delta, Failure},
    domain::{error::Code, id::MessageId, tenant::TenantStatus},
};
use tests::{SocketBehavior, Stack};

use crate::{error_snapshots::assert_event, generation::engine::ChatFixture};

#[tokio::test]
async fn errors_of_frames_match_their_snapshots() {
    let stack = Stack::shared();
    let tenant = stack.tenant("frame errors").await;
    let chat = tenant.chat_with(&json!({ "user_id": "u", "config": { "model": "echo@2" } })).await;
    let mut socket = tenant.connect(&chat, "u").await;
    for (code, frame) in [
        (Code::UnknownType, json!({ "type": "unknown" })),
        (Code::MessageTooLarge, json!({ "content": "x".repeat(28 * 1024) })),
        (Code::MessageNotFound, json!({ "type": "cancel", "message_id": MessageId::at(1) })),
    ] {
        socket.send(&frame).await;
        assert_event(code, &socket.next_of("error").await);
    }
    for _ in 0..4 {
        socket.send(&json!({ "content": "word ".repeat(1200) })).await;
        socket.next_of("message_stream_started").await;
    }
    socket.send(&json!({ "content": "fifth" })).await;
    assert_event(Code::GenerationInProgress, &socket.next_of("error").await);
    tenant.delete(&format!("/api/v1/chats/{chat}")).await;
}

#[tokio::test]
async fn socket_of_a_suspended_tenant_matches_the_snapshot_of_connection_closing() {
    let stack = Stack::shared();
    let tenant = stack.tenant("connection closing").await;
    let chat = tenant.chat("u").await;
    let mut socket = tenant.connect(&chat, "u").await;
    let set = stack.tenants().set_status(&tenant.id, TenantStatus::Suspended).await;
    assert!(set.expect("DynamoDB responds"));
    socket.send(&json!({ "content": "Hello" })).await;
    assert_event(Code::ConnectionClosing, &socket.next_of("error").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_of_agents_match_their_snapshots() {
    for (code, failure) in [(Code::AgentError, Failure::BrokenOff), (Code::AgentTimeout, Failure::TimedOut)] {
        let chat = ChatFixture::with("agent errors", &[SocketBehavior::accepts_in(0)]).await;
        let delta = Delta { content: "Half an answer".to_owned(), ..Delta::default() };
        chat.generate(stream::iter([Ok(delta), Err(AgentError::new(failure, "the cause"))]).boxed()).await;
        let events: Vec<Value> = chat.posts(0).into_iter().map(|post| post.event).collect();
        let error = events.iter().find(|event| event["type"] == "error");
        assert_event(code, error.unwrap_or_else(|| panic!("no error: {events:#?}")));
    }
}
