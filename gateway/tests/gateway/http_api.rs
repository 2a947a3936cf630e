use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use axum::http::StatusCode;
use gateway::template::Template;
use serde_json::{Value, json};

use crate::harness::{Stack, http};

async fn message(response: reqwest::Response) -> Value {
    assert!(response.headers().contains_key("apigw-requestid"));
    assert_eq!(response.headers()["content-type"], "application/json");
    serde_json::from_str(&response.text().await.unwrap()).unwrap()
}

#[tokio::test]
async fn request_becomes_event_and_payload_becomes_response() {
    let mut stack = Stack::start().await;
    let request = http().get(stack.url("/things/a%20b?q=1&q=2")).header("cookie", "a=1; b=2").header("X-Mixed", "v");
    let sent = stack.send(request);
    let invocation = stack.lambda.expect("things").await;
    let event: ApiGatewayV2httpRequest = serde_json::from_value(invocation.event.clone()).unwrap();
    assert_eq!(event.route_key.as_deref(), Some("GET /things/{id}"));
    assert_eq!(event.raw_path.as_deref(), Some("/things/a b"));
    assert_eq!(event.raw_query_string.as_deref(), Some("q=1&q=2"));
    assert_eq!(event.path_parameters["id"], "a b");
    assert_eq!(event.cookies.unwrap(), ["a=1", "b=2"]);
    assert_eq!(event.headers["x-mixed"], "v");
    assert_eq!(event.headers["x-forwarded-for"], "127.0.0.1");
    assert_eq!(event.request_context.http.source_ip.as_deref(), Some("127.0.0.1"));
    let request_id = event.request_context.request_id.unwrap();
    invocation.respond(&json!({ "statusCode": 201, "headers": { "x-function": "1" }, "body": "created" }));
    let response = sent.await.unwrap();
    assert_eq!(response.status(), 201);
    assert_eq!(response.headers()["x-function"], "1");
    assert_eq!(response.headers()["apigw-requestid"], request_id.as_str());
    assert_eq!(response.text().await.unwrap(), "created");
}

#[tokio::test]
async fn event_has_the_request_body() {
    let mut stack = Stack::start().await;
    let request = http().post(stack.url("/things")).header("content-type", "application/json").body(r#"{"a":1}"#);
    let sent = stack.send(request);
    let invocation = stack.lambda.expect("things").await;
    assert_eq!(invocation.event["routeKey"], "POST /things");
    assert_eq!(invocation.event["body"], r#"{"a":1}"#);
    invocation.succeed();
    assert_eq!(sent.await.unwrap().status(), 200);
}

#[tokio::test]
async fn unmatched_request_invokes_default_route() {
    let mut stack = Stack::start().await;
    let sent = stack.send(http().delete(stack.url("/things")));
    let invocation = stack.lambda.expect("fallback").await;
    assert_eq!(invocation.event["routeKey"], "$default");
    invocation.succeed();
    sent.await.unwrap();
}

#[tokio::test]
async fn unmatched_request_without_default_route_is_404() {
    let yaml = "Resources: { F: { Type: AWS::Serverless::Function } }";
    let mut stack = Stack::with_template(&Template::parse(yaml, &BTreeMap::new()).unwrap(), |_| {}).await;
    // A template without a WebSocket API does not reserve its path.
    for path in ["/", "/ws/things"] {
        let response = stack.get(path).await.unwrap();
        assert_eq!(response.status(), 404);
        assert_eq!(message(response).await, json!({ "message": "Not Found" }));
    }
    stack.lambda.assert_no_invocation();
}

#[tokio::test]
async fn function_error_is_500() {
    let mut stack = Stack::start().await;
    let sent = stack.get("/things/1");
    stack.lambda.next().await.fail();
    let response = sent.await.unwrap();
    assert_eq!(response.status(), 500);
    assert_eq!(message(response).await, json!({ "message": "Internal Server Error" }));
}

#[tokio::test]
async fn malformed_proxy_response_is_500() {
    let mut stack = Stack::start().await;
    let sent = stack.get("/things/1");
    stack.lambda.next().await.send(StatusCode::OK, "not json".to_owned());
    assert_eq!(sent.await.unwrap().status(), 500);
}

#[tokio::test]
async fn integration_timeout_is_503() {
    let mut stack = Stack::start().await;
    let sent = stack.get("/short-integration-timeout");
    let _pending = stack.lambda.expect("things").await;
    let response = sent.await.unwrap();
    assert_eq!(response.status(), 503);
    assert_eq!(message(response).await, json!({ "message": "Service Unavailable" }));
}

#[tokio::test]
async fn shorter_function_timeout_is_503() {
    let mut stack = Stack::start().await;
    let started = Instant::now();
    let sent = stack.get("/short-function-timeout");
    let _pending = stack.lambda.expect("short").await;
    assert_eq!(sent.await.unwrap().status(), 503);
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn body_above_10_mib_is_413() {
    let mut stack = Stack::start().await;
    let limit = 10 * 1024 * 1024;
    let sent = stack.send(http().post(stack.url("/things")).body(vec![b'x'; limit + 1]));
    let response = sent.await.unwrap();
    assert_eq!(response.status(), 413);
    assert_eq!(message(response).await, json!({ "message": "Request Entity Too Large" }));
    stack.lambda.assert_no_invocation();
    let sent = stack.send(http().post(stack.url("/things")).body(vec![b'x'; limit]));
    stack.lambda.expect("things").await.succeed();
    assert_eq!(sent.await.unwrap().status(), 200);
}

#[tokio::test]
async fn wait_for_concurrency_counts_toward_integration_timeout() {
    let mut stack = Stack::with_options(|options| options.invocations_in_flight = 1).await;
    let first = stack.get("/things/1");
    let running = stack.lambda.expect("things").await;
    // The function is at its concurrency limit, so this request times out without an invocation.
    assert_eq!(stack.get("/short-integration-timeout").await.unwrap().status(), 503);
    stack.lambda.assert_no_invocation();
    // The limit is per function.
    let other = stack.get("/other");
    stack.lambda.expect("fallback").await.succeed();
    other.await.unwrap();
    running.succeed();
    first.await.unwrap();
    let second = stack.get("/things/2");
    stack.lambda.expect("things").await.succeed();
    assert_eq!(second.await.unwrap().status(), 200);
}
