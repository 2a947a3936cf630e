//! `POST /api/v1/chats/{chat_id}/tickets`, and connecting with one.

use reqwest::StatusCode;
use shared::domain::{
    api_key::ApiKey,
    connection::ConnectionGrant,
    id::{ChatId, UserId},
    ticket::TicketText,
    time::Timestamp,
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
    stack.tickets().put(&old, grant, Timestamp::now()).await.expect("the table answers");
    let query = format!("ticket={}", old.reveal());
    assert_eq!(tenant.connect_with(&query, &[]).await.err(), Some(StatusCode::UNAUTHORIZED));
    assert_eq!(tenant.connect_with("ticket=tk_never", &[]).await.err(), Some(StatusCode::UNAUTHORIZED));
}
