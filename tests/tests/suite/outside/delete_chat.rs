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
