//! The agent against a server that speaks Bedrock's event stream.

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_bedrockruntime::config::{Credentials, SharedCredentialsProvider};
use serde_json::{Value, json};

use super::*;
use crate::{
    agents::server::{self, Heard, Server, refusal},
    runtime::aws,
};

const KIND: &str = "application/vnd.amazon.eventstream";

fn agent(server: &Server, model: Option<&str>) -> Bedrock {
    let credentials = Credentials::new("test", "test", None, None, "test");
    let config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static("us-east-1"))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .endpoint_url(server.url.to_string())
        .build();
    Bedrock::new(aws::bedrock(&config), model.and_then(|model| serde_json::from_value(model.into()).ok()))
}

async fn ask(server: &Server) -> Heard {
    server::ask(&agent(server, Some("amazon.nova-micro-v1:0"))).await
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

fn says(text: &str) -> Vec<u8> {
    event("contentBlockDelta", &json!({ "contentBlockIndex": 0, "delta": { "text": text } }))
}

fn ends(reason: &str) -> Vec<u8> {
    event("messageStop", &json!({ "stopReason": reason }))
}

#[tokio::test]
async fn the_model_is_told_of_the_trace() {
    let mut server = Server::start(server::streamed(KIND, [says("Hi"), ends("end_turn")])).await;
    let trace = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";
    let heard = server::ask_traced(&agent(&server, Some("m")), trace).await;
    assert_eq!(heard.text, "Hi");
    let request = server.asked.recv().await.expect("a request");
    assert!(request.contains(&format!("x-amzn-trace-id: {trace}\r\n")), "{request}");
}

#[tokio::test]
async fn an_answer_from_its_start_to_the_usage() {
    let thinks = json!({ "contentBlockIndex": 0, "delta": { "reasoningContent": { "text": "Hm." } } });
    let answer = [
        event("messageStart", &json!({ "role": "assistant" })),
        event("contentBlockDelta", &thinks),
        says(""),
        says("Hello, "),
        says("Zoë 👩‍👩‍👧!"),
        event("contentBlockStop", &json!({ "contentBlockIndex": 0 })),
        ends("max_tokens"),
        event(
            "metadata",
            &json!({
                "usage": { "inputTokens": 37, "outputTokens": 8, "totalTokens": 45 }, "metrics": { "latencyMs": 9 }
            }),
        ),
    ]
    .concat();
    // Frames and characters are cut anywhere.
    let mut server = Server::start(server::streamed(KIND, answer.chunks(7))).await;
    let expected = Heard {
        text: "Hello, Zoë 👩‍👩‍👧!".to_owned(),
        finish_reason: Some(FinishReason::Length),
        usage: Some(Usage { input_tokens: 37, output_tokens: 8 }),
        failure: None,
    };
    assert_eq!(ask(&server).await, expected);
    let asked = server.asked.recv().await.expect("a request");
    assert!(asked.starts_with("POST /model/amazon.nova-micro-v1%3A0/converse-stream HTTP/1.1\r\n"), "{asked}");
}

#[tokio::test]
async fn the_whole_configuration_is_passed_on() {
    let mut server = Server::start(server::streamed(KIND, [says("x"), ends("end_turn")])).await;
    let config = json!({ "model": "m", "system_prompt": "Be brief.", "temperature": 0.5, "max_tokens": 7 });
    let config = serde_json::from_value(config).expect("a configuration");
    let turn = |role, content: &str| Turn { role, content: content.to_owned() };
    let turns = vec![turn(Role::User, "I am Zoë."), turn(Role::Assistant, "Hello!"), turn(Role::User, "Who am I?")];
    let answer: Vec<_> = agent(&server, None).answer(Conversation { turns, config }).collect().await;
    assert!(answer.iter().all(Result::is_ok), "{answer:?}");

    let asked = server.asked.recv().await.expect("a request");
    let (head, body) = asked.split_once("\r\n\r\n").expect("a head and a body");
    assert!(head.starts_with("POST /model/m/converse-stream "), "{head}");
    let said = |role: &str, text: &str| json!({ "role": role, "content": [{ "text": text }] });
    let expected = json!({
        "messages": [said("user", "I am Zoë."), said("assistant", "Hello!"), said("user", "Who am I?")],
        "system": [{ "text": "Be brief." }],
        "inferenceConfig": { "maxTokens": 7, "temperature": 0.5 },
    });
    assert_eq!(serde_json::from_str::<Value>(body).expect("JSON"), expected);
}

#[tokio::test]
async fn reasons_are_understood() {
    for (reason, finish_reason, failure) in [
        ("end_turn", Some(FinishReason::Stop), None),
        ("stop_sequence", Some(FinishReason::Stop), None),
        ("something_new", Some(FinishReason::Stop), None),
        ("model_context_window_exceeded", Some(FinishReason::Length), None),
        ("guardrail_intervened", None, Some(Failure::Refused)),
        ("content_filtered", None, Some(Failure::Refused)),
    ] {
        let server = Server::start(server::streamed(KIND, [says("x"), ends(reason)])).await;
        let heard = Heard { text: "x".to_owned(), finish_reason, usage: None, failure };
        assert_eq!(ask(&server).await, heard, "{reason}");
    }
}

#[tokio::test]
async fn what_breaks_in_mid_answer_keeps_what_came() {
    let half = |last: Vec<u8>| [says("half "), says("an answer"), last];
    for (last, failure) in [
        (exception("throttlingException"), Failure::Overloaded),
        (exception("serviceUnavailableException"), Failure::Overloaded),
        (exception("modelStreamErrorException"), Failure::BrokenOff),
        (exception("internalServerException"), Failure::Unavailable),
        (exception("validationException"), Failure::Rejected),
        (Vec::new(), Failure::BrokenOff),
        (says("cut in its middle")[..20].to_vec(), Failure::BrokenOff),
    ] {
        let pieces = half(last).into_iter().filter(|piece| !piece.is_empty());
        let server = Server::start(server::streamed(KIND, pieces)).await;
        let heard = Heard { text: "half an answer".to_owned(), failure: Some(failure), ..Heard::default() };
        assert_eq!(ask(&server).await, heard);
    }
    // A connection that is cut is no more than a body that ends.
    let server = Server::start(server::cut_off(KIND, half(Vec::new()).into_iter().take(2))).await;
    let heard = ask(&server).await;
    assert_eq!(heard.text, "half an answer");
    assert!(heard.failure.is_some_and(Failure::is_retryable), "{heard:?}");
}

#[tokio::test]
async fn refusals_are_understood_and_only_what_passes_is_tried_again() {
    for (status, kind, failure, times) in [
        ("403 Forbidden", "AccessDeniedException", Failure::Denied, 1),
        ("400 Bad Request", "ValidationException", Failure::Rejected, 1),
        ("404 Not Found", "ResourceNotFoundException", Failure::Rejected, 1),
        ("408 Request Timeout", "ModelTimeoutException", Failure::TimedOut, 1),
        ("429 Too Many Requests", "ThrottlingException", Failure::Overloaded, 3),
        ("503 Service Unavailable", "ServiceUnavailableException", Failure::Overloaded, 3),
    ] {
        let headers = format!("x-amzn-errortype: {kind}\r\n");
        let mut server = Server::start(refusal(status, &headers, &json!({ "message": "no" }))).await;
        assert_eq!(ask(&server).await, Heard { failure: Some(failure), ..Heard::default() }, "{kind}");
        let asked = std::iter::from_fn(|| server.asked.try_recv().ok());
        assert_eq!(asked.count(), times, "{kind}");
    }
}

#[tokio::test]
async fn without_a_model_nobody_is_asked() {
    let mut server = Server::start(Vec::new()).await;
    let heard = server::ask(&agent(&server, None)).await;
    assert_eq!(heard, Heard { failure: Some(Failure::Rejected), ..Heard::default() });
    assert!(server.asked.try_recv().is_err());
}
