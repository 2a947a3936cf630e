use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use axum::{Router, routing::get};
use gateway::{Gateway, GatewayError, InvokeError, template::Template};

use crate::harness::{Lambda, Stack, close_code, fixture, http, options, send};

fn template() -> Template {
    Template::load(&fixture("basic.yaml"), &BTreeMap::new()).unwrap()
}

#[tokio::test]
async fn address_in_use_is_an_error_with_the_address() {
    let stack = Stack::start().await;
    let mut options = options(&stack.lambda);
    options.listen = stack.address;
    match Gateway::bind(&template(), options).await {
        Err(GatewayError::AddressInUse { address }) => assert_eq!(address, stack.address),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn shutdown_closes_sockets_with_1001_without_disconnect() {
    let mut stack = Stack::start().await;
    let (mut client, _) = stack.connect().await;
    send(&mut client, "pending").await;
    let _pending = stack.lambda.expect("message").await;
    let waiting = stack.get("/things/1");
    let _pending = stack.lambda.expect("things").await;
    let started = Instant::now();
    let (mut lambda, code) = tokio::join!(stack.stop(), close_code(&mut client));
    assert!(started.elapsed() < Duration::from_secs(2));
    assert_eq!(code, 1001);
    assert_eq!(waiting.await.unwrap().status(), 503);
    lambda.assert_no_invocation();
}

#[tokio::test]
async fn warm_up_invokes_each_routed_function_once_sequentially() {
    let mut lambda = Lambda::start().await;
    let gateway = Gateway::bind(&template(), options(&lambda)).await.unwrap();
    let warming = tokio::spawn(async move { gateway.warm_up().await });
    let mut warmed = Vec::new();
    for _ in 0..6 {
        let invocation = lambda.next().await;
        lambda.assert_no_invocation();
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
        // A function error counts as a response.
        if invocation.function == "short" { invocation.fail() } else { invocation.succeed() }
    }
    warming.await.unwrap().unwrap();
    lambda.assert_no_invocation();
    let warmed: Vec<_> = warmed.iter().map(|(function, route)| (function.as_str(), route.as_str())).collect();
    assert_eq!(
        warmed,
        [
            ("things", "POST /things"),
            ("short", "GET /short-function-timeout"),
            ("fallback", "$default"),
            ("connect", "$connect"),
            ("message", "$default"),
            ("disconnect", "$disconnect"),
        ]
    );
}

#[tokio::test]
async fn connections_api_responds_during_warm_up() {
    let mut lambda = Lambda::start().await;
    let gateway = Gateway::bind(&template(), options(&lambda)).await.unwrap();
    let url = format!("http://{}/@connections/unknown%3D", gateway.address());
    let warming = tokio::spawn(async move { gateway.warm_up().await });
    let invocation = lambda.next().await;
    assert_eq!(http().post(url).body("x").send().await.unwrap().status(), 410);
    invocation.succeed();
    for _ in 0..5 {
        lambda.next().await.succeed();
    }
    warming.await.unwrap().unwrap();
}

#[tokio::test]
async fn warm_up_without_invoke_api_is_unreachable() {
    let lambda = Lambda::start().await;
    let mut options = options(&lambda);
    options.invoke_endpoint = "http://127.0.0.1:1".to_owned();
    let gateway = Gateway::bind(&template(), options).await.unwrap();
    match gateway.warm_up().await {
        Err(GatewayError::WarmUp { function, source: InvokeError::Unreachable(_) }) => assert_eq!(function, "things"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn other_routes_are_served_beside_those_of_the_template() {
    let mut lambda = Lambda::start().await;
    let routes = Router::new().route("/page", get(async || "a page"));
    let gateway = Gateway::bind(&template(), options(&lambda)).await.unwrap().with_routes(routes);
    let url = format!("http://{}", gateway.address());
    let serving = tokio::spawn(gateway.serve(std::future::pending()));
    assert_eq!(http().get(format!("{url}/page")).send().await.unwrap().text().await.unwrap(), "a page");
    let request = tokio::spawn(http().get(format!("{url}/things/1")).send());
    lambda.expect("things").await.succeed();
    assert!(request.await.unwrap().unwrap().status().is_success());
    serving.abort();
}
