//! The leases of streams, at the tables, with the time given: who may write an answer, and what becomes of one whose
//! streamer is gone.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::future::join_all;
use serde_json::json;
use shared::{
    domain::{
        id::ChatId,
        message::{FinishReason, Message, Status, Usage},
        time::Timestamp,
    },
    storage::{AppendResult, ChatPosition, Exchange, FinishResult, GenerationLease, NewMessage, Outcome, Takeover},
};
use tests::{Stack, Tenant};

/// A chat with an answer that is being streamed.
struct Streaming {
    tenant: Tenant,
    chat: ChatId,
    exchange: Box<Exchange>,
    lease: GenerationLease,
    begun: Timestamp,
}

impl Streaming {
    async fn begun_at(name: &str, begun: Timestamp) -> Self {
        let stack = Stack::shared();
        let tenant = stack.tenant(name).await;
        let chat = ChatId::parse(&tenant.chat("u").await).expect("an id");
        let new = NewMessage { content: "Hello", client_id: None, model: "test" };
        let appended = stack.chats().append(&tenant.id, &chat, ChatPosition::default(), new, begun).await;
        let AppendResult::Stored(exchange) = appended.expect("the table answers") else { panic!("not stored") };
        let lease = stack.chats().lease(&tenant.id, &chat, &exchange.generation);
        Self { tenant, chat, exchange, lease, begun }
    }

    fn after(&self, seconds: u64) -> Timestamp {
        self.begun.plus(Duration::from_secs(seconds))
    }

    async fn save(&self, text: &str, seconds: u64) -> bool {
        self.lease.save(text, self.after(seconds)).await.expect("the table answers")
    }

    async fn take_over(&self, status: Status, seconds: u64) -> Takeover {
        let id = &self.exchange.generation.message_id;
        let chats = Stack::shared().chats();
        chats.take_over(&self.tenant.id, &self.chat, id, status, self.after(seconds)).await.expect("the table answers")
    }

    async fn ended(&self, status: Status, seconds: u64) -> Message {
        match self.take_over(status, seconds).await {
            Takeover::Ended { answer, .. } => answer.message,
            other => panic!("not ended: {other:?}"),
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
        self.lease.finish(&outcome, Timestamp::now()).await.expect("the table answers")
    }

    /// The sort keys of all of the chat's items.
    async fn items(&self) -> Vec<String> {
        let query = Stack::shared().dynamodb().query().table_name("ChatsTable").key_condition_expression("pk = :pk");
        let pk = AttributeValue::S(format!("{}#{}", self.tenant.id, self.chat));
        let output = query.expression_attribute_values(":pk", pk).consistent_read(true).send().await;
        let items = output.expect("the table answers").items.unwrap_or_default();
        items.iter().map(|item| item["sk"].as_s().expect("a text").clone()).collect()
    }

    async fn listed(&self) -> serde_json::Value {
        self.tenant.get(&format!("/api/v1/chats/{}/messages", self.chat)).await.body["messages"][1].clone()
    }
}

#[tokio::test]
async fn a_streamer_that_lost_its_lease_writes_nothing_more() {
    let stream = Streaming::begun_at("fenced", Timestamp::now()).await;
    assert!(stream.save("One ", 1).await && stream.save("two ", 2).await);
    let ended = stream.ended(Status::Interrupted, 2 + 15 + 5).await;
    assert_eq!((ended.status, ended.content.as_str()), (Status::Interrupted, "One two "));
    assert!(!stream.save("three", 23).await);
    assert!(!stream.lease.renew(stream.after(23)).await.expect("the table answers"));
    assert_eq!(stream.finish("One two three").await, FinishResult::Lost);
    let listed = stream.listed().await;
    assert_eq!((&listed["status"], &listed["content"]), (&json!("interrupted"), &json!("One two ")));
    let items = stream.items().await;
    assert!(items.iter().all(|sk| !sk.starts_with("a#")), "the pieces are folded: {items:?}");
}

#[tokio::test]
async fn a_lease_is_left_alone_until_it_has_lapsed_for_a_while() {
    let stream = Streaming::begun_at("renewed", Timestamp::now()).await;
    assert!(matches!(stream.take_over(Status::Interrupted, 19).await, Takeover::StillOwned));
    assert!(stream.lease.renew(stream.after(10)).await.expect("the table answers"));
    assert!(matches!(stream.take_over(Status::Interrupted, 29).await, Takeover::StillOwned));
    assert_eq!(stream.ended(Status::Cancelled, 30).await.finish_reason, Some(FinishReason::Cancelled));
}

#[tokio::test]
async fn of_several_who_take_over_one_ends_the_answer_and_all_see_its_end() {
    let stream = Streaming::begun_at("taken over", Timestamp::now()).await;
    assert!(stream.save("So far", 1).await);
    let ended = join_all((0..8).map(|_| stream.take_over(Status::Interrupted, 60))).await;
    let mut tellers = 0;
    for lapsed in ended {
        // Who comes when it is just over need not know how.
        let Takeover::Ended { answer, record } = lapsed else { continue };
        assert_eq!((answer.message.status, answer.message.content.as_str()), (Status::Interrupted, "So far"));
        tellers += usize::from(record.is_some());
    }
    assert_eq!(tellers, 1, "one of them tells the sockets");
    let chats = Stack::shared().chats();
    let running = chats.running(&stream.tenant.id, &stream.chat, &stream.exchange.generation.message_id).await;
    assert!(running.expect("the table answers").is_none());
}

#[tokio::test]
async fn readers_see_what_is_saved_and_from_the_lapse_on_that_it_was_interrupted() {
    let stream = Streaming::begun_at("read while it streams", Timestamp::now()).await;
    assert!(stream.save("Grüße ", 1).await && stream.save("👩‍👩‍👧", 2).await);
    let listed = stream.listed().await;
    assert_eq!((&listed["status"], &listed["content"]), (&json!("streaming"), &json!("Grüße 👩‍👩‍👧")));

    let long_ago = Timestamp::from_millis(Timestamp::now().as_millis() - 16_000);
    let stream = Streaming::begun_at("read after its streamer died", long_ago).await;
    let listed = stream.listed().await;
    assert_eq!((&listed["status"], &listed["finish_reason"]), (&json!("interrupted"), &json!("error")));
    assert!(stream.save("It lives", 16).await, "reading took nothing away");
}

#[tokio::test]
async fn a_streamer_that_died_before_it_tidied_up_is_tidied_up_after() {
    let stream = Streaming::begun_at("untidy", Timestamp::now()).await;
    assert!(stream.save("So far", 1).await);
    assert_eq!(stream.finish("So far, so good").await, FinishResult::Stored);
    let soon = stream.take_over(Status::Interrupted, 10).await;
    assert!(matches!(soon, Takeover::StillOwned), "it may be just tidying up");
    let ended = stream.ended(Status::Interrupted, 60).await;
    assert_eq!((ended.status, ended.content.as_str()), (Status::Complete, "So far, so good"));
    assert_eq!(stream.items().await, ["m#0000000000", "m#0000000001", "~profile", "~state"]);
}

#[tokio::test]
async fn nothing_of_a_stream_comes_back_into_a_chat_that_was_deleted() {
    let stream = Streaming::begun_at("deleted", Timestamp::now()).await;
    assert!(stream.save("One", 1).await);
    let chats = Stack::shared().chats();
    assert!(chats.delete(&stream.tenant.id, &stream.chat, Timestamp::now()).await.expect("the table answers"));
    assert!(matches!(
        stream.lease.poll_commands().await.expect("the table answers"),
        shared::storage::CommandPoll::Deleted
    ));
    chats.purge(&stream.tenant.id, &stream.chat).await.expect("the table answers");
    assert!(!stream.save("two", 2).await);
    assert_eq!(stream.finish("One two").await, FinishResult::Lost);
    stream.lease.tidy().await.expect("there is nothing to tidy up");
    assert_eq!(stream.items().await, Vec::<String>::new());
}

#[tokio::test]
async fn the_next_message_ends_what_has_lapsed_and_says_so() {
    let stack = Stack::shared();
    let tenant = stack.tenant("lapsed four").await;
    let chat = tenant.chat("u").await;
    let id = ChatId::parse(&chat).expect("an id");
    let long_ago = Timestamp::from_millis(Timestamp::now().as_millis() - 60_000);
    for _ in 0..4 {
        let new = NewMessage { content: "Hello", client_id: None, model: "test" };
        let appended = stack.chats().append(&tenant.id, &id, ChatPosition::default(), new, long_ago).await;
        let AppendResult::Stored(exchange) = appended.expect("the table answers") else { panic!("not stored") };
        let lease = stack.chats().lease(&tenant.id, &id, &exchange.generation);
        assert!(lease.save("What came", long_ago).await.expect("the table answers"));
    }
    let mut socket = tenant.connect(&chat, "u").await;
    assert_eq!(socket.next().await["active_streams"], json!([]), "none of them lives");
    socket.send(&json!({ "content": "Are you there?" })).await;
    let mut ends = Vec::new();
    while ends.len() < 5 {
        ends.push(socket.next_of("message_stream_ended").await);
    }
    let interrupted: Vec<_> = ends.iter().filter(|end| end["finish_reason"] == "error").collect();
    assert_eq!(interrupted.len(), 4);
    assert!(interrupted.iter().all(|end| end["content"] == "What came"));
    let listed = tenant.get(&format!("/api/v1/chats/{chat}/messages")).await.body["messages"].clone();
    let statuses: Vec<_> = (0..10).map(|seq| listed[seq]["status"].as_str().expect("a status")).collect();
    let (said, cut) = ("complete", "interrupted");
    assert_eq!(statuses, [said, cut, said, cut, said, cut, said, cut, said, said]);
}
