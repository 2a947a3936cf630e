//! `POST /api/v1/chats/{chat_id}/tickets`, and connecting with a ticket.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};
use shared::domain::{
    api_key::ApiKey,
    connection::ConnectionGrant,
    id::{ChatId, UserId},
    ticket::{LIFETIME, TicketText},
    time::Timestamp,
};
use tests::{FaultProxy, LambdaRuntime, Stack};

#[tokio::test]
async fn expired_ticket_is_refused() {
    let stack = Stack::shared();
    let tenant = stack.tenant("expired ticket").await;
    let chat = tenant.chat("u").await;
    let expired = TicketText::generate();
    let grant = ConnectionGrant {
        tenant_id: tenant.id.clone(),
        key: ApiKey::new(&tenant.key).hash(),
        user_id: UserId::parse("u").expect("a user"),
        chat_id: ChatId::parse(&chat).expect("a chat"),
    };
    stack.tickets().put(&expired, grant, Timestamp::now()).await.expect("DynamoDB responds");
    let query = format!("ticket={}", expired.reveal());
    assert_eq!(tenant.connect_with(&query, &[]).await.err(), Some(StatusCode::UNAUTHORIZED));
    assert_eq!(tenant.connect_with("ticket=tk_unknown", &[]).await.err(), Some(StatusCode::UNAUTHORIZED));
}

/// The event of a handshake with a ticket.
fn handshake(ticket: &str) -> Value {
    json!({
        "requestContext": {
            "routeKey": "$connect", "eventType": "CONNECT", "connectionId": "by-ticket=", "requestId": "r",
            "connectedAt": 0, "requestTimeEpoch": 0,
        },
        "queryStringParameters": { "ticket": ticket },
        "isBase64Encoded": false,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_ticket_costs_no_write() {
    let stack = Stack::shared();
    let (tenant, now) = (stack.tenant("cheap refusals").await, Timestamp::now());
    let chat = ChatId::parse(&tenant.chat("u").await).expect("a chat");
    let proxy = FaultProxy::start(stack.dynamodb_endpoint()).await;
    let endpoint = [("AWS_ENDPOINT_URL_DYNAMODB", proxy.url.as_str())];
    let lambda = LambdaRuntime::start(stack, "ws-connect", Duration::from_secs(30), &endpoint).await;
    let [unknown, expired, used] = [(); 3].map(|()| TicketText::generate());
    for (ticket, expires_at) in [(&expired, now), (&used, now.plus(LIFETIME))] {
        let grant = ConnectionGrant {
            tenant_id: tenant.id.clone(),
            key: ApiKey::new(&tenant.key).hash(),
            user_id: UserId::parse("u").expect("a user"),
            chat_id: chat.clone(),
        };
        stack.tickets().put(ticket, grant, expires_at).await.expect("DynamoDB responds");
    }
    assert!(stack.tickets().redeem(&used, now).await.expect("DynamoDB responds").is_some());

    let cases: [(&str, &[&str]); 5] = [
        ("tk_0123456789012345678901", &[]),
        ("random", &[]),
        (unknown.reveal(), &["GetItem"]),
        (expired.reveal(), &["GetItem"]),
        (used.reveal(), &["GetItem"]),
    ];
    for (number, (ticket, calls)) in (1..).zip(cases) {
        lambda.send(handshake(ticket));
        assert_eq!(lambda.responses(number).await[number - 1]["statusCode"], 401);
        assert_eq!(proxy.take_calls(), calls, "{ticket}");
    }
}

mod black_box {
    use futures_util::future::join_all;
    use reqwest::{Method, StatusCode};
    use serde_json::json;
    use shared::domain::time::Timestamp;
    use tests::{Api, Customer, Response};

    async fn ticket(tenant: &Customer, chat: &str) -> Response {
        tenant.send(tenant.request(Method::POST, &format!("/api/v1/chats/{chat}/tickets"))).await
    }

    #[tokio::test]
    async fn ticket_opens_one_socket_for_the_user_of_the_chat() {
        let api = Api::shared();
        let tenant = api.tenant("tickets").await;
        let chat = tenant.chat("user123").await;
        let response = ticket(&tenant, &chat).await;
        assert_eq!(response.status, StatusCode::CREATED);
        let text = response.body["ticket"].as_str().expect("a ticket");
        assert_eq!(response.body["url"], format!("{}?ticket={text}", api.websocket_url()));
        let expires_at = response.body["expires_at"].as_str().expect("a time").parse::<Timestamp>().expect("RFC 3339");
        assert!((50_000..=60_000).contains(&expires_at.millis_since(Timestamp::now())));

        let mut socket = tenant.connect_with(&format!("ticket={text}"), &[]).await.expect("a handshake");
        let established = socket.next_of("connection_established").await;
        assert_eq!((&established["user_id"], &established["chat_id"]), (&"user123".into(), &chat.as_str().into()));
        assert_eq!(socket.say("Hello").await.last().expect("an end")["content"], "You said: Hello");

        assert_eq!(
            tenant.connect_with(&format!("ticket={text}"), &[]).await.err(),
            Some(Api::shared().refusal(StatusCode::UNAUTHORIZED))
        );
    }

    #[tokio::test]
    async fn one_of_simultaneous_connects_with_a_ticket_succeeds() {
        let tenant = Api::shared().tenant("ticket race").await;
        let chat = tenant.chat("u").await;
        let response = ticket(&tenant, &chat).await;
        let query = format!("ticket={}", response.body["ticket"].as_str().expect("a ticket"));
        let attempts = join_all((0..10).map(|_| tenant.connect_with(&query, &[]))).await;
        assert_eq!(attempts.iter().filter(|attempt| attempt.is_ok()).count(), 1);
    }

    #[tokio::test]
    async fn ticket_for_the_chat_of_another_tenant_is_refused() {
        let (owner, other) = (Api::shared().tenant("owner").await, Api::shared().tenant("other").await);
        let chat = owner.chat("u").await;
        assert_eq!(ticket(&other, &chat).await.code(), "CHAT_NOT_FOUND");
        let path = format!("/api/v1/chats/{chat}/tickets");
        let body = owner.post(&path, &json!({ "user_id": "another-user" })).await;
        assert_eq!(body.code(), "UNKNOWN_FIELD", "a ticket is for the user of the chat");
    }
}
