//! The Bedrock agent. The provider speaks AWS's event stream encoding.

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_bedrockruntime::config::{Credentials, SharedCredentialsProvider};
use futures_util::StreamExt;
use serde_json::{Value, json};
use shared::{
    agents::{Agent, Bedrock, Conversation, Failure, Turn},
    domain::message::{FinishReason, Role, Usage},
    runtime::aws,
};

use crate::provider::{self, Provider, Response, refusal};

const CONTENT_TYPE: &str = "application/vnd.amazon.eventstream";

fn agent(provider: &Provider, model: Option<&str>) -> Bedrock {
    let credentials = Credentials::new("test", "test", None, None, "test");
    let config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static("us-east-1"))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .endpoint_url(provider.url.to_string())
        .build();
    Bedrock::new(aws::bedrock(&config), model.and_then(|model| serde_json::from_value(model.into()).ok()))
}

async fn respond(provider: &Provider) -> Response {
    provider::respond(&agent(provider, Some("amazon.nova-micro-v1:0"))).await
}

/// One message of the event stream: lengths, check sum, headers, payload, check sum.
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/RESTSelectObjectAppendix.html>
fn message(headers: &[(&str, &str)], payload: &Value) -> Vec<u8> {
    let payload = payload.to_string().into_bytes();
    let header = |(name, value): &(&str, &str)| {
        let (name_length, value_length) = (name.len() as u8, value.len() as u16);
        // 7 is text.
        [&[name_length], name.as_bytes(), &[7], &value_length.to_be_bytes(), value.as_bytes()].concat()
    };
    let headers: Vec<u8> = headers.iter().flat_map(header).collect();
    let total = (headers.len() + payload.len() + 16) as u32;
    let mut message = [total.to_be_bytes(), (headers.len() as u32).to_be_bytes()].concat();
    message.extend(crc32fast::hash(&message).to_be_bytes());
    message.extend(headers);
    message.extend(payload);
    message.extend(crc32fast::hash(&message).to_be_bytes());
    message
}

fn event(kind: &str, payload: &Value) -> Vec<u8> {
    let headers = [(":event-type", kind), (":content-type", "application/json"), (":message-type", "event")];
    message(&headers, payload)
}

fn exception(kind: &str) -> Vec<u8> {
    let headers = [(":exception-type", kind), (":content-type", "application/json"), (":message-type", "exception")];
    message(&headers, &json!({ "message": "no more" }))
}

fn token(text: &str) -> Vec<u8> {
    event("contentBlockDelta", &json!({ "contentBlockIndex": 0, "delta": { "text": text } }))
}

fn finish(reason: &str) -> Vec<u8> {
    event("messageStop", &json!({ "stopReason": reason }))
}

#[tokio::test]
async fn trace_is_sent() {
    let mut provider = Provider::start(provider::streamed(CONTENT_TYPE, [token("Hi"), finish("end_turn")])).await;
    let trace = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";
    let response = provider::respond_traced(&agent(&provider, Some("m")), trace).await;
    assert_eq!(response.text, "Hi");
    let request = provider.requests.recv().await.expect("a request");
    assert!(request.contains(&format!("x-amzn-trace-id: {trace}\r\n")), "{request}");
}

#[tokio::test]
async fn whole_response_is_read_up_to_the_usage() {
    let thinks = json!({ "contentBlockIndex": 0, "delta": { "reasoningContent": { "text": "Hm." } } });
    let body = [
        event("messageStart", &json!({ "role": "assistant" })),
        event("contentBlockDelta", &thinks),
        token(""),
        token("Hello, "),
        token("Zoë 👩‍👩‍👧!"),
        event("contentBlockStop", &json!({ "contentBlockIndex": 0 })),
        finish("max_tokens"),
        event(
            "metadata",
            &json!({
                "usage": { "inputTokens": 37, "outputTokens": 8, "totalTokens": 45 }, "metrics": { "latencyMs": 9 }
            }),
        ),
    ]
    .concat();
    // Segments split frames and characters.
    let mut provider = Provider::start(provider::streamed(CONTENT_TYPE, body.chunks(7))).await;
    let expected = Response {
        text: "Hello, Zoë 👩‍👩‍👧!".to_owned(),
        finish_reason: Some(FinishReason::Length),
        usage: Some(Usage::reported(37, 8)),
        failure: None,
    };
    assert_eq!(respond(&provider).await, expected);
    let request = provider.requests.recv().await.expect("a request");
    assert!(request.starts_with("POST /model/amazon.nova-micro-v1%3A0/converse-stream HTTP/1.1\r\n"), "{request}");
}

#[tokio::test]
async fn whole_configuration_is_sent() {
    let mut provider = Provider::start(provider::streamed(CONTENT_TYPE, [token("x"), finish("end_turn")])).await;
    let config = json!({ "model": "m", "system_prompt": "Be brief.", "temperature": 0.5, "max_tokens": 7 });
    let config = serde_json::from_value(config).expect("a configuration");
    let turn = |role, content: &str| Turn { role, content: content.to_owned() };
    let turns = vec![turn(Role::User, "I am Zoë."), turn(Role::Assistant, "Hello!"), turn(Role::User, "Who am I?")];
    let deltas: Vec<_> = agent(&provider, None).respond(Conversation { turns, config }).collect().await;
    assert!(deltas.iter().all(Result::is_ok), "{deltas:?}");

    let request = provider.requests.recv().await.expect("a request");
    let (head, body) = request.split_once("\r\n\r\n").expect("a head and a body");
    assert!(head.starts_with("POST /model/m/converse-stream "), "{head}");
    let message = |role: &str, text: &str| json!({ "role": role, "content": [{ "text": text }] });
    let expected = json!({
        "messages": [message("user", "I am Zoë."), message("assistant", "Hello!"), message("user", "Who am I?")],
        "system": [{ "text": "Be brief." }],
        "inferenceConfig": { "maxTokens": 7, "temperature": 0.5 },
    });
    assert_eq!(serde_json::from_str::<Value>(body).expect("JSON"), expected);
}

#[tokio::test]
async fn stop_reasons_are_mapped() {
    for (reason, finish_reason, failure) in [
        ("end_turn", Some(FinishReason::Stop), None),
        ("stop_sequence", Some(FinishReason::Stop), None),
        ("something_new", Some(FinishReason::Stop), None),
        ("model_context_window_exceeded", Some(FinishReason::Length), None),
        ("guardrail_intervened", None, Some(Failure::Refused)),
        ("content_filtered", None, Some(Failure::Refused)),
    ] {
        let provider = Provider::start(provider::streamed(CONTENT_TYPE, [token("x"), finish(reason)])).await;
        let expected = Response { text: "x".to_owned(), finish_reason, usage: None, failure };
        assert_eq!(respond(&provider).await, expected, "{reason}");
    }
}

#[tokio::test]
async fn failure_in_the_middle_keeps_the_text() {
    let half = |last: Vec<u8>| [token("half "), token("a message"), last];
    for (last, failure) in [
        (exception("throttlingException"), Failure::Overloaded),
        (exception("serviceUnavailableException"), Failure::Overloaded),
        (exception("modelStreamErrorException"), Failure::BrokenOff),
        (exception("internalServerException"), Failure::Unavailable),
        (exception("validationException"), Failure::Rejected),
        (Vec::new(), Failure::BrokenOff),
        (token("cut in its middle")[..20].to_vec(), Failure::BrokenOff),
    ] {
        let parts = half(last).into_iter().filter(|part| !part.is_empty());
        let provider = Provider::start(provider::streamed(CONTENT_TYPE, parts)).await;
        let expected = Response { text: "half a message".to_owned(), failure: Some(failure), ..Response::default() };
        assert_eq!(respond(&provider).await, expected);
    }
    // A cut connection looks like the end of the body.
    let provider = Provider::start(provider::cut_off(CONTENT_TYPE, half(Vec::new()).into_iter().take(2))).await;
    let response = respond(&provider).await;
    assert_eq!(response.text, "half a message");
    assert!(response.failure.is_some_and(Failure::is_retryable), "{response:?}");
}

#[tokio::test]
async fn refusals_are_mapped_and_only_transient_ones_are_retried() {
    for (status, exception, failure, attempts) in [
        ("403 Forbidden", "AccessDeniedException", Failure::Denied, 1),
        ("400 Bad Request", "ValidationException", Failure::Rejected, 1),
        ("404 Not Found", "ResourceNotFoundException", Failure::Rejected, 1),
        ("408 Request Timeout", "ModelTimeoutException", Failure::TimedOut, 1),
        ("429 Too Many Requests", "ThrottlingException", Failure::Overloaded, 3),
        ("503 Service Unavailable", "ServiceUnavailableException", Failure::Overloaded, 3),
    ] {
        let headers = format!("x-amzn-errortype: {exception}\r\n");
        let mut provider = Provider::start(refusal(status, &headers, &json!({ "message": "no" }))).await;
        assert_eq!(respond(&provider).await, Response { failure: Some(failure), ..Response::default() }, "{exception}");
        assert_eq!(provider.count_requests(), attempts, "{exception}");
    }
}

#[tokio::test]
async fn request_without_a_model_is_rejected_before_it_is_sent() {
    let mut provider = Provider::start(Vec::new()).await;
    let response = provider::respond(&agent(&provider, None)).await;
    assert_eq!(response, Response { failure: Some(Failure::Rejected), ..Response::default() });
    assert_eq!(provider.count_requests(), 0);
}
