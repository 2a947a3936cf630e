use std::time::Duration;

use aws_lambda_events::apigw::ApiGatewayWebsocketProxyRequest;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::harness::{Client, Invocation, Stack, close_code, http, send, text};

fn parse(invocation: &Invocation) -> ApiGatewayWebsocketProxyRequest {
    serde_json::from_value(invocation.event.clone()).unwrap()
}

async fn status_code(stack: &mut Stack) -> Value {
    let disconnect = stack.lambda.expect("disconnect").await;
    let code = disconnect.context("disconnectStatusCode").clone();
    disconnect.ok();
    code
}

#[tokio::test]
async fn connect_decides_before_the_handshake_is_answered() {
    let mut stack = Stack::start().await;
    let dialing = stack.dial("?user=a%20b&tag=1&tag=2");
    let connect = stack.lambda.expect("connect").await;
    let event = parse(&connect);
    assert_eq!(event.request_context.route_key.as_deref(), Some("$connect"));
    assert_eq!(event.request_context.event_type.as_deref(), Some("CONNECT"));
    assert_eq!(event.request_context.stage.as_deref(), Some("live"));
    assert_eq!(event.query_string_parameters.first("user"), Some("a b"));
    assert_eq!(event.multi_value_query_string_parameters.all("tag").unwrap(), ["1", "2"]);
    assert!(event.headers.contains_key("sec-websocket-key"));
    assert_eq!(event.headers["x-forwarded-for"], "127.0.0.1");
    assert!(!dialing.is_finished());
    connect.ok();
    dialing.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_refusal_has_the_status_of_the_function_and_a_body_of_the_gateway() {
    let mut stack = Stack::start().await;
    let dialing = stack.dial("");
    let connect = stack.lambda.expect("connect").await;
    let id = connect.context("connectionId").clone();
    connect.answer(&json!({ "statusCode": 403, "body": "of the function" }));
    let Err(Error::Http(response)) = dialing.await.unwrap() else { panic!("not refused") };
    assert_eq!(response.status(), 403);
    let body: Value = serde_json::from_slice(response.body().as_ref().unwrap()).unwrap();
    assert_eq!(body["message"], "Forbidden");
    assert_eq!(body["connectionId"], id);
    assert!(body["requestId"].is_string());
    // It never was a connection, so it is none that ends: the next invocation is of another.
    let _next = stack.dial("");
    stack.lambda.expect("connect").await.ok();
}

#[tokio::test]
async fn a_connect_that_fails_is_a_502() {
    let mut stack = Stack::start().await;
    for is_error in [true, false] {
        let dialing = stack.dial("");
        let connect = stack.lambda.expect("connect").await;
        if is_error {
            connect.fail()
        } else {
            connect.answer(&json!({ "no": "status" }))
        }
        let Err(Error::Http(response)) = dialing.await.unwrap() else { panic!("not refused") };
        assert_eq!(response.status(), 502);
    }
}

#[tokio::test]
async fn the_function_chooses_the_subprotocol() {
    let mut stack = Stack::start().await;
    let mut request = format!("ws://{}/ws/things", stack.address).into_client_request().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", "one, two".parse().unwrap());
    let dialing = tokio::spawn(tokio_tungstenite::connect_async(request));
    let answer = json!({ "statusCode": 200, "headers": { "Sec-WebSocket-Protocol": "two" } });
    stack.lambda.expect("connect").await.answer(&answer);
    let (_client, response) = dialing.await.unwrap().unwrap();
    assert_eq!(response.headers()["sec-websocket-protocol"], "two");
}

#[tokio::test]
async fn what_is_no_handshake_is_refused_without_a_function() {
    let mut stack = Stack::start().await;
    assert_eq!(stack.get("/ws/things").await.unwrap().status(), 426);
    let broken = http().get(stack.url("/ws/things")).header("connection", "upgrade").header("upgrade", "websocket");
    assert_eq!(stack.send(broken).await.unwrap().status(), 400);
    stack.lambda.assert_idle();
}

#[tokio::test]
async fn messages_are_routed_and_answers_are_not_sent() {
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
        invocation.answer(&json!({ "statusCode": 200, "body": "unsent" }));
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
async fn the_client_hears_of_a_function_that_fails() {
    let mut stack = Stack::start().await;
    let (mut client, id) = stack.connect().await;
    send(&mut client, "x").await;
    stack.lambda.next().await.fail();
    assert_error(&mut client, &id).await;
    send(&mut client, "x").await;
    stack.lambda.next().await.answer(&Value::Null);
    assert_error(&mut client, &id).await;
}

#[tokio::test]
async fn the_client_hears_of_a_function_that_takes_too_long() {
    let mut stack = Stack::start().await;
    let (mut client, id) = stack.connect().await;
    send(&mut client, r#"{"action":"impatient"}"#).await;
    let _unanswered = stack.lambda.next().await;
    assert_error(&mut client, &id).await;
}

#[tokio::test]
async fn messages_of_a_socket_run_side_by_side() {
    let mut stack = Stack::start().await;
    let (mut client, _) = stack.connect().await;
    send(&mut client, "one").await;
    send(&mut client, "two").await;
    let (one, two) = (stack.lambda.next().await, stack.lambda.next().await);
    one.ok();
    two.ok();
}

#[tokio::test]
async fn a_socket_is_not_read_while_too_many_of_its_messages_run() {
    let mut stack = Stack::with(|options| options.messages_in_flight = 1).await;
    let (mut client, _) = stack.connect().await;
    let (mut other, _) = stack.connect().await;
    send(&mut client, "one").await;
    let one = stack.lambda.expect("message").await;
    send(&mut client, "two").await;
    // Sent later, but not held back by another socket's messages.
    send(&mut other, "other").await;
    let next = stack.lambda.expect("message").await;
    assert_eq!(next.event["body"], "other");
    next.ok();
    stack.lambda.assert_idle();
    one.ok();
    let two = stack.lambda.expect("message").await;
    assert_eq!(two.event["body"], "two");
    two.ok();
}

#[tokio::test]
async fn a_frame_above_32_kb_closes_with_1009() {
    let mut stack = Stack::start().await;
    let (mut client, _) = stack.connect().await;
    send(&mut client, &"x".repeat(32 * 1024)).await;
    stack.lambda.expect("message").await.ok();
    send(&mut client, &"x".repeat(32 * 1024 + 1)).await;
    assert_eq!(close_code(&mut client).await, 1009);
    assert_eq!(status_code(&mut stack).await, 1009);
}

/// A message in frames of 32 KB.
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
async fn a_message_above_128_kb_closes_with_1009() {
    let mut stack = Stack::start().await;
    let (mut client, _) = stack.connect().await;
    send_frames(&mut client, 4, 0).await;
    let whole = stack.lambda.expect("message").await;
    assert_eq!(whole.event["body"].as_str().unwrap().len(), 128 * 1024);
    whole.ok();
    send_frames(&mut client, 4, 1).await;
    assert_eq!(close_code(&mut client).await, 1009);
}

#[tokio::test]
async fn a_binary_frame_closes_with_1003() {
    let mut stack = Stack::start().await;
    let (mut client, _) = stack.connect().await;
    client.send(Message::binary(vec![1])).await.unwrap();
    assert_eq!(close_code(&mut client).await, 1003);
    assert_eq!(status_code(&mut stack).await, 1003);
}

#[tokio::test]
async fn the_rest_of_a_frame_that_is_too_large_does_not_reset_the_connection() {
    let mut stack = Stack::start().await;
    let (mut client, _) = stack.connect().await;
    send(&mut client, &"x".repeat(16 << 20)).await;
    assert_eq!(close_code(&mut client).await, 1009);
}

#[tokio::test]
async fn a_ping_is_answered() {
    let mut stack = Stack::start().await;
    let (mut client, _) = stack.connect().await;
    client.send(Message::Ping("x".into())).await.unwrap();
    assert_eq!(client.next().await.unwrap().unwrap(), Message::Pong("x".into()));
}

#[tokio::test]
async fn an_idle_socket_is_closed_with_1001() {
    let mut stack = Stack::with(|options| options.idle_timeout = Duration::from_millis(100)).await;
    let (mut client, _) = stack.connect().await;
    assert_eq!(close_code(&mut client).await, 1001);
    assert_eq!(status_code(&mut stack).await, 1001);
}

#[tokio::test]
async fn an_old_socket_is_closed_with_1001() {
    let mut stack = Stack::with(|options| options.lifetime = Duration::from_millis(200)).await;
    let (mut client, _) = stack.connect().await;
    assert_eq!(close_code(&mut client).await, 1001);
    assert_eq!(status_code(&mut stack).await, 1001);
}

#[tokio::test]
async fn a_close_of_the_client_disconnects_once_with_its_code_and_reason() {
    let mut stack = Stack::start().await;
    let (mut client, id) = stack.connect().await;
    let frame = CloseFrame { code: CloseCode::Library(4000), reason: "enough".into() };
    client.close(Some(frame)).await.unwrap();
    let disconnect = stack.lambda.expect("disconnect").await;
    let event = parse(&disconnect);
    assert_eq!(event.request_context.connection_id.as_deref(), Some(id.as_str()));
    assert_eq!(event.request_context.disconnect_status_code, Some(4000));
    assert_eq!(event.request_context.disconnect_reason.as_deref(), Some("enough"));
    // The connection is gone before the function hears of it.
    let gone = stack.management().get_connection().connection_id(&id).send().await.unwrap_err();
    assert!(gone.into_service_error().is_gone_exception());
    disconnect.ok();
    assert_eq!(close_code(&mut client).await, 4000);
    // Its end comes once: what comes next is of another socket.
    stack.connect().await;
}

#[tokio::test]
async fn a_close_without_a_code_is_a_1005() {
    let mut stack = Stack::start().await;
    let (mut client, _) = stack.connect().await;
    client.close(None).await.unwrap();
    assert_eq!(status_code(&mut stack).await, 1005);
}

#[tokio::test]
async fn a_client_that_vanishes_is_a_1006() {
    let mut stack = Stack::start().await;
    let (client, _) = stack.connect().await;
    drop(client);
    assert_eq!(status_code(&mut stack).await, 1006);
    stack.connect().await;
}

#[tokio::test]
async fn a_client_that_leaves_during_connect_is_disconnected() {
    let mut stack = Stack::start().await;
    let dialing = stack.dial("");
    let connect = stack.lambda.expect("connect").await;
    let id = connect.context("connectionId").clone();
    dialing.abort();
    assert!(dialing.await.unwrap_err().is_cancelled());
    connect.ok();
    let disconnect = stack.lambda.expect("disconnect").await;
    assert_eq!(*disconnect.context("connectionId"), id);
    disconnect.ok();
}
