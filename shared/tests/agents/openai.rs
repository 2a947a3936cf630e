//! The OpenAI agent.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use futures_util::StreamExt;
use http::{HeaderName, HeaderValue};
use serde_json::{Value, json};
use shared::{
    agents::{Agent, Conversation, Failure, KeySource, OpenAi, OpenAiSettings, Turn},
    domain::{
        chat::ChatConfig,
        message::{FinishReason, Role, Usage},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::mpsc,
};

use crate::provider::{self, Provider, Response, read_request, refusal};

fn agent(provider: &Provider) -> OpenAi {
    OpenAi::new(OpenAiSettings {
        base_url: Some(format!("{}v1/", provider.url).parse().expect("an address")),
        model: serde_json::from_value("small".into()).expect("a name"),
        key: Some(KeySource::Given("sk-test".into())),
        headers: [(HeaderName::from_static("x-title"), HeaderValue::from_static("Chat"))].into_iter().collect(),
    })
}

fn streamed<P: AsRef<[u8]>>(parts: impl IntoIterator<Item = P>) -> Vec<Vec<u8>> {
    provider::streamed("text/event-stream", parts)
}

fn cut_off<P: AsRef<[u8]>>(parts: impl IntoIterator<Item = P>) -> Vec<Vec<u8>> {
    provider::cut_off("text/event-stream", parts)
}

/// An event with text.
fn token(content: Value) -> String {
    event(&json!({ "choices": [{ "index": 0, "delta": { "content": content }, "finish_reason": null }] }))
}

fn finish(reason: &str) -> String {
    event(&json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": reason }] }))
}

fn event(data: &Value) -> String {
    format!("data: {data}\n\n")
}

async fn respond(provider: &Provider) -> Response {
    provider::respond(&agent(provider)).await
}

fn complete(text: &str) -> Response {
    Response { text: text.to_owned(), finish_reason: Some(FinishReason::Stop), ..Response::default() }
}

#[tokio::test]
async fn trace_is_sent_if_the_request_has_one() {
    let mut provider = Provider::start(streamed([token("Hi".into()), finish("stop")])).await;
    let trace = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";
    assert_eq!(provider::respond_traced(&agent(&provider), trace).await, complete("Hi"));
    let request = provider.requests.recv().await.expect("a request");
    let traceparent = "traceparent: 00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01\r\n";
    assert!(request.contains(traceparent), "{request}");

    respond(&provider).await;
    let request = provider.requests.recv().await.expect("a request");
    assert!(!request.contains("traceparent"), "{request}");
}

#[tokio::test]
async fn whole_response_is_read_up_to_the_usage() {
    let usage =
        event(&json!({ "choices": [], "usage": { "prompt_tokens": 37, "completion_tokens": 8, "total_tokens": 45 } }));
    let mut provider = Provider::start(streamed([
        event(&json!({ "choices": [{ "index": 0, "delta": { "role": "assistant", "content": null }, "finish_reason": null }] })),
        token("".into()),
        ": keep-alive\n\n".to_owned(),
        token("Hello, ".into()),
        "event: ping\ndata:\n\n".to_owned(),
        token("Zoë!".into()),
        finish("length"),
        usage,
        "data: [DONE]\n\n".to_owned(),
    ]))
    .await;
    let response = respond(&provider).await;
    let usage = Some(Usage::reported(37, 8));
    let expected =
        Response { text: "Hello, Zoë!".to_owned(), finish_reason: Some(FinishReason::Length), usage, failure: None };
    assert_eq!(response, expected);

    let request = provider.requests.recv().await.expect("a request").to_lowercase();
    assert!(request.starts_with("post /v1/chat/completions http/1.1\r\n"), "{request}");
    assert!(
        request.contains("\r\nauthorization: bearer sk-test\r\n") && request.contains("\r\nx-title: chat\r\n"),
        "{request}"
    );
    assert!(
        request.contains(r#""model":"small""#) && request.contains(r#"{"role":"user","content":"hello"}"#),
        "{request}"
    );
}

#[tokio::test]
async fn segments_may_split_characters_and_lines() {
    let text = "Grüße, 👩‍👩‍👧 from 東京\n";
    for line_end in ["\n", "\r\n"] {
        let body = format!("{}{}data: [DONE]\n\n", token(text.into()), finish("stop")).replace('\n', line_end);
        let provider = Provider::start(streamed(body.as_bytes().chunks(1))).await;
        assert_eq!(respond(&provider).await, complete(text), "{line_end:?}");
    }
}

#[tokio::test]
async fn cut_connection_breaks_the_stream_off_and_keeps_the_text() {
    let provider = Provider::start(cut_off([token("Hello, ".into()), token("Z".into())])).await;
    let broken = Response { text: "Hello, Z".to_owned(), failure: Some(Failure::BrokenOff), ..Response::default() };
    assert_eq!(respond(&provider).await, broken);
    let provider = Provider::start(streamed([token("Hello, ".into()), token("Z".into())])).await;
    assert_eq!(respond(&provider).await, broken, "a stream without a finish reason is broken off");
    let provider =
        Provider::start(streamed([token("Hello, ".into()), token("Z".into()), "data: {\"cho\n\n".to_owned()])).await;
    assert_eq!(respond(&provider).await, broken);
}

#[tokio::test]
async fn cut_connection_after_the_finish_reason_is_ignored() {
    let provider = Provider::start(cut_off([token("Hello".into()), finish("stop")])).await;
    assert_eq!(respond(&provider).await, complete("Hello"));
}

#[tokio::test]
async fn done_without_a_finish_reason_is_a_stop() {
    let provider = Provider::start(streamed([token("Hello".into()), "data: [DONE]\n\n".to_owned()])).await;
    assert_eq!(respond(&provider).await, complete("Hello"));
}

#[tokio::test]
async fn finish_reasons_are_mapped() {
    for (reason, finish_reason) in
        [("stop", FinishReason::Stop), ("length", FinishReason::Length), ("tool_calls", FinishReason::Stop)]
    {
        let provider = Provider::start(streamed([token("x".into()), finish(reason)])).await;
        assert_eq!(respond(&provider).await.finish_reason, Some(finish_reason), "{reason}");
    }
    let provider = Provider::start(streamed([token("x".into()), finish("content_filter")])).await;
    let refused = Response { text: "x".to_owned(), failure: Some(Failure::Refused), ..Response::default() };
    assert_eq!(respond(&provider).await, refused);
}

#[tokio::test]
async fn error_event_ends_the_stream() {
    let error = |code| event(&json!({ "error": { "message": "no more", "code": code } }));
    for (code, failure) in [(429, Failure::Overloaded), (400, Failure::Rejected)] {
        let provider = Provider::start(streamed([token("half".into()), error(code), token(" more".into())])).await;
        let expected = Response { text: "half".to_owned(), failure: Some(failure), ..Response::default() };
        assert_eq!(respond(&provider).await, expected);
    }
}

#[tokio::test]
async fn bad_key_is_not_retried_and_overload_is() {
    for (status, headers, failure, attempts) in [
        ("401 Unauthorized", "", Failure::Denied, 1),
        ("404 Not Found", "", Failure::Rejected, 1),
        ("307 Temporary Redirect", "location: http://127.0.0.1:1/\r\n", Failure::Denied, 1),
        ("503 Service Unavailable", "retry-after: 0\r\n", Failure::Overloaded, 3),
        ("429 Too Many Requests", "retry-after: 3600\r\n", Failure::Overloaded, 1),
        ("500 Internal Server Error", "retry-after: 0\r\n", Failure::Unavailable, 3),
    ] {
        let mut provider = Provider::start(refusal(status, headers, &json!({ "error": { "message": "no" } }))).await;
        assert_eq!(respond(&provider).await, Response { failure: Some(failure), ..Response::default() }, "{status}");
        assert_eq!(provider.count_requests(), attempts, "{status}");
    }
}

#[tokio::test]
async fn unreachable_provider_is_unavailable() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    drop(listener);
    let provider = Provider { url: url.parse().expect("an address"), requests: mpsc::unbounded_channel().1 };
    assert_eq!(respond(&provider).await, Response { failure: Some(Failure::Unavailable), ..Response::default() });
}

#[tokio::test]
async fn dropping_the_stream_closes_the_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let provider = Provider { url: url.parse().expect("an address"), requests: mpsc::unbounded_channel().1 };
    let turns = vec![Turn { role: Role::User, content: "Hello".to_owned() }];
    let mut deltas = agent(&provider).respond(Conversation { turns, config: ChatConfig::default() });
    let serving = async {
        let (mut socket, _) = listener.accept().await.expect("a client");
        read_request(&mut socket).await;
        for segment in cut_off([token("x".into())]) {
            socket.write_all(&segment).await.expect("the client reads");
        }
        socket
    };
    let (mut socket, first) = tokio::join!(serving, deltas.next());
    assert!(first.is_some_and(|delta| delta.is_ok()));
    drop(deltas);
    assert_eq!(socket.read(&mut [0; 1]).await.expect("the client closes the connection"), 0);
}

#[tokio::test]
async fn replaced_key_is_read_again_after_a_401() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/v1", listener.local_addr().expect("an address"));
    let reads = Arc::new(AtomicUsize::new(0));
    let counted = reads.clone();
    let source = KeySource::Read(Arc::new(move || {
        let key = if counted.fetch_add(1, Ordering::Relaxed) == 0 { "old" } else { "new" };
        Box::pin(async move { Ok(key.into()) })
    }));
    let base_url = Some(url.parse().expect("an address"));
    let model = serde_json::from_value("small".into()).expect("a name");
    let agent = OpenAi::new(OpenAiSettings { base_url, model, key: Some(source), ..OpenAiSettings::default() });
    assert_eq!(reads.load(Ordering::Relaxed), 0, "it is read for the first request");
    let serving = async {
        // The first request with both keys, the second one with the new key.
        for key in ["old", "new", "new"] {
            let (mut socket, _) = listener.accept().await.expect("a client");
            let request = read_request(&mut socket).await.to_lowercase();
            assert!(request.contains(&format!("authorization: bearer {key}\r\n")), "{request}");
            let response = match key {
                "old" => refusal("401 Unauthorized", "", &json!({ "error": { "message": "no" } })),
                _ => streamed([token("Hi".into()), finish("stop")]),
            };
            for segment in response {
                socket.write_all(&segment).await.expect("the client reads");
            }
        }
    };
    let responses = async { (provider::respond(&agent).await, provider::respond(&agent).await) };
    let ((), responses) = tokio::join!(serving, responses);
    assert_eq!(responses, (complete("Hi"), complete("Hi")));
    assert_eq!(reads.load(Ordering::Relaxed), 2);
}
