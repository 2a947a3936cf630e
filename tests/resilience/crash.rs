//! `ws-message` killed at random times: acknowledged messages are stored once, every generation ends, and its usage is
//! counted once.
#![expect(clippy::print_stdout, reason = "the counts are printed")]

use std::{collections::HashMap, process::Command, sync::Arc, time::Duration};

use futures_util::future::join_all;
use serde_json::{Value, json};
use shared::domain::budget::BudgetOverrides;
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

/// Runs maintenance on chats now, instead of 15 minutes after their last message.
async fn maintain(stack: &Stack, tenant: &Tenant, chats: &[&String]) {
    join_all(chats.iter().map(|chat| stack.make_chat_due(tenant, chat))).await;
    stack.invoke("maintenance", &json!({})).await;
}

/// Waits until every answer of these chats has its usage, and returns the answers. Maintenance ends what no later message
/// has taken over, and counts what was left by a process that died between the end of a generation and its count.
async fn answers_with_usage(stack: &Stack, tenant: &Tenant, chats: &[&String]) -> Vec<Value> {
    let mut answers = vec![];
    eventually("every answer has its usage", async || {
        maintain(stack, tenant, chats).await;
        answers = join_all(chats.iter().map(|chat| messages(tenant, chat))).await.concat();
        answers.retain(|message| message["role"] == "assistant");
        answers.iter().all(|answer| answer["usage"].is_object())
    })
    .await;
    answers
}

/// Waits until the tenant's usage equals the sum over its stored messages, and returns it.
async fn usage_once_all_is_counted(stack: &Stack, tenant: &Tenant, chats: &HashMap<String, Value>) -> Value {
    let mut stored = [0; 5];
    for chats in chats.keys().collect::<Vec<_>>().chunks(50) {
        for answer in answers_with_usage(stack, tenant, chats).await {
            let number = |name: &str| answer["usage"][name].as_u64().expect("a number");
            let estimated = u64::from(answer["usage"]["estimated"] == true);
            let used = [1, 1, estimated, number("input_tokens"), number("output_tokens")];
            stored = std::array::from_fn(|place| stored[place] + used[place]);
        }
    }
    let [messages, generations, estimated_generations, input_tokens, output_tokens] = stored;
    let expected = json!({
        "messages": messages, "generations": generations, "estimated_generations": estimated_generations,
        "input_tokens": input_tokens, "output_tokens": output_tokens,
    });
    eventually("usage is the sum over the stored messages", async || {
        tenant.get("/api/v1/usage").await.body["total"] == expected
    })
    .await;
    expected
}

/// Kills the process `rounds` times, each time with messages in flight; then checks the stored messages. The tenant may run
/// this many `generations` at once.
async fn kill(rounds: usize, generations: u32) {
    let stack = Arc::new(spawn_blocking(|| Stack::start(&Options::binaries())).await.expect("the stack starts"));
    let tenant = stack.tenant("crash").await;
    // Killed processes reach it: a refusal takes their generations over, as soon as their leases have expired.
    let limits = BudgetOverrides { generations: Some(generations), ..BudgetOverrides::default() };
    stack.budgets().set_limits(&tenant.id, limits).await.expect("DynamoDB responds");
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
    let counted = usage_once_all_is_counted(&stack, &tenant, &acknowledged).await;
    println!("counted {counted}");
    println!("{rounds} kills: {} messages, sent {sent} times, answers {ends:?}", acknowledged.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_process_loses_and_duplicates_no_message() {
    kill(15, 20).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it takes some minutes; .ci/full runs it"]
async fn killed_process_loses_and_duplicates_no_message_in_two_hundred_kills() {
    kill(200, 50).await;
}
