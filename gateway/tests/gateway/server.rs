use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use gateway::template::Template;
use gateway::{Gateway, GatewayError, InvokeError};

use crate::harness::{Lambda, Stack, close_code, fixture, http, options, send};

fn template() -> Template {
    Template::load(&fixture("basic.yaml"), &BTreeMap::new()).unwrap()
}

#[tokio::test]
async fn a_taken_port_is_an_error_with_its_address() {
    let stack = Stack::start().await;
    let mut options = options(&stack.lambda);
    options.listen = stack.address;
    match Gateway::bind(&template(), options).await {
        Err(GatewayError::AddressInUse { address }) => assert_eq!(address, stack.address),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_shutdown_closes_sockets_with_1001_and_without_disconnect() {
    let mut stack = Stack::start().await;
    let (mut client, _) = stack.connect().await;
    send(&mut client, "unanswered").await;
    let _unanswered = stack.lambda.expect("message").await;
    let waiting = stack.get("/things/1");
    let _unanswered = stack.lambda.expect("things").await;
    let started = Instant::now();
    let (mut lambda, code) = tokio::join!(stack.stop(), close_code(&mut client));
    assert!(started.elapsed() < Duration::from_secs(2));
    assert_eq!(code, 1001);
    assert_eq!(waiting.await.unwrap().status(), 503);
    lambda.assert_idle();
}

#[tokio::test]
async fn every_function_with_a_route_is_warmed_up_once_one_after_another() {
    let mut lambda = Lambda::start().await;
    let gateway = Gateway::bind(&template(), options(&lambda)).await.unwrap();
    let warming = tokio::spawn(async move { gateway.warm_up().await });
    let mut warmed = Vec::new();
    for _ in 0..6 {
        let invocation = lambda.next().await;
        lambda.assert_idle();
        let route = invocation.context("routeKey").as_str().unwrap().to_owned();
        warmed.push((invocation.function.clone(), route));
        match invocation.function.as_str() {
            "things" => {
                assert_eq!(invocation.event["headers"].as_object().unwrap().keys().collect::<Vec<_>>(), ["host"]);
                assert_eq!(invocation.event["rawPath"], "/things");
            }
            "connect" => assert!(invocation.event.get("queryStringParameters").is_none()),
            "message" => assert_eq!(invocation.event["body"], "{}"),
            _ => {}
        }
        // An error is an answer as well.
        if invocation.function == "short" { invocation.fail() } else { invocation.ok() }
    }
    warming.await.unwrap().unwrap();
    lambda.assert_idle();
    let warmed: Vec<_> = warmed.iter().map(|(function, route)| (function.as_str(), route.as_str())).collect();
    assert_eq!(
        warmed,
        [
            ("things", "POST /things"),
            ("short", "GET /short"),
            ("fallback", "$default"),
            ("connect", "$connect"),
            ("message", "$default"),
            ("disconnect", "$disconnect"),
        ]
    );
}

#[tokio::test]
async fn a_function_reaches_the_connections_while_it_is_warmed_up() {
    let mut lambda = Lambda::start().await;
    let gateway = Gateway::bind(&template(), options(&lambda)).await.unwrap();
    let url = format!("http://{}/@connections/unknown%3D", gateway.address());
    let warming = tokio::spawn(async move { gateway.warm_up().await });
    let invocation = lambda.next().await;
    assert_eq!(http().post(url).body("x").send().await.unwrap().status(), 410);
    invocation.ok();
    for _ in 0..5 {
        lambda.next().await.ok();
    }
    warming.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_warm_up_without_an_invoke_api_says_so() {
    let lambda = Lambda::start().await;
    let mut options = options(&lambda);
    options.invoke_endpoint = "http://127.0.0.1:1".to_owned();
    let gateway = Gateway::bind(&template(), options).await.unwrap();
    match gateway.warm_up().await {
        Err(GatewayError::WarmUp { function, source: InvokeError::Unreachable(_) }) => assert_eq!(function, "things"),
        other => panic!("{other:?}"),
    }
}

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

/// On one thread, so that the log of other tests is not in this one's.
#[tokio::test(flavor = "current_thread")]
async fn the_log_has_a_line_a_request_and_no_secrets() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_max_level(tracing::Level::TRACE)
        .with_env_filter("gateway=trace")
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let mut stack = Stack::start().await;
    let request = http().post(stack.url("/things?api_key=secret")).header("x-api-key", "secret");
    let sent = stack.send(request.body("secret"));
    stack.lambda.expect("things").await.fail();
    sent.await.unwrap();
    let dialing = stack.dial("?api_key=secret");
    stack.lambda.expect("connect").await.ok();
    let (mut client, _) = dialing.await.unwrap().unwrap();
    send(&mut client, r#"{"a":"secret"}"#).await;
    stack.lambda.expect("message").await.ok();
    client.close(None).await.unwrap();
    stack.lambda.expect("disconnect").await.ok();
    drop(stack.stop().await);
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(!log.contains("secret"), "{log}");
    let line = log.lines().find(|line| line.contains("path=\"/things\"")).unwrap();
    for field in
        ["INFO gateway: ", "method=POST", "route=\"POST /things\"", "function=\"things\"", "status=500", "duration_ms="]
    {
        assert!(line.contains(field), "{field} in {line}");
    }
    assert_eq!(log.lines().filter(|line| line.contains("connect")).count(), 2, "{log}");
}
