//! `ws-message` killed at any moment: what was acknowledged is there, once; what was begun comes to an end.
#![expect(clippy::print_stdout, reason = "the counts are printed")]

use std::{collections::HashMap, process::Command, sync::Arc, time::Duration};

use futures_util::future::join_all;
use serde_json::{Value, json};
use tests::{Options, Socket, Stack, Tenant, eventually};
use tokio::{task::spawn_blocking, time::timeout};

/// How many chats are in the middle of something when the process is killed.
const CHATS: usize = 3;

const CONTENT: &str = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen";

/// Sends a message until it is acknowledged. Returns its id and how often it was sent.
async fn insist(socket: &mut Socket, client_id: &str) -> (Value, u32) {
    let frame = json!({ "content": CONTENT, "client_message_id": client_id });
    for sent in 1.. {
        socket.send(&frame).await;
        let received = timeout(Duration::from_secs(2), socket.next_of("message_received")).await;
        if let Ok(received) = received {
            assert_eq!(received["client_message_id"], client_id);
            return (received["message_id"].clone(), sent);
        }
    }
    unreachable!("it is sent until it is acknowledged")
}

async fn messages(tenant: &Tenant, chat: &str) -> Vec<Value> {
    let listed = tenant.get(&format!("/api/v1/chats/{chat}/messages")).await.body;
    assert_eq!(listed["total"], listed["messages"].as_array().expect("messages").len());
    listed["messages"].as_array().expect("messages").clone()
}

/// Kills the process `rounds` times, each time with messages on their way, then looks at what is left.
async fn kill(rounds: usize) {
    let stack = Arc::new(spawn_blocking(|| Stack::start(&Options::binaries())).await.expect("the stack starts"));
    let tenant = stack.tenant("crash").await;
    let mut pid = stack.function_pid("ws-message");
    let mut acknowledged: HashMap<String, Value> = HashMap::new();
    let mut sent = 0;
    let mut luck = 7_u32;
    for _ in 0..rounds {
        let chats = join_all((0..CHATS).map(|_| async {
            let chat = tenant.chat_with(&json!({ "user_id": "u", "config": { "model": "echo@60" } })).await;
            let socket = tenant.connect(&chat, "u").await;
            (chat, socket)
        }))
        .await;
        luck = luck.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let moment = Duration::from_millis(u64::from(luck >> 16) % 500);
        let killing = async {
            tokio::time::sleep(moment).await;
            let status = Command::new("kill").args(["-9", &pid.to_string()]).status();
            assert!(status.expect("kill runs").success());
            let stack = stack.clone();
            spawn_blocking(move || stack.wait_for_restart("ws-message")).await.expect("it is started again")
        };
        let insisting = join_all(chats.into_iter().map(|(chat, mut socket)| async move {
            let (id, sent) = insist(&mut socket, "c1").await;
            (chat, id, sent)
        }));
        let (restarted, acks) = tokio::join!(killing, insisting);
        pid = restarted;
        for (chat, id, times) in acks {
            sent += times;
            acknowledged.insert(chat, id);
        }
    }

    let mut ends: HashMap<String, usize> = HashMap::new();
    for (chat, id) in &acknowledged {
        eventually("no answer is shown as streaming beyond its lease", async || {
            messages(&tenant, chat).await.iter().all(|message| message["status"] != "streaming")
        })
        .await;
        let left = messages(&tenant, chat).await;
        assert_eq!(left.len(), 2, "one message and one answer: {left:#?}");
        assert_eq!((&left[0]["message_id"], &left[0]["seq"]), (id, &json!(0)));
        assert_eq!((&left[1]["in_reply_to"], &left[1]["seq"]), (id, &json!(1)));
        let (status, said) = (left[1]["status"].as_str().expect("text"), left[1]["content"].as_str().expect("text"));
        let whole = format!("You said: {CONTENT}");
        assert!(if status == "complete" { said == whole } else { whole.starts_with(said) }, "{status}: {said}");
        *ends.entry(status.to_owned()).or_default() += 1;
    }
    // Each chat goes on, and what was cut off is now ended for good.
    for chats in acknowledged.keys().collect::<Vec<_>>().chunks(10) {
        join_all(chats.iter().map(async |chat| {
            let mut socket = tenant.connect(chat, "u").await;
            let (_, times) = insist(&mut socket, "c2").await;
            assert_eq!(times, 1);
            socket.next_of("message_stream_started").await;
            eventually("the next answer is whole", async || {
                let left = messages(&tenant, chat).await;
                left.len() == 4 && left[3]["status"] == "complete" && left[1]["status"] != "streaming"
            })
            .await;
            socket.close().await;
        }))
        .await;
    }
    println!("killed {rounds} times: {} messages, sent {sent} times, their answers {ends:?}", acknowledged.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_killed_at_any_moment_loses_and_doubles_nothing() {
    kill(15).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it takes some minutes; .ci/full runs it"]
async fn a_process_is_killed_a_hundred_times() {
    kill(100).await;
}
