//! The agent against a server whose every byte is written here.

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::mpsc,
};

use super::*;
use crate::{
    agents::{
        Turn,
        server::{self, Heard, Server, refusal, request},
    },
    domain::message::{FinishReason, Role, Usage},
};

fn agent(server: &Server) -> OpenAi {
    OpenAi::new(OpenAiSettings {
        base_url: Some(format!("{}v1/", server.url).parse().expect("an address")),
        model: serde_json::from_value("small".into()).expect("a name"),
        key: Some("sk-test".into()),
        headers: [(header::HeaderName::from_static("x-title"), HeaderValue::from_static("Chat"))].into_iter().collect(),
    })
}

fn streamed<P: AsRef<[u8]>>(pieces: impl IntoIterator<Item = P>) -> Vec<Vec<u8>> {
    server::streamed("text/event-stream", pieces)
}

fn cut_off<P: AsRef<[u8]>>(pieces: impl IntoIterator<Item = P>) -> Vec<Vec<u8>> {
    server::cut_off("text/event-stream", pieces)
}

/// An event with a piece of the answer.
fn says(content: Value) -> String {
    event(&json!({ "choices": [{ "index": 0, "delta": { "content": content }, "finish_reason": null }] }))
}

fn ends(reason: &str) -> String {
    event(&json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": reason }] }))
}

fn event(data: &Value) -> String {
    format!("data: {data}\n\n")
}

async fn ask(server: &Server) -> Heard {
    server::ask(&agent(server)).await
}

fn whole(text: &str) -> Heard {
    Heard { text: text.to_owned(), finish_reason: Some(FinishReason::Stop), ..Heard::default() }
}

#[tokio::test]
async fn the_model_is_told_of_the_trace_if_there_is_one() {
    let mut server = Server::start(streamed([says("Hi".into()), ends("stop")])).await;
    let trace = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";
    assert_eq!(server::ask_traced(&agent(&server), trace).await, whole("Hi"));
    let request = server.asked.recv().await.expect("a request");
    let traceparent = "traceparent: 00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01\r\n";
    assert!(request.contains(traceparent), "{request}");

    ask(&server).await;
    let request = server.asked.recv().await.expect("a request");
    assert!(!request.contains("traceparent"), "{request}");
}

#[tokio::test]
async fn an_answer_from_the_first_delta_to_the_usage() {
    let usage =
        event(&json!({ "choices": [], "usage": { "prompt_tokens": 37, "completion_tokens": 8, "total_tokens": 45 } }));
    let mut server = Server::start(streamed([
        event(&json!({ "choices": [{ "index": 0, "delta": { "role": "assistant", "content": null }, "finish_reason": null }] })),
        says("".into()),
        ": a sign of life\n\n".to_owned(),
        says("Hello, ".into()),
        "event: ping\ndata:\n\n".to_owned(),
        says("Zoë!".into()),
        ends("length"),
        usage,
        "data: [DONE]\n\n".to_owned(),
    ]))
    .await;
    let heard = ask(&server).await;
    let usage = Some(Usage { input_tokens: 37, output_tokens: 8 });
    let expected =
        Heard { text: "Hello, Zoë!".to_owned(), finish_reason: Some(FinishReason::Length), usage, failure: None };
    assert_eq!(heard, expected);

    let asked = server.asked.recv().await.expect("a request").to_lowercase();
    assert!(asked.starts_with("post /v1/chat/completions http/1.1\r\n"), "{asked}");
    assert!(
        asked.contains("\r\nauthorization: bearer sk-test\r\n") && asked.contains("\r\nx-title: chat\r\n"),
        "{asked}"
    );
    assert!(asked.contains(r#""model":"small""#) && asked.contains(r#"{"role":"user","content":"hello"}"#), "{asked}");
}

#[tokio::test]
async fn characters_and_lines_may_be_cut_anywhere() {
    let text = "Grüße, 👩‍👩‍👧 from 東京\n";
    for line_end in ["\n", "\r\n"] {
        let answer = format!("{}{}data: [DONE]\n\n", says(text.into()), ends("stop")).replace('\n', line_end);
        let server = Server::start(streamed(answer.as_bytes().chunks(1))).await;
        assert_eq!(ask(&server).await, whole(text), "{line_end:?}");
    }
}

#[tokio::test]
async fn a_connection_that_is_cut_breaks_the_answer_and_what_came_is_kept() {
    let server = Server::start(cut_off([says("Hello, ".into()), says("Z".into())])).await;
    let broken = Heard { text: "Hello, Z".to_owned(), failure: Some(Failure::BrokenOff), ..Heard::default() };
    assert_eq!(ask(&server).await, broken);
    let server = Server::start(streamed([says("Hello, ".into()), says("Z".into())])).await;
    assert_eq!(ask(&server).await, broken, "an end without a reason is none");
    let server =
        Server::start(streamed([says("Hello, ".into()), says("Z".into()), "data: {\"cho\n\n".to_owned()])).await;
    assert_eq!(ask(&server).await, broken);
}

#[tokio::test]
async fn a_connection_that_is_cut_after_the_reason_breaks_nothing() {
    let server = Server::start(cut_off([says("Hello".into()), ends("stop")])).await;
    assert_eq!(ask(&server).await, whole("Hello"));
}

#[tokio::test]
async fn a_server_that_gives_no_reason_may_say_done() {
    let server = Server::start(streamed([says("Hello".into()), "data: [DONE]\n\n".to_owned()])).await;
    assert_eq!(ask(&server).await, whole("Hello"));
}

#[tokio::test]
async fn reasons_are_understood() {
    for (reason, finish_reason) in
        [("stop", FinishReason::Stop), ("length", FinishReason::Length), ("tool_calls", FinishReason::Stop)]
    {
        let server = Server::start(streamed([says("x".into()), ends(reason)])).await;
        assert_eq!(ask(&server).await.finish_reason, Some(finish_reason), "{reason}");
    }
    let server = Server::start(streamed([says("x".into()), ends("content_filter")])).await;
    let refused = Heard { text: "x".to_owned(), failure: Some(Failure::Refused), ..Heard::default() };
    assert_eq!(ask(&server).await, refused);
}

#[tokio::test]
async fn an_error_in_mid_answer_ends_it() {
    let error = |code| event(&json!({ "error": { "message": "no more", "code": code } }));
    for (code, failure) in [(429, Failure::Overloaded), (400, Failure::Rejected)] {
        let server = Server::start(streamed([says("half".into()), error(code), says(" more".into())])).await;
        let heard = Heard { text: "half".to_owned(), failure: Some(failure), ..Heard::default() };
        assert_eq!(ask(&server).await, heard);
    }
}

#[tokio::test]
async fn a_bad_key_is_not_tried_again_and_overload_is() {
    for (status, headers, failure, times) in [
        ("401 Unauthorized", "", Failure::Denied, 1),
        ("404 Not Found", "", Failure::Rejected, 1),
        ("307 Temporary Redirect", "location: http://127.0.0.1:1/\r\n", Failure::Denied, 1),
        ("503 Service Unavailable", "retry-after: 0\r\n", Failure::Overloaded, 3),
        ("429 Too Many Requests", "retry-after: 3600\r\n", Failure::Overloaded, 1),
        ("500 Internal Server Error", "retry-after: 0\r\n", Failure::Unavailable, 3),
    ] {
        let mut server = Server::start(refusal(status, headers, &json!({ "error": { "message": "no" } }))).await;
        assert_eq!(ask(&server).await, Heard { failure: Some(failure), ..Heard::default() }, "{status}");
        let asked = std::iter::from_fn(|| server.asked.try_recv().ok());
        assert_eq!(asked.count(), times, "{status}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    drop(listener);
    let server = Server { url: url.parse().expect("an address"), asked: mpsc::unbounded_channel().1 };
    assert_eq!(ask(&server).await, Heard { failure: Some(Failure::Unavailable), ..Heard::default() });
}

#[tokio::test]
async fn who_stops_listening_hangs_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let server = Server { url: url.parse().expect("an address"), asked: mpsc::unbounded_channel().1 };
    let turns = vec![Turn { role: Role::User, content: "Hello".to_owned() }];
    let mut answer = agent(&server).answer(Conversation { turns, config: ChatConfig::default() });
    let serving = async {
        let (mut socket, _) = listener.accept().await.expect("a client");
        request(&mut socket).await;
        for piece in cut_off([says("x".into())]) {
            socket.write_all(&piece).await.expect("the client reads");
        }
        socket
    };
    let (mut socket, first) = tokio::join!(serving, answer.next());
    assert!(first.is_some_and(|delta| delta.is_ok()));
    drop(answer);
    assert_eq!(socket.read(&mut [0; 1]).await.expect("the client hangs up"), 0);
}
