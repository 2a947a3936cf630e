//! `ws-message` killed at random times: acknowledged messages are stored once, and every generation ends.
#![expect(clippy::print_stdout, reason = "the counts are printed")]

use std::{collections::HashMap, process::Command, sync::Arc, time::Duration};

use futures_util::future::join_all;
use serde_json::{Value, json};
use tests::{Options, Random, Socket, Stack, Tenant, eventually};
use tokio::{task::spawn_blocking, time::timeout};

/// Chats with a message in flight at each kill.
const CHATS: usize = 3;

const CONTENT: &str = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen";

/// Sends a message until it is acknowledged. Returns its id and how often it was sent.
async fn send_until_acknowledged(socket: &mut Socket, client_id: &str, wait: Duration) -> (Value, u32) {
    let frame = json!({ "content": CONTENT, "client_message_id": client_id });
    for sent in 1.. {
        socket.send(&frame).await;
        let received = timeout(wait, socket.next_of("message_received")).await;
        if let Ok(received) = received {
            assert_eq!(received["client_message_id"], client_id);
            return (received["message_id"].clone(), sent);
        }
    }
    unreachable!("the loop has no end")
}

async fn messages(tenant: &Tenant, chat: &str) -> Vec<Value> {
    let listed = tenant.get(&format!("/api/v1/chats/{chat}/messages")).await.body;
    assert_eq!(listed["total"], listed["messages"].as_array().expect("messages").len());
    listed["messages"].as_array().expect("messages").clone()
}

/// Kills the process `rounds` times, each time with messages in flight; then checks the stored messages.
async fn kill(rounds: usize) {
    let stack = Arc::new(spawn_blocking(|| Stack::start(&Options::binaries())).await.expect("the stack starts"));
    let tenant = stack.tenant("crash").await;
    let mut pid = stack.function_pid("ws-message");
    let mut acknowledged: HashMap<String, Value> = HashMap::new();
    let mut sent = 0;
    let mut random = Random::new(7);
    for _ in 0..rounds {
        let chats = join_all((0..CHATS).map(|_| async {
            let chat = tenant.chat_with(&json!({ "user_id": "u", "config": { "model": "echo@60" } })).await;
            let socket = tenant.connect(&chat, "u").await;
            (chat, socket)
        }))
        .await;
        let delay = Duration::from_millis(random.below(500));
        let killing = async {
            tokio::time::sleep(delay).await;
            let status = Command::new("kill").args(["-9", &pid.to_string()]).status();
            assert!(status.expect("kill runs").success());
            let stack = stack.clone();
            spawn_blocking(move || stack.wait_for_restart("ws-message")).await.expect("the function restarts")
        };
        let sending = join_all(chats.into_iter().map(|(chat, mut socket)| async move {
            let (id, sent) = send_until_acknowledged(&mut socket, "c1", Duration::from_millis(800)).await;
            (chat, id, sent)
        }));
        let (restarted, acks) = tokio::join!(killing, sending);
        pid = restarted;
        for (chat, id, times) in acks {
            sent += times;
            acknowledged.insert(chat, id);
        }
    }

    let mut ends: HashMap<String, usize> = HashMap::new();
    for (chat, id) in &acknowledged {
        eventually("no answer is streaming beyond its lease", async || {
            messages(&tenant, chat).await.iter().all(|message| message["status"] != "streaming")
        })
        .await;
        let stored = messages(&tenant, chat).await;
        assert_eq!(stored.len(), 2, "one message and one answer: {stored:#?}");
        assert_eq!((&stored[0]["message_id"], &stored[0]["seq"]), (id, &json!(0)));
        assert_eq!((&stored[1]["in_reply_to"], &stored[1]["seq"]), (id, &json!(1)));
        let (status, content) =
            (stored[1]["status"].as_str().expect("text"), stored[1]["content"].as_str().expect("text"));
        let whole = format!("You said: {CONTENT}");
        assert!(
            if status == "complete" { content == whole } else { whole.starts_with(content) },
            "{status}: {content}"
        );
        *ends.entry(status.to_owned()).or_default() += 1;
    }
    // Each chat accepts a message, which takes over the lost generation.
    for chats in acknowledged.keys().collect::<Vec<_>>().chunks(10) {
        join_all(chats.iter().map(async |chat| {
            let mut socket = tenant.connect(chat, "u").await;
            let (_, times) = send_until_acknowledged(&mut socket, "c2", Duration::from_secs(10)).await;
            assert_eq!(times, 1);
            socket.next_of("message_stream_started").await;
            eventually("the next answer is complete", async || {
                let stored = messages(&tenant, chat).await;
                stored.len() == 4 && stored[3]["status"] == "complete" && stored[1]["status"] != "streaming"
            })
            .await;
            socket.close().await;
        }))
        .await;
    }
    println!("{rounds} kills: {} messages, sent {sent} times, answers {ends:?}", acknowledged.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_process_loses_and_duplicates_no_message() {
    kill(15).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it takes some minutes; .ci/full runs it"]
async fn killed_process_loses_and_duplicates_no_message_in_a_hundred_kills() {
    kill(100).await;
}
