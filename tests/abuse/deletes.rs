//! Attack: twenty long chats that are deleted at once.
#![expect(clippy::print_stdout, reason = "the figures are printed")]

use std::time::Duration;

use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, WriteRequest};
use futures_util::{StreamExt, future::join_all, stream};
use reqwest::StatusCode;
use tests::Stack;

use super::experiment::{Experiment, Length};

const CHATS: usize = 20;

/// Items that one call writes.
const BATCH: usize = 25;

/// How long an environment works on a deleted chat, and a response that takes long on a slow machine.
const HELD: Duration = Duration::from_secs(5 + 2);

async fn attack(length: Length) {
    let experiment = Experiment::new("deletes", length).await;
    let messages = if length.is_long() { 2_000 } else { 250 };
    let mut chats = Vec::new();
    for _ in 0..CHATS {
        chats.push(experiment.attacker.chat("u").await);
    }
    let fill = chats.iter().map(|chat| fill(experiment.stack, format!("{}#{chat}", experiment.attacker.id), messages));
    join_all(fill).await;
    let delete = async |experiment: &Experiment, end| {
        let delete = async |chat: &String| experiment.attacker.delete(&format!("/api/v1/chats/{chat}")).await;
        for deleted in join_all(chats.iter().map(delete)).await {
            assert_eq!(deleted.status, StatusCode::NO_CONTENT, "{}", deleted.body);
        }
        tokio::time::sleep_until(end).await;
        ((), Vec::new())
    };
    let ((), usage) = experiment.run(delete).await;
    usage.assert_environments("delete-chat", CHATS);
    let longest = usage.invocations("delete-chat").map(|delete| delete.duration()).max().expect("chats are deleted");
    println!("a deleted chat of {messages} messages held an environment for {longest:?} at most");
    assert!(longest <= HELD, "a deleted chat held an environment for {longest:?}");
}

/// Stores items that a purge takes for messages.
async fn fill(stack: &Stack, pk: String, messages: usize) {
    let client = stack.dynamodb();
    let put = |seq: usize| {
        let put = PutRequest::builder()
            .item("pk", AttributeValue::S(pk.clone()))
            .item("sk", AttributeValue::S(format!("message#{seq:010}")));
        WriteRequest::builder().put_request(put.build().expect("an item")).build()
    };
    let batches = stream::iter(0..messages.div_ceil(BATCH)).map(|batch| {
        let puts = (batch * BATCH..(batch + 1) * BATCH).map(put).collect();
        client.batch_write_item().request_items("ChatsTable", puts).send()
    });
    batches.buffer_unordered(2).for_each(async |written| drop(written.expect("DynamoDB responds"))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_chats_hold_environments_for_seconds() {
    attack(Length::SHORT).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it takes a minute; .ci/full runs it"]
async fn deleted_chats_for_a_minute() {
    attack(Length::long()).await;
}
