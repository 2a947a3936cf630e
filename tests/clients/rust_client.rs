//! The Rust client on the running stack, also through a network that breaks.

use std::{
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use chat_api_client::{
    Chat, ChatApi, ChatError, Code, NewChat, Page, Source, State, Update, event::FinishReason, resources::ChatConfig,
};
use shared::domain::limits::Limits;
use tests::{CuttingProxy, Fate, Options, Random, Stack, Tenant, unreached_limits};
use tokio::task::JoinSet;

const CHATS: usize = 10;
const CUTS: usize = 100;

fn words(count: usize) -> String {
    (0..count).map(|n| format!("{n} wörd 東京 👩‍👩‍👧")).collect::<Vec<_>>().join(" ")
}

fn api(tenant: &Tenant) -> ChatApi {
    ChatApi::new(Stack::shared().rest_url(), &tenant.key).expect("an address and a key")
}

async fn new_chat(api: &ChatApi, model: &str) -> String {
    let config = ChatConfig { model: Some(model.to_owned()), ..ChatConfig::default() };
    let chat = NewChat { config: Some(config), ..NewChat::of_user("u") };
    api.create_chat(&chat).await.expect("a chat").chat_id
}

/// Connects with tickets, by way of a proxy if there is one.
fn connect(api: &ChatApi, chat_id: &str, proxy: Option<Arc<CuttingProxy>>) -> Chat {
    let (api, chat_id) = (api.clone(), chat_id.to_owned());
    Chat::connect(Source::tickets(move || {
        let (api, chat_id, proxy) = (api.clone(), chat_id.clone(), proxy.clone());
        async move {
            let url = api.create_ticket(&chat_id).await?.url;
            Ok::<_, ChatError>(proxy.map_or_else(|| url.clone(), |proxy| proxy.through(&url)))
        }
    }))
}

#[tokio::test(flavor = "multi_thread")]
async fn answer_is_stopped_and_regenerated() {
    let api = api(&Stack::shared().tenant("rust client").await);
    let chat_id = new_chat(&api, "echo@20").await;
    let chat = connect(&api, &chat_id, None);
    let mut first = chat.send(&words(100));
    first.next().await.expect("text");
    first.cancel();
    assert_eq!(first.ended().await.expect("an end").finish_reason, FinishReason::Cancelled);
    let mut second = chat.regenerate(&first.message_id().expect("an id"));
    second.next().await.expect("text");
    assert_eq!(second.replaces(), first.message_id());
    second.cancel();
    second.ended().await.expect("an end");
}

#[tokio::test(flavor = "multi_thread")]
async fn other_socket_of_the_user_sees_message_and_answer() {
    let api = api(&Stack::shared().tenant("rust client").await);
    let chat_id = new_chat(&api, "echo@50").await;
    let (here, there) = (connect(&api, &chat_id, None), connect(&api, &chat_id, None));
    let mut updates = there.updates();
    there.opened().await.expect("a connection");
    let answer = here.send(&words(5));
    let (mut message, mut seen) = (None, None);
    while message.is_none() || seen.is_none() {
        match updates.next().await.expect("an update") {
            Update::Message(received) => message = Some(received),
            Update::Answer(started) => seen = Some(started),
            _ => {}
        }
    }
    assert_eq!(message.expect("a message").content, words(5));
    let seen = seen.expect("an answer");
    assert_eq!(seen.ended().await.expect("an end"), answer.ended().await.expect("an end"));
    assert_eq!(seen.message_id(), answer.message_id());
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_have_a_reason() {
    let stack = Stack::shared();
    let tenant = stack.tenant("rust client").await;
    let api = api(&tenant);
    let chat_id = new_chat(&api, "echo").await;
    let unknown = api.get_chat("chat_00000000000000000000000000").await.expect_err("no such chat");
    assert_eq!((unknown.code(), unknown.status()), (&Code::ChatNotFound, Some(404)));
    assert!(!unknown.suggestion().is_empty() && unknown.request_id().is_some());

    let wrong = Chat::connect(Source::key(stack.websocket_url(), "ck_live_wrong", "u", &chat_id));
    assert_eq!(wrong.opened().await.expect_err("a refusal").status(), Some(401));
    let nowhere = ChatApi::new("no address", "key").expect_err("no address");
    assert_eq!((nowhere.code(), nowhere.is_retryable()), (&Code::ConnectionFailed, false));
    let elsewhere = Chat::connect(Source::key(stack.rest_url(), &tenant.key, "u", &chat_id));
    assert_eq!(elsewhere.opened().await.expect_err("no WebSocket").code(), &Code::ConnectionFailed);

    let chat = Chat::connect(Source::key(stack.websocket_url(), &tenant.key, "u", &chat_id));
    let missing = chat.regenerate("msg_00000000000000000000000000").ended().await.expect_err("no such answer");
    assert_eq!(missing.code(), &Code::MessageNotFound);
    assert_eq!(chat.send("Hello").ended().await.expect("the chat goes on").text, "You said: Hello");
    api.delete_chat(&chat_id).await.expect("a deleted chat");
    while chat.state() != State::Closed {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(chat.send("Hello").ended().await.expect_err("it is closed").code(), &Code::Closed);
}

/// Each message is stored once and answered once, and each answer is exact, however often the connections break.
#[tokio::test(flavor = "multi_thread")]
async fn chats_survive_cuts_and_stalls() {
    let stack = Stack::shared();
    let limits = Limits { tickets_per_minute: 100_000, connections: 1_000, ..unreached_limits() };
    let api = api(&stack.tenant_with("rust client", limits).await);
    let mut random = Random::new(11);
    let connections = AtomicUsize::new(0);
    // Handshake and first event have about 500 bytes: some connections break before that.
    let fate = move || {
        let bytes = random.below(6_000) as usize;
        let is_stall = connections.fetch_add(1, Ordering::Relaxed) % 40 == 39;
        Some(if is_stall { Fate::StallAfter(bytes) } else { Fate::CutAfter(bytes) })
    };
    let proxy = Arc::new(CuttingProxy::start(stack.rest_url(), fate).await);
    let mut chats = JoinSet::new();
    for _ in 0..CHATS {
        let (api, proxy) = (api.clone(), proxy.clone());
        chats.spawn(async move {
            let chat_id = new_chat(&api, "echo@200").await;
            let chat = connect(&api, &chat_id, Some(proxy.clone()));
            let mut sent = Vec::new();
            while proxy.breaks() < CUTS {
                let content = format!("{} {}", sent.len(), words(20));
                let mut answer = chat.send(&content);
                let mut text = String::new();
                while let Some(part) = answer.next().await.expect("the answer goes on") {
                    text.push_str(&part);
                }
                assert_eq!(text, format!("You said: {content}"));
                sent.push(content);
            }
            let page = Page { limit: Some(100), ..Page::default() };
            let page = api.list_messages(&chat_id, page).await.expect("messages");
            assert_eq!(page.total as usize, 2 * sent.len());
            let stored: Vec<_> = page.messages.into_iter().map(|message| message.content).collect();
            let expected: Vec<_> = sent.iter().flat_map(|sent| [sent.clone(), format!("You said: {sent}")]).collect();
            assert_eq!(stored, expected[..expected.len().min(100)]);
        });
    }
    chats.join_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn example_prints_an_answer() {
    let Options { workspace, target, .. } = Options::binaries();
    let mut example = Command::new(env!("CARGO"));
    example.args(["run", "--quiet", "-p", "chat-api-client", "--example", "hello", "--", Stack::shared().rest_url()]);
    let output = example.current_dir(workspace).env("CARGO_TARGET_DIR", target).output().expect("cargo runs");
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(stdout, "You said: Hello, are you there?\n", "{stderr}");
}

#[test]
fn readme_shows_the_example() {
    let root = Options::binaries().workspace.join("clients/rust");
    let read = |path: &str| std::fs::read_to_string(root.join(path)).expect("a file");
    let readme = read("README.md");
    let example = read("examples/hello.rs");
    let body = example.split_once("    let api").expect("a body").1;
    let shown = readme.split_once("    let api").expect("a body").1;
    let after = |text: &str| text.split_once('\n').expect("lines").1.to_owned();
    assert!(after(shown).starts_with(&after(body)), "clients/rust/README.md and examples/hello.rs differ");
}
