//! The gateway's log. In a process of its own: the subscriber is global, so that no line of another test is in it and none
//! is lost.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::{
    io,
    sync::{Arc, Mutex},
};

use crate::harness::{Stack, http, send};

#[expect(dead_code, reason = "the other tests use the rest")]
#[path = "gateway/harness.rs"]
mod harness;

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn log_has_one_line_a_request_without_client_data() {
    let log = Log::default();
    let writer = log.clone();
    tracing_subscriber::fmt()
        .with_ansi(false)
        .with_max_level(tracing::Level::TRACE)
        .with_env_filter("gateway=trace")
        .with_writer(move || writer.clone())
        .init();
    let mut stack = Stack::start().await;
    let request = http().post(stack.url("/things?api_key=secret")).header("x-api-key", "secret");
    let sent = stack.send(request.body("secret"));
    stack.lambda.expect("things").await.fail();
    sent.await.unwrap();
    let handshake = stack.handshake("?api_key=secret");
    stack.lambda.expect("connect").await.succeed();
    let (mut client, _) = handshake.await.unwrap().unwrap();
    send(&mut client, r#"{"a":"secret"}"#).await;
    stack.lambda.expect("message").await.succeed();
    client.close(None).await.unwrap();
    stack.lambda.expect("disconnect").await.succeed();
    drop(stack.stop().await);
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(!log.contains("secret"), "{log}");
    let line = log.lines().find(|line| line.contains("path=\"/things\"")).unwrap();
    for field in
        ["INFO gateway: ", "method=POST", "route=\"POST /things\"", "function=\"things\"", "status=500", "duration_ms="]
    {
        assert!(line.contains(field), "{field} in {line}");
    }
    for route in ["POST /things", "$connect", "$default"] {
        let field = format!("route={route:?}");
        assert_eq!(log.lines().filter(|line| line.contains(&field)).count(), 1, "{route} in {log}");
    }
}
