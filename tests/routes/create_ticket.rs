//! `POST /api/v1/chats/{chat_id}/tickets`, and connecting with one.

use reqwest::StatusCode;
use shared::{
    domain::{
        api_key::{ApiKey, TicketText},
        id::{ChatId, UserId},
        time::Timestamp,
    },
    storage::ConnectionGrant,
};
use tests::Stack;

#[tokio::test]
async fn an_old_ticket_opens_nothing() {
    let stack = Stack::shared();
    let tenant = stack.tenant("old ticket").await;
    let chat = tenant.chat("u").await;
    let old = TicketText::generate();
    let grant = ConnectionGrant {
        tenant_id: tenant.id.clone(),
        key: ApiKey::new(&tenant.key).hash(),
        user_id: UserId::parse("u").expect("a user"),
        chat_id: ChatId::parse(&chat).expect("a chat"),
    };
    stack.connections().put_ticket(&old, grant, Timestamp::now()).await.expect("the table answers");
    let query = format!("ticket={}", old.reveal());
    assert_eq!(tenant.connect_with(&query, &[]).await.err(), Some(StatusCode::UNAUTHORIZED));
    assert_eq!(tenant.connect_with("ticket=tk_never", &[]).await.err(), Some(StatusCode::UNAUTHORIZED));
}

mod black_box {
    use futures_util::future::join_all;
    use reqwest::{Method, StatusCode};
    use serde_json::json;
    use shared::domain::time::Timestamp;
    use tests::{Answer, Api, Customer};

    async fn ticket(tenant: &Customer, chat: &str) -> Answer {
        tenant.send(tenant.request(Method::POST, &format!("/api/v1/chats/{chat}/tickets"))).await
    }

    #[tokio::test]
    async fn a_ticket_opens_one_socket_for_the_chats_user() {
        let api = Api::shared();
        let tenant = api.tenant("tickets").await;
        let chat = tenant.chat("user123").await;
        let answer = ticket(&tenant, &chat).await;
        assert_eq!(answer.status, StatusCode::CREATED);
        let text = answer.body["ticket"].as_str().expect("a ticket");
        assert_eq!(answer.body["url"], format!("{}?ticket={text}", api.websocket_url()));
        let lasts = answer.body["expires_at"].as_str().expect("a time").parse::<Timestamp>().expect("RFC 3339");
        assert!((50_000..=60_000).contains(&lasts.millis_since(Timestamp::now())));

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
    async fn of_many_that_use_a_ticket_at_once_one_gets_in() {
        let tenant = Api::shared().tenant("ticket race").await;
        let chat = tenant.chat("u").await;
        let answer = ticket(&tenant, &chat).await;
        let query = format!("ticket={}", answer.body["ticket"].as_str().expect("a ticket"));
        let attempts = join_all((0..10).map(|_| tenant.connect_with(&query, &[]))).await;
        assert_eq!(attempts.iter().filter(|attempt| attempt.is_ok()).count(), 1);
    }

    #[tokio::test]
    async fn there_is_no_ticket_for_what_is_not_the_tenants() {
        let (owner, stranger) = (Api::shared().tenant("owner").await, Api::shared().tenant("stranger").await);
        let chat = owner.chat("u").await;
        assert_eq!(ticket(&stranger, &chat).await.code(), "CHAT_NOT_FOUND");
        let path = format!("/api/v1/chats/{chat}/tickets");
        let body = owner.post(&path, &json!({ "user_id": "someone-else" })).await;
        assert_eq!(body.code(), "UNKNOWN_FIELD", "a ticket is for the chat's own user");
    }
}
