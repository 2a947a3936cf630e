use std::time::Duration;

use aws_lambda_events::apigw::ApiGatewayWebsocketProxyRequest;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{
    Error, Message,
    client::IntoClientRequest as _,
    protocol::{
        CloseFrame,
        frame::{
            Frame,
            coding::{CloseCode, Data, OpCode},
        },
    },
};

use crate::harness::{Client, Invocation, Stack, close_code, http, send, text};

fn parse(invocation: &Invocation) -> ApiGatewayWebsocketProxyRequest {
    serde_json::from_value(invocation.event.clone()).unwrap()
}

async fn disconnect_code(stack: &mut Stack) -> Value {
    let disconnect = stack.lambda.expect("disconnect").await;
    let code = disconnect.context("disconnectStatusCode").clone();
    disconnect.succeed();
    code
}

#[tokio::test]
async fn handshake_waits_for_connect() {
    let mut stack = Stack::start().await;
    let handshake = stack.handshake("?user=a%20b&tag=1&tag=2");
    let connect = stack.lambda.expect("connect").await;
    let event = parse(&connect);
    assert_eq!(event.request_context.route_key.as_deref(), Some("$connect"));
    assert_eq!(event.request_context.event_type.as_deref(), Some("CONNECT"));
    assert_eq!(event.request_context.stage.as_deref(), Some("live"));
    assert_eq!(event.query_string_parameters.first("user"), Some("a b"));
    assert_eq!(event.multi_value_query_string_parameters.all("tag").unwrap(), ["1", "2"]);
    assert!(event.headers.contains_key("sec-websocket-key"));
    assert_eq!(event.headers["x-forwarded-for"], "127.0.0.1");
    assert!(!handshake.is_finished());
    connect.succeed();
    handshake.await.unwrap().unwrap();
}

#[tokio::test]
async fn rejection_has_status_of_function_and_body_of_gateway() {
    let mut stack = Stack::start().await;
    let handshake = stack.handshake("");
    let connect = stack.lambda.expect("connect").await;
    let id = connect.context("connectionId").clone();
    connect.respond(&json!({ "statusCode": 403, "body": "function" }));
    let Err(Error::Http(response)) = handshake.await.unwrap() else { panic!("handshake accepted") };
    assert_eq!(response.status(), 403);
    let body: Value = serde_json::from_slice(response.body().as_ref().unwrap()).unwrap();
    assert_eq!(body["message"], "Forbidden");
    assert_eq!(body["connectionId"], id);
    assert!(body["requestId"].is_string());
    // A rejected handshake has no $disconnect: the next invocation is the next $connect.
    let _next = stack.handshake("");
    stack.lambda.expect("connect").await.succeed();
}

#[tokio::test]
async fn failed_connect_is_502() {
    let mut stack = Stack::start().await;
    for is_error in [true, false] {
        let handshake = stack.handshake("");
        let connect = stack.lambda.expect("connect").await;
        if is_error {
            connect.fail()
        } else {
            connect.respond(&json!({ "no": "status" }))
        }
        let Err(Error::Http(response)) = handshake.await.unwrap() else { panic!("handshake accepted") };
        assert_eq!(response.status(), 502);
    }
}

#[tokio::test]
async fn function_chooses_the_subprotocol() {
    let mut stack = Stack::start().await;
    let mut request = format!("ws://{}/ws/things", stack.address).into_client_request().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", "one, two".parse().unwrap());
    let handshake = tokio::spawn(tokio_tungstenite::connect_async(request));
    let payload = json!({ "statusCode": 200, "headers": { "Sec-WebSocket-Protocol": "two" } });
    stack.lambda.expect("connect").await.respond(&payload);
    let (_client, response) = handshake.await.unwrap().unwrap();
    assert_eq!(response.headers()["sec-websocket-protocol"], "two");
}

#[tokio::test]
async fn invalid_handshake_is_rejected_without_invocation() {
    let mut stack = Stack::start().await;
    assert_eq!(stack.get("/ws/things").await.unwrap().status(), 426);
    let invalid = http().get(stack.url("/ws/things")).header("connection", "upgrade").header("upgrade", "websocket");
    assert_eq!(stack.send(invalid).await.unwrap().status(), 400);
    stack.lambda.assert_no_invocation();
}

#[tokio::test]
async fn messages_are_routed_and_function_responses_are_dropped() {
    let mut stack = Stack::start().await;
    let (mut client, id) = stack.connect().await;
    for (message, route) in
        [(r#"{"action":"named"}"#, "named"), (r#"{"content":"x"}"#, "$default"), ("text", "$default")]
    {
        send(&mut client, message).await;
        let invocation = stack.lambda.expect("message").await;
        let event = parse(&invocation);
        assert_eq!(event.request_context.route_key.as_deref(), Some(route));
        assert_eq!(event.request_context.connection_id.as_deref(), Some(id.as_str()));
        assert!(event.request_context.message_id.is_some());
        assert_eq!(event.body.as_deref(), Some(message));
        invocation.respond(&json!({ "statusCode": 200, "body": "dropped" }));
    }
    stack.management().post_to_connection().connection_id(&id).data(b"posted".as_slice().into()).send().await.unwrap();
    assert_eq!(text(&mut client).await, "posted");
}

async fn assert_error(client: &mut Client, id: &str) {
    let error: Value = serde_json::from_str(&text(client).await).unwrap();
    assert_eq!(error["message"], "Internal server error");
    assert_eq!(error["connectionId"], id);
    assert!(error["requestId"].is_string());
}

#[tokio::test]
async fn function_error_is_sent_to_the_client() {
    let mut stack = Stack::start().await;
    let (mut client, id) = stack.connect().await;
    send(&mut client, "x").await;
    stack.lambda.next().await.fail();
    assert_error(&mut client, &id).await;
    send(&mut client, "x").await;
    stack.lambda.next().await.respond(&Value::Null);
    assert_error(&mut client, &id).await;
}

#[tokio::test]
async fn integration_timeout_is_sent_to_the_client() {
    let mut stack = Stack::start().await;
    let (mut client, id) = stack.connect().await;
    send(&mut client, r#"{"action":"short-timeout"}"#).await;
    let _pending = stack.lambda.next().await;
    assert_error(&mut client, &id).await;
}

#[tokio::test]
async fn messages_of_a_connection_run_concurrently() {
    let mut stack = Stack::start().await;
    let (mut client, _) = stack.connect().await;
    send(&mut client, "one").await;
    send(&mut client, "two").await;
    let (one, two) = (stack.lambda.next().await, stack.lambda.next().await);
    one.succeed();
    two.succeed();
}

#[tokio::test]
async fn connection_is_not_read_at_its_message_limit() {
    let mut stack = Stack::with_options(|options| options.messages_in_flight = 1).await;
    let (mut client, _) = stack.connect().await;
    let (mut other, _) = stack.connect().await;
    send(&mut client, "one").await;
    let one = stack.lambda.expect("message").await;
    send(&mut client, "two").await;
    // The limit is per connection.
    send(&mut other, "other").await;
    let next = stack.lambda.expect("message").await;
    assert_eq!(next.event["body"], "other");
    next.succeed();
    stack.lambda.assert_no_invocation();
    one.succeed();
    let two = stack.lambda.expect("message").await;
    assert_eq!(two.event["body"], "two");
    two.succeed();
}

#[tokio::test]
async fn frame_above_32_kib_closes_with_1009() {
    let mut stack = Stack::start().await;
    let (mut client, _) = stack.connect().await;
    send(&mut client, &"x".repeat(32 * 1024)).await;
    stack.lambda.expect("message").await.succeed();
    send(&mut client, &"x".repeat(32 * 1024 + 1)).await;
    assert_eq!(close_code(&mut client).await, 1009);
    assert_eq!(disconnect_code(&mut stack).await, 1009);
}

/// Sends a message in frames of 32 KiB and a last one.
async fn send_frames(client: &mut Client, frames: usize, last: usize) {
    let part = vec![b'x'; 32 * 1024];
    for index in 0..frames {
        let opcode = if index == 0 { Data::Text } else { Data::Continue };
        let frame = Frame::message(part.clone(), OpCode::Data(opcode), false);
        client.send(Message::Frame(frame)).await.unwrap();
    }
    let frame = Frame::message(vec![b'x'; last], OpCode::Data(Data::Continue), true);
    client.send(Message::Frame(frame)).await.unwrap();
}

#[tokio::test]
async fn message_above_128_kib_closes_with_1009() {
    let mut stack = Stack::start().await;
    let (mut client, _) = stack.connect().await;
    send_frames(&mut client, 4, 0).await;
    let whole = stack.lambda.expect("message").await;
    assert_eq!(whole.event["body"].as_str().unwrap().len(), 128 * 1024);
    whole.succeed();
    send_frames(&mut client, 4, 1).await;
    assert_eq!(close_code(&mut client).await, 1009);
}

#[tokio::test]
async fn binary_frame_closes_with_1003() {
    let mut stack = Stack::start().await;
    let (mut client, _) = stack.connect().await;
    client.send(Message::binary(vec![1])).await.unwrap();
    assert_eq!(close_code(&mut client).await, 1003);
    assert_eq!(disconnect_code(&mut stack).await, 1003);
}

#[tokio::test]
async fn unread_rest_of_oversized_frame_does_not_reset_the_connection() {
    let mut stack = Stack::start().await;
    let (mut client, _) = stack.connect().await;
    send(&mut client, &"x".repeat(16 << 20)).await;
    assert_eq!(close_code(&mut client).await, 1009);
}

#[tokio::test]
async fn ping_frame_gets_a_pong() {
    let mut stack = Stack::start().await;
    let (mut client, _) = stack.connect().await;
    client.send(Message::Ping("x".into())).await.unwrap();
    assert_eq!(client.next().await.unwrap().unwrap(), Message::Pong("x".into()));
}

#[tokio::test]
async fn idle_timeout_closes_with_1001() {
    let mut stack = Stack::with_options(|options| options.idle_timeout = Duration::from_millis(100)).await;
    let (mut client, _) = stack.connect().await;
    assert_eq!(close_code(&mut client).await, 1001);
    assert_eq!(disconnect_code(&mut stack).await, 1001);
}

#[tokio::test]
async fn connection_duration_closes_with_1001() {
    let mut stack = Stack::with_options(|options| options.lifetime = Duration::from_millis(200)).await;
    let (mut client, _) = stack.connect().await;
    assert_eq!(close_code(&mut client).await, 1001);
    assert_eq!(disconnect_code(&mut stack).await, 1001);
}

#[tokio::test]
async fn client_close_disconnects_once_with_code_and_reason() {
    let mut stack = Stack::start().await;
    let (mut client, id) = stack.connect().await;
    let frame = CloseFrame { code: CloseCode::Library(4000), reason: "enough".into() };
    client.close(Some(frame)).await.unwrap();
    let disconnect = stack.lambda.expect("disconnect").await;
    let event = parse(&disconnect);
    assert_eq!(event.request_context.connection_id.as_deref(), Some(id.as_str()));
    assert_eq!(event.request_context.disconnect_status_code, Some(4000));
    assert_eq!(event.request_context.disconnect_reason.as_deref(), Some("enough"));
    // The connection is gone before the function is invoked.
    let gone = stack.management().get_connection().connection_id(&id).send().await.unwrap_err();
    assert!(gone.into_service_error().is_gone_exception());
    disconnect.succeed();
    assert_eq!(close_code(&mut client).await, 4000);
    // $disconnect is not repeated: the next invocation belongs to another connection.
    stack.connect().await;
}

#[tokio::test]
async fn client_close_without_code_is_1005() {
    let mut stack = Stack::start().await;
    let (mut client, _) = stack.connect().await;
    client.close(None).await.unwrap();
    assert_eq!(disconnect_code(&mut stack).await, 1005);
}

#[tokio::test]
async fn lost_connection_is_1006() {
    let mut stack = Stack::start().await;
    let (client, _) = stack.connect().await;
    drop(client);
    assert_eq!(disconnect_code(&mut stack).await, 1006);
    stack.connect().await;
}

#[tokio::test]
async fn client_that_leaves_during_connect_gets_a_disconnect() {
    let mut stack = Stack::start().await;
    let handshake = stack.handshake("");
    let connect = stack.lambda.expect("connect").await;
    let id = connect.context("connectionId").clone();
    handshake.abort();
    assert!(handshake.await.unwrap_err().is_cancelled());
    connect.succeed();
    let disconnect = stack.lambda.expect("disconnect").await;
    assert_eq!(*disconnect.context("connectionId"), id);
    disconnect.succeed();
}
