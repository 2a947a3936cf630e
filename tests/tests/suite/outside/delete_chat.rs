//! `DELETE /api/v1/chats/{chat_id}`.

use reqwest::StatusCode;
use tests::Api;

#[tokio::test]
async fn another_tenants_chat_cannot_be_deleted() {
    let (owner, stranger) = (Api::shared().tenant("owner").await, Api::shared().tenant("stranger").await);
    let chat = owner.chat("u").await;
    let path = format!("/api/v1/chats/{chat}");
    assert_eq!(stranger.delete(&path).await.code(), "CHAT_NOT_FOUND");
    assert_eq!(owner.get(&path).await.status, StatusCode::OK);
}

#[tokio::test]
async fn of_two_deletes_at_once_one_wins() {
    let tenant = Api::shared().tenant("two deletes").await;
    let chat = tenant.chat("u").await;
    let path = format!("/api/v1/chats/{chat}");
    let (one, two) = tokio::join!(tenant.delete(&path), tenant.delete(&path));
    let mut statuses = [one.status.as_u16(), two.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [204, 404]);
    assert_eq!(tenant.get("/api/v1/chats/user/u").await.body["total"], 0);
}

#[tokio::test]
async fn the_sockets_of_a_deleted_chat_hear_of_it_and_are_closed() {
    let tenant = Api::shared().tenant("delete with a socket").await;
    let chat = tenant.chat("u").await;
    let mut socket = tenant.connect(&chat, "u").await;
    socket.say("Hello").await;
    let path = format!("/api/v1/chats/{chat}");
    assert_eq!(tenant.delete(&path).await.status, StatusCode::NO_CONTENT);
    assert_eq!(socket.next_of("error").await["error"]["code"], "CHAT_NOT_FOUND");
    socket.closed().await;
    let query = format!("api_key={}&user_id=u&chat_id={chat}", tenant.key);
    assert_eq!(tenant.connect_with(&query, &[]).await.err(), Some(Api::shared().refusal(StatusCode::NOT_FOUND)));
    assert_eq!(tenant.get(&format!("{path}/messages")).await.code(), "CHAT_NOT_FOUND");
}
