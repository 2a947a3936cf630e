//! Storage compatibility: items of one release with the code of another, as during an upgrade.
//!
//! `tests/items` contains the items of each release, one of every kind and state. `cargo xtask record-items` writes the file
//! of a new release; it runs `items_of_today_have_what_every_release_reads`.

use std::{collections::BTreeMap, path::Path};

use reqwest::Method;
use serde_json::{Map, Value, json};
use shared::{
    domain::{
        connection::ConnectionGrant,
        id::{ChatId, ConnectionId, MessageId, UserId},
        ticket::TicketText,
        time::Timestamp,
    },
    storage::{AppendResult, ChatPosition, FrameAdmission, RegenerateResult, ResumeCommand},
};
use tests::{Socket, Stack, Tenant, new_message};

const TABLES: [&str; 3] = ["TenantsTable", "ChatsTable", "ConnectionsTable"];

/// Maps with ids as keys: one value of each is compared.
const BY_ID: [&str; 3] = ["generations", "keys", "resumes"];

/// The prefix of attributes whose names end in an id: one of them is compared.
const BY_ID_PREFIX: &str = "slots_";

/// An item in DynamoDB's JSON.
type Item = Map<String, Value>;

/// Sends a raw request to DynamoDB.
async fn dynamodb(stack: &Stack, operation: &str, body: &Value) -> Value {
    let request = reqwest::Client::new()
        .post(stack.dynamodb_endpoint())
        .header("X-Amz-Target", format!("DynamoDB_20120810.{operation}"))
        .header("Authorization", "AWS4-HMAC-SHA256 Credential=local/20200101/us-east-1/dynamodb/aws4_request")
        .header("Content-Type", "application/x-amz-json-1.0")
        .body(body.to_string());
    let response = request.send().await.expect("DynamoDB responds");
    let status = response.status();
    let text = response.text().await.expect("the body arrives");
    assert!(status.is_success(), "{operation}: {text}");
    serde_json::from_str(&text).expect("JSON")
}

/// All items of a tenant, by table.
async fn items_of(stack: &Stack, tenant: &Tenant) -> BTreeMap<&'static str, Vec<Item>> {
    let id = tenant.id.to_string();
    let mut found = BTreeMap::new();
    for table in TABLES {
        let mut items: Vec<Item> = Vec::new();
        let mut start = Value::Null;
        loop {
            let mut scan = json!({ "TableName": table });
            if !start.is_null() {
                scan["ExclusiveStartKey"] = start;
            }
            let mut page = dynamodb(stack, "Scan", &scan).await;
            let page_items: Vec<Item> = serde_json::from_value(page["Items"].take()).expect("items are objects");
            items.extend(page_items.into_iter().filter(|item| json!(item).to_string().contains(&id)));
            start = page["LastEvaluatedKey"].take();
            if start.is_null() {
                break;
            }
        }
        found.insert(table, items);
    }
    found
}

/// The kind and state of an item.
fn kind(item: &Item) -> String {
    let text = |name: &str| item.get(name).and_then(|value| value["S"].as_str()).unwrap_or_default();
    let (pk, sk) = (text("pk"), text("sk"));
    match sk.split_once('#').map_or(sk, |(prefix, _)| prefix) {
        "" => pk.split('#').next().unwrap_or_default().to_owned(),
        "message" => format!("message of {}, {}", text("role"), text("status")),
        "~state" if item.contains_key("deleted_at") => "state of a deleted chat".to_owned(),
        "~state" if item["generations"]["M"].as_object().is_some_and(|running| !running.is_empty()) => {
            "state with streams".to_owned()
        }
        prefix if prefix.starts_with("chat_") => "connection of a tenant".to_owned(),
        prefix => prefix.to_owned(),
    }
}

/// Stores an item of every kind and state. Returns an open socket, and the ids.
async fn store_everything(stack: &Stack, tenant: &Tenant) -> (Socket, Value) {
    let body = json!({
        "user_id": "u", "title": "Grüße", "metadata": { "plan": 1 },
        "config": { "model": "echo@1000", "system_prompt": "Be kind.", "temperature": 0.5, "max_tokens": 500 }
    });
    let create = tenant.request(Method::POST, "/api/v1/chats/").header("Idempotency-Key", "key");
    let created = tenant.send(create.json(&body)).await.body;
    let chat = created["chat_id"].as_str().expect("a chat has an id");
    let mut socket = tenant.connect(chat, "u").await;
    let message = json!({ "content": "東京 🙂", "client_message_id": "mine" });
    socket.send(&message).await;
    socket.until_end().await;
    let ticket = tenant.post(&format!("/api/v1/chats/{chat}/tickets"), &json!({})).await.body;

    let (chats, messages, generations) = (stack.chats(), stack.messages(), stack.generations());
    let now = Timestamp::now();
    let running = tenant.chat("u").await;
    let running = ChatId::parse(&running).expect("a chat id");
    let new = new_message("Go on.");
    let appended =
        messages.append(&tenant.id, &running, ChatPosition::default(), new, now).await.expect("DynamoDB responds");
    let AppendResult::Stored(exchange) = appended else { panic!("not stored") };
    let answer = &exchange.generation.message_id;
    generations
        .lease(&tenant.id, &running, &exchange.generation)
        .save("You said: Go", now)
        .await
        .expect("DynamoDB responds");
    let gone = ConnectionId::from_gateway("gone");
    assert!(generations.request_cancel(&tenant.id, &running, answer, &gone).await.expect("DynamoDB responds"));
    let resume = ResumeCommand::new(gone, 4);
    assert!(generations.request_resume(&tenant.id, &running, answer, &resume).await.expect("DynamoDB responds"));

    let drafted = ChatId::parse(&tenant.chat("u").await).expect("a chat id");
    stack.exchange(tenant, &drafted, "Again?").await;
    let old = answer_in(stack, tenant, &drafted).await;
    let begun = generations
        .regenerate(&tenant.id, &drafted, &old, new_message("").generation, now)
        .await
        .expect("DynamoDB responds");
    let RegenerateResult::Started(draft) = begun else { panic!("{begun:?}") };

    let deleted = ChatId::parse(&tenant.chat("u").await).expect("a chat id");
    stack.exchange(tenant, &deleted, "Goodbye.").await;
    assert!(chats.delete(&tenant.id, &deleted, now).await.expect("DynamoDB responds"));

    let ids = json!({
        "api_key": tenant.key, "ticket": ticket["ticket"], "create": body, "created": created, "message": message,
        "running": running, "drafted": drafted, "deleted": deleted, "answer": answer,
        "draft": draft.message_id,
    });
    (socket, ids)
}

/// The answer in a chat with one exchange.
async fn answer_in(stack: &Stack, tenant: &Tenant, chat: &ChatId) -> shared::domain::message::Message {
    let messages = tenant.get(&format!("/api/v1/chats/{chat}/messages")).await.body;
    let id = MessageId::parse(messages["messages"][1]["message_id"].as_str().expect("an id")).expect("an id");
    let answer = stack.generations().find(&tenant.id, chat, &id, Timestamp::now()).await.expect("DynamoDB responds");
    answer.expect("the answer exists").message
}

/// The recorded items, by version.
fn releases() -> BTreeMap<String, Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("items");
    let files = std::fs::read_dir(folder).expect("the folder exists").map(|file| file.expect("a file").path());
    files
        .map(|path| {
            let version = path.file_stem().expect("a name").to_string_lossy().into_owned();
            let text = std::fs::read_to_string(&path).expect("the file is readable");
            (version, serde_json::from_str(&text).expect("JSON"))
        })
        .collect()
}

/// What the older release misses in the newer value: removed attributes, and other types.
fn missing(place: &str, old: &Value, new: &Value) -> Vec<String> {
    let types = |value: &Value| value.as_object().and_then(|value| value.keys().next().cloned());
    if types(old) != types(new) {
        return vec![format!("{place}: {:?} is now {:?}", types(old), types(new))];
    }
    let (Some(old), Some(new)) = (old["M"].as_object(), new["M"].as_object()) else { return Vec::new() };
    if BY_ID.iter().any(|name| place.ends_with(name)) {
        let pair = old.values().next().zip(new.values().next());
        return pair.map(|(old, new)| missing(&format!("{place}[]"), old, new)).unwrap_or_default();
    }
    missing_in(place, old, new)
}

fn missing_in(place: &str, old: &Item, new: &Item) -> Vec<String> {
    let find = |(name, value): (&String, &Value)| match new.get(name).or_else(|| by_id_prefix(name, new)) {
        Some(found) => missing(&format!("{place}.{name}"), value, found),
        None => vec![format!("{place}.{name} is gone")],
    };
    old.iter().flat_map(find).collect()
}

/// An attribute whose name differs in its id alone.
fn by_id_prefix<'a>(name: &str, new: &'a Item) -> Option<&'a Value> {
    let mut same = new.iter().filter(|(other, _)| name.starts_with(BY_ID_PREFIX) && other.starts_with(BY_ID_PREFIX));
    same.next().map(|(_, value)| value)
}

#[tokio::test]
async fn items_of_today_have_what_every_release_reads() {
    let stack = Stack::shared();
    let tenant = stack.tenant("items of today").await;
    let (_socket, ids) = store_everything(stack, &tenant).await;
    let tables = items_of(stack, &tenant).await;
    let mut today: BTreeMap<String, Vec<Item>> = BTreeMap::new();
    for item in tables.values().flatten() {
        today.entry(kind(item)).or_default().push(item.clone());
    }

    if let Some(path) = std::env::var_os("RECORD_ITEMS") {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
        let record = json!({ "recorded_at": Timestamp::now(), "ids": ids, "tables": tables });
        let text = serde_json::to_string_pretty(&record).expect("JSON") + "\n";
        std::fs::write(path, text).expect("the file is writable");
    }
    let releases = releases();
    assert!(!releases.is_empty());
    for (version, release) in releases {
        let old: Vec<Item> = TABLES
            .iter()
            .flat_map(|table| serde_json::from_value::<Vec<Item>>(release["tables"][table].clone()).expect("items"))
            .collect();
        for item in old {
            let kind = kind(&item);
            let candidates = today
                .get(&kind)
                .unwrap_or_else(|| panic!("{version} has items of a kind that no longer exists: {kind}"));
            // An optional attribute is in one of them.
            let problems = candidates.iter().map(|found| missing_in(&kind, &item, found)).min_by_key(Vec::len);
            assert_eq!(problems, Some(Vec::new()), "{version} misses attributes");
            assert!(
                candidates.iter().all(|found| found["v"] == item["v"]),
                "{version} has another layout version: {kind}"
            );
        }
    }
}

/// Moves all times of a recording, so that its present is now.
fn shift(value: &mut Value, by: i64) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                match field["N"].as_str().and_then(|number| number.parse::<i64>().ok()) {
                    Some(seconds) if name == "ttl" => *field = json!({ "N": (seconds + by / 1000).to_string() }),
                    _ => shift(field, by),
                }
            }
        }
        Value::Array(elements) => elements.iter_mut().for_each(|element| shift(element, by)),
        Value::String(text) if text.len() == "2026-11-23T04:58:02.401Z".len() => {
            if let Ok(time) = serde_json::from_value::<Timestamp>(json!(text)) {
                *value = json!(Timestamp::from_millis(time.as_millis() + by));
            }
        }
        _ => {}
    }
}

async fn load(stack: &Stack, release: &mut Value) -> Tenant {
    let recorded: Timestamp = serde_json::from_value(release["recorded_at"].clone()).expect("a time");
    shift(&mut release["tables"], Timestamp::now().as_millis() - recorded.as_millis());
    for table in TABLES {
        for item in release["tables"][table].as_array().expect("items") {
            dynamodb(stack, "PutItem", &json!({ "TableName": table, "Item": item })).await;
        }
    }
    stack.tenant_of(release["ids"]["api_key"].as_str().expect("a key")).await
}

#[tokio::test]
async fn items_of_every_release_work_with_the_code_of_today() {
    let stack = Stack::shared();
    for (version, mut release) in releases() {
        let tenant = load(stack, &mut release).await;
        let ids = &release["ids"];
        let text = |name: &str| ids[name].as_str().unwrap_or_else(|| panic!("{version}: {name}"));

        // A chat, its messages, and its idempotency record.
        let chat = ids["created"]["chat_id"].as_str().expect("an id");
        let path = format!("/api/v1/chats/{chat}");
        let shown = tenant.get(&path).await.body;
        assert_eq!(shown["message_count"], 2, "{version}: {shown}");
        for field in ["user_id", "title", "metadata", "config"] {
            assert_eq!(shown[field], ids["created"][field], "{version}: {field}");
        }
        let create = tenant.request(Method::POST, "/api/v1/chats/").header("Idempotency-Key", "key");
        assert_eq!(tenant.send(create.json(&ids["create"])).await.body, ids["created"], "{version}");
        let messages = tenant.get(&format!("{path}/messages")).await.body;
        assert_eq!(messages["messages"][0]["content"], ids["message"]["content"], "{version}: {messages}");
        assert_eq!(messages["messages"][1]["status"], "complete", "{version}: {messages}");
        let listed = tenant.get("/api/v1/chats/user/u").await.body;
        assert_eq!((&listed["total"], listed["chats"].as_array().map(Vec::len)), (&json!(3), Some(3)), "{version}");

        // The socket may send, the ticket opens one, and the client_message_id is known.
        let socket = release["tables"]["ConnectionsTable"].as_array().expect("items").iter();
        let socket = socket.filter_map(|item| item["connection_id"]["S"].as_str()).next().expect("a socket");
        let admission = stack.connections().admit_frame(&ConnectionId::from_gateway(socket), Timestamp::now()).await;
        let Ok(FrameAdmission::Allowed(connection)) = admission else { panic!("{version}: {admission:?}") };
        let ConnectionGrant { tenant_id, user_id, chat_id, .. } = connection.grant;
        assert_eq!((tenant_id, user_id), (tenant.id.clone(), UserId::parse("u").expect("a user")));
        assert_eq!(chat_id.as_str(), chat);
        let ticket = TicketText::new(text("ticket"));
        let grant = stack.tickets().redeem(&ticket, Timestamp::now()).await.expect("DynamoDB responds");
        assert_eq!(grant.expect("the ticket is valid").chat_id.as_str(), chat, "{version}");
        let mut socket = tenant.connect(chat, "u").await;
        socket.send(&ids["message"]).await;
        assert_eq!(socket.next_of("message_received").await["seq"], 0, "{version}");
        assert_eq!(socket.say("And now?").await[0]["seq"], 2, "{version}");

        // Running generations show their saved text; a deleted chat does not exist.
        let running = tenant.get(&format!("/api/v1/chats/{}/messages", text("running"))).await.body;
        let answer = &running["messages"][1];
        assert_eq!((&answer["content"], &answer["status"]), (&json!("You said: Go"), &json!("streaming")), "{version}");
        let running = ChatId::parse(text("running")).expect("an id");
        let id = MessageId::parse(text("answer")).expect("an id");
        let record = stack.generations().find_running(&tenant.id, &running, &id).await.expect("DynamoDB responds");
        assert!(record.is_some(), "{version}");
        let drafted = ChatId::parse(text("drafted")).expect("an id");
        let draft = MessageId::parse(text("draft")).expect("an id");
        let found = stack.generations().find(&tenant.id, &drafted, &draft, Timestamp::now()).await;
        assert!(found.expect("DynamoDB responds").expect("the draft").replaces.is_some(), "{version}");
        assert_eq!(tenant.get(&format!("/api/v1/chats/{}", text("deleted"))).await.code(), "CHAT_NOT_FOUND");
    }
}

#[test]
fn removed_and_changed_attributes_are_found() {
    let item = |value: Value| value.as_object().cloned().expect("an object");
    let old =
        item(json!({ "title": { "S": "x" }, "generations": { "M": { "msg_1": { "M": { "seq": { "N": "1" } } } } } }));
    let more = item(json!({ "title": { "S": "y" }, "generations": { "M": {} }, "colour": { "S": "blue" } }));
    assert!(missing_in("chat", &old, &more).is_empty());
    let less = item(json!({ "title": { "NULL": true }, "generations": { "M": { "msg_2": { "M": {} } } } }));
    assert_eq!(missing_in("chat", &old, &less).len(), 2);
    assert_eq!(missing_in("chat", &old, &Item::new()).len(), 2);
    let [one, other] = ["slots_1", "slots_2"].map(|name| item(json!({ name: { "NS": ["1"] } })));
    assert_eq!((missing_in("slots", &one, &other).len(), missing_in("slots", &one, &Item::new()).len()), (0, 1));
}
