//! Generation leases and takeover in the table, at chosen times.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::future::join_all;
use serde_json::json;
use shared::{
    domain::{
        generation::Outcome,
        id::ChatId,
        message::{FinishReason, Message, Status, Usage},
        time::Timestamp,
    },
    storage::{AppendResult, ChatPosition, Exchange, FinishResult, GenerationLease, PendingCommands, Takeover},
};
use tests::{Stack, Tenant, eventually, new_message};

/// A chat with a running generation.
struct RunningChat {
    tenant: Tenant,
    chat: ChatId,
    exchange: Box<Exchange>,
    lease: GenerationLease,
    started: Timestamp,
}

impl RunningChat {
    async fn started_at(name: &str, started: Timestamp) -> Self {
        let stack = Stack::shared();
        let tenant = stack.tenant(name).await;
        let chat = ChatId::parse(&tenant.chat("u").await).expect("an id");
        let new = new_message("Hello");
        let appended = stack.messages().append(&tenant.id, &chat, ChatPosition::default(), new, started).await;
        let AppendResult::Stored(exchange) = appended.expect("DynamoDB responds") else { panic!("not stored") };
        let lease = stack.generations().lease(&tenant.id, &chat, &exchange.generation);
        Self { tenant, chat, exchange, lease, started }
    }

    fn after(&self, seconds: u64) -> Timestamp {
        self.started.plus(Duration::from_secs(seconds))
    }

    async fn save(&self, text: &str, seconds: u64) -> bool {
        self.lease.save(text, self.after(seconds)).await.expect("DynamoDB responds")
    }

    async fn take_over(&self, status: Status, seconds: u64) -> Takeover {
        let id = &self.exchange.generation.message_id;
        let generations = Stack::shared().generations();
        generations
            .take_over(&self.tenant.id, &self.chat, id, status, self.after(seconds))
            .await
            .expect("DynamoDB responds")
    }

    async fn ended(&self, status: Status, seconds: u64) -> Message {
        match self.take_over(status, seconds).await {
            Takeover::Ended(ended) => {
                let cleaned = Stack::shared().generations().clean_up(&self.tenant.id, &self.chat, &ended).await;
                cleaned.expect("DynamoDB responds");
                ended.generation.message
            }
            other => panic!("not taken over: {other:?}"),
        }
    }

    async fn finish(&self, content: &str) -> FinishResult {
        let outcome = Outcome {
            content: content.to_owned(),
            status: Status::Complete,
            finish_reason: FinishReason::Stop,
            usage: Usage::default(),
            first_token_ms: None,
        };
        self.lease.finish(&outcome, Timestamp::now()).await.expect("DynamoDB responds")
    }

    /// The sort keys of the chat's items.
    async fn items(&self) -> Vec<String> {
        let query = Stack::shared().dynamodb().query().table_name("ChatsTable").key_condition_expression("pk = :pk");
        let pk = AttributeValue::S(format!("{}#{}", self.tenant.id, self.chat));
        let output = query.expression_attribute_values(":pk", pk).consistent_read(true).send().await;
        let items = output.expect("DynamoDB responds").items.unwrap_or_default();
        items.iter().map(|item| item["sk"].as_s().expect("a text").clone()).collect()
    }

    async fn listed(&self) -> serde_json::Value {
        self.tenant.get(&format!("/api/v1/chats/{}/messages", self.chat)).await.body["messages"][1].clone()
    }
}

#[tokio::test]
async fn owner_without_its_lease_writes_nothing() {
    let running = RunningChat::started_at("fenced", Timestamp::now()).await;
    assert!(running.save("One ", 1).await && running.save("two ", 2).await);
    let ended = running.ended(Status::Interrupted, 2 + 15 + 5).await;
    assert_eq!((ended.status, ended.content.as_str()), (Status::Interrupted, "One two "));
    assert!(!running.save("three", 23).await);
    assert!(!running.lease.renew(running.after(23)).await.expect("DynamoDB responds"));
    assert_eq!(running.finish("One two three").await, FinishResult::Lost);
    let listed = running.listed().await;
    assert_eq!((&listed["status"], &listed["content"]), (&json!("interrupted"), &json!("One two ")));
    let items = running.items().await;
    assert!(items.iter().all(|sk| !sk.starts_with("chunk#")), "the chunks are folded: {items:?}");
}

#[tokio::test]
async fn takeover_waits_until_5_seconds_after_the_expiry() {
    let running = RunningChat::started_at("renewed", Timestamp::now()).await;
    assert!(matches!(running.take_over(Status::Interrupted, 19).await, Takeover::StillOwned));
    assert!(running.lease.renew(running.after(10)).await.expect("DynamoDB responds"));
    assert!(matches!(running.take_over(Status::Interrupted, 29).await, Takeover::StillOwned));
    assert_eq!(running.ended(Status::Cancelled, 30).await.finish_reason, Some(FinishReason::Cancelled));
}

#[tokio::test]
async fn one_of_simultaneous_takeovers_ends_the_generation() {
    let running = RunningChat::started_at("taken over", Timestamp::now()).await;
    assert!(running.save("So far", 1).await);
    let ended = join_all((0..8).map(|_| running.take_over(Status::Interrupted, 60))).await;
    let generations = Stack::shared().generations();
    let (mut winners, mut newly_ended) = (0, 0);
    for takeover in ended {
        // The others may find that no generation is running.
        let Takeover::Ended(ended) = takeover else { continue };
        let message = &ended.generation.message;
        assert_eq!((message.status, message.content.as_str()), (Status::Interrupted, "So far"));
        newly_ended += usize::from(ended.newly_ended);
        let record = generations.clean_up(&running.tenant.id, &running.chat, &ended).await.expect("DynamoDB responds");
        winners += usize::from(record.is_some());
    }
    assert_eq!((newly_ended, winners), (1, 1), "one of them posts the end");
    let running =
        generations.find_running(&running.tenant.id, &running.chat, &running.exchange.generation.message_id).await;
    assert!(running.expect("DynamoDB responds").is_none());
}

#[tokio::test]
async fn running_generation_is_listed_as_streaming_and_after_expiry_as_interrupted() {
    let running = RunningChat::started_at("listed while running", Timestamp::now()).await;
    assert!(running.save("Grüße ", 1).await && running.save("👩‍👩‍👧", 2).await);
    let listed = running.listed().await;
    assert_eq!((&listed["status"], &listed["content"]), (&json!("streaming"), &json!("Grüße 👩‍👩‍👧")));

    let long_ago = Timestamp::from_millis(Timestamp::now().as_millis() - 16_000);
    let running = RunningChat::started_at("listed after expiry", long_ago).await;
    let listed = running.listed().await;
    assert_eq!((&listed["status"], &listed["finish_reason"]), (&json!("interrupted"), &json!("error")));
    assert!(running.save("It lives", 16).await, "reading does not write");
}

#[tokio::test]
async fn takeover_removes_the_items_of_a_finished_generation() {
    let running = RunningChat::started_at("finished, not tidied", Timestamp::now()).await;
    assert!(running.save("So far", 1).await);
    assert_eq!(running.finish("So far, so good").await, FinishResult::Stored);
    let soon = running.take_over(Status::Interrupted, 10).await;
    assert!(matches!(soon, Takeover::StillOwned), "the owner may still remove them");
    let ended = running.ended(Status::Interrupted, 60).await;
    assert_eq!((ended.status, ended.content.as_str()), (Status::Complete, "So far, so good"));
    assert_eq!(running.items().await, ["message#0000000000", "message#0000000001", "~profile", "~state"]);
}

#[tokio::test]
async fn delayed_save_does_not_replace_a_longer_chunk() {
    let running = RunningChat::started_at("late", Timestamp::now()).await;
    // Ten characters of 20 bytes, then six of 12.
    assert!(running.save("Добрыйдень", 1).await);
    // The same chunk as the process sent it before, with less text.
    let delayed = Stack::shared().generations().lease(&running.tenant.id, &running.chat, &running.exchange.generation);
    delayed.save("Добрый", running.after(1)).await.expect("DynamoDB responds");
    assert_eq!(running.ended(Status::Interrupted, 60).await.content, "Добрыйдень");
}

#[tokio::test]
async fn generation_of_a_deleted_chat_stores_nothing() {
    let running = RunningChat::started_at("deleted", Timestamp::now()).await;
    assert!(running.save("One", 1).await);
    let chats = Stack::shared().chats();
    assert!(chats.delete(&running.tenant.id, &running.chat, Timestamp::now()).await.expect("DynamoDB responds"));
    assert!(matches!(running.lease.poll_commands().await.expect("DynamoDB responds"), PendingCommands::ChatDeleted));
    let (tenant, chat) = (running.tenant.id.clone(), running.chat.clone());
    let purge = tokio::spawn(async move { chats.purge(&tenant, &chat).await });
    eventually("only the state is left", async || running.items().await == ["~state"]).await;
    assert!(!running.save("two", 2).await);
    assert_eq!(running.finish("One two").await, FinishResult::Lost);
    let removed = running.lease.remove_record(Usage::reported(5, 2), Timestamp::now()).await;
    let removed = removed.expect("DynamoDB responds").expect("the state waits for the owner");
    running.lease.count_usage(&removed).await.expect("DynamoDB responds");
    purge.await.expect("no panic").expect("DynamoDB responds");
    assert_eq!(running.items().await, Vec::<String>::new());
}
