//! `chat usage`.

use std::fs;

use serde_json::{Value, json};
use shared::{
    domain::{
        api_key::ApiKey,
        chat::{ChatConfig, NewChat},
        day::Day,
        generation::GenerationRequest,
        id::{MessageId, TenantId, UserId},
        limits::Limits,
        message::Usage,
        tenant::NewTenant,
        time::Timestamp,
    },
    storage::{
        AppendResult, ChatPosition, ChatRepository, CreateResult, GenerationRepository, MessageRepository, NewMessage,
    },
};
use tempfile::TempDir;

use crate::harness::{chat, dynamodb, failure, json, run, tenants, unique};

const CHATS: &str = "ChatsTable";

/// A tenant whose generations ended on chosen days.
struct Tenant {
    name: String,
    id: TenantId,
}

impl Tenant {
    async fn new(name: &str) -> Self {
        let name = unique(name);
        let key = ApiKey::new(&format!("key-{}", MessageId::generate())).hash();
        let new = NewTenant { name: &name, key: &key, limits: Limits::default(), defaults: ChatConfig::default() };
        let id = tenants().create(new, Timestamp::now()).await.expect("DynamoDB responds").expect("the key is new");
        Self { name, id }
    }

    /// Counts a generation of a user that ended on a day.
    async fn used(&self, day: &str, user: &str, model: &str, usage: Usage) {
        let (client, now) = (dynamodb(), format!("{day}T12:00:00Z").parse().expect("a time"));
        let chats = ChatRepository::new(client.clone(), CHATS.to_owned());
        let user_id = UserId::parse(user).expect("a user");
        let new = NewChat { user_id, title: None, metadata: Default::default(), config: ChatConfig::default() };
        let created = chats.create(&self.id, new, None, now).await.expect("DynamoDB responds");
        let CreateResult::Created(chat) = created else { panic!("not created: {created:?}") };
        let generation = GenerationRequest { model, input_tokens: 0, reservation: None };
        let new = NewMessage { content: "Hello", client_id: None, generation };
        let messages = MessageRepository::new(client.clone(), CHATS.to_owned());
        let appended = messages.append(&self.id, &chat.chat_id, ChatPosition::default(), new, now).await;
        let AppendResult::Stored(exchange) = appended.expect("DynamoDB responds") else { panic!("not stored") };
        let generations = GenerationRepository::new(client, CHATS.to_owned());
        let lease = generations.lease(&self.id, &chat.chat_id, &exchange.generation);
        let removed = lease.remove_record(usage, now).await.expect("DynamoDB responds").expect("it runs");
        lease.count_usage(&removed).await.expect("DynamoDB responds");
    }
}

/// A file of prices.
fn prices(folder: &TempDir, prices: &str) -> String {
    let file = folder.path().join("prices.json");
    fs::write(&file, prices).expect("written");
    file.to_str().expect("UTF-8").to_owned()
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

fn counts(generations: u64, input: u64, output: u64) -> Value {
    json!({
        "messages": generations, "generations": generations, "estimated_generations": 0,
        "input_tokens": input, "output_tokens": output,
    })
}

fn with(mut object: Value, name: &str, value: impl Into<Value>) -> Value {
    object[name] = value.into();
    object
}

/// What the command prints for people, without colours.
fn text(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// The cells of a line of a table that begins with this text.
fn cells<'a>(text: &'a str, begin: &str) -> Vec<&'a str> {
    let line = text.lines().find(|line| line.starts_with(begin)).unwrap_or_else(|| panic!("no {begin}: {text}"));
    line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect()
}

/// A day that is this many days ago. Usage is kept for 400.
fn ago(days: u32) -> String {
    Day::of(Timestamp::now()).minus(days).to_string()
}

#[tokio::test]
async fn usage_of_a_tenant_has_the_shape_of_the_rest_response() {
    let tenant = Tenant::new("Usage").await;
    let [before, first, last, after] = [60, 59, 30, 29].map(ago);
    let days = ["--from", &first, "--to", &last];
    tenant.used(&first, "ann", "a", Usage::reported(1000, 20)).await;
    tenant.used(&last, "bob", "a", Usage::reported(300, 4)).await;
    tenant.used(&last, "ann", "b", Usage::reported(2_000_000, 50)).await;
    tenant.used(&before, "ann", "a", Usage::reported(7, 7)).await;
    tenant.used(&after, "ann", "a", Usage::reported(7, 7)).await;

    let usage = |group: &[&str]| json(&[&["usage", &tenant.name], &days[..], group].concat());
    let expected = |group: &str, groups: Value| {
        json!({
            "tenant_id": tenant.id, "name": tenant.name, "from": first, "to": last, "group_by": group,
            "total": counts(3, 2_001_300, 74), "usage": groups,
        })
    };
    let by_day =
        [with(counts(1, 1000, 20), "day", first.as_str()), with(counts(2, 2_000_300, 54), "day", last.as_str())];
    assert_eq!(usage(&[]), expected("day", json!(by_day)));
    let models = [with(counts(1, 2_000_000, 50), "model", "b"), with(counts(2, 1300, 24), "model", "a")];
    assert_eq!(usage(&["--group-by", "model"]), expected("model", json!(models)));
    let users = [with(counts(2, 2_001_000, 70), "user_id", "ann"), with(counts(1, 300, 4), "user_id", "bob")];
    assert_eq!(usage(&["--group-by", "user"]), expected("user", json!(users)));

    let shown = text(&[&["usage", tenant.id.as_str()], &days[..]].concat());
    assert!(shown.starts_with(&format!("Usage of {} from {first} to {last}, in UTC\n\n", tenant.name)), "{shown}");
    assert_eq!(cells(&shown, "DAY"), ["DAY", "MESSAGES", "GENERATIONS", "INPUT TOKENS", "OUTPUT TOKENS"]);
    assert_eq!(cells(&shown, &last), [last.as_str(), "2", "2", "2,000,300", "54"]);
    assert_eq!(cells(&shown, "Total"), ["Total", "3", "3", "2,001,300", "74"]);
    let shown = text(&[&["usage", &tenant.name, "--group-by", "user"], &days[..]].concat());
    assert_eq!(cells(&shown, "bob"), ["bob", "1", "1", "300", "4"]);
}

#[tokio::test]
async fn costs_follow_the_prices_and_models_without_one_are_named() {
    let tenant = Tenant::new("Costs").await;
    let [first, second, third] = [42, 41, 40].map(ago);
    let days = ["--from", &first, "--to", &third];
    tenant.used(&first, "u", "gpt-4.1-nano", Usage::reported(1_000_000, 1_000_000)).await;
    tenant.used(&first, "u", "unknown-1", Usage::reported(5, 5)).await;
    tenant.used(&second, "u", "gpt-5-mini", Usage::reported(1_000, 3)).await;
    tenant.used(&third, "u", "unknown\u{1b}[2J", Usage::reported(5, 5)).await;
    let folder = folder();
    let file =
        prices(&folder, r#"{"gpt-4.1-nano": {"input": 0.1, "output": 0.2}, "gpt-5*": {"input": 0.25, "output": 2}}"#);
    let priced = |group| [&["usage", &tenant.name, "--group-by", group, "--prices", &file], &days[..]].concat();
    let costs = |usage: &Value| -> Vec<(String, Value)> {
        let groups = usage["usage"].as_array().expect("a list").iter();
        let name = |group: &Value| group["model"].as_str().or(group["day"].as_str()).expect("a name").to_owned();
        groups.map(|group| (name(group), group["cost"].clone())).collect()
    };
    let cost = |name: &str, cost: Value| (name.to_owned(), cost);

    let mut by_model = json(&priced("model"));
    assert_eq!(by_model["total"]["cost"], 0.3003, "0.1 + 0.2 + 0.00025 + 0.000006 = 0.300256");
    assert_eq!(by_model["unpriced_models"], json!(["unknown\u{1b}[2J", "unknown-1"]));
    by_model["usage"].as_array_mut().expect("a list").sort_by_key(|group| group["model"].to_string());
    let expected = [
        cost("gpt-4.1-nano", json!(0.3)),
        cost("gpt-5-mini", json!(0.0003)),
        cost("unknown-1", Value::Null),
        cost("unknown\u{1b}[2J", Value::Null),
    ];
    assert_eq!(costs(&by_model), expected);
    let by_day = json(&priced("day"));
    let expected = [cost(&first, json!(0.3)), cost(&second, json!(0.0003)), cost(&third, Value::Null)];
    assert_eq!(costs(&by_day), expected, "a day costs what its priced models cost");
    assert_eq!(by_day["total"], by_model["total"]);

    let shown = text(&priced("model"));
    assert_eq!(cells(&shown, "MODEL").last(), Some(&"COST"));
    assert_eq!(cells(&shown, "gpt-4.1-nano"), ["gpt-4.1-nano", "1", "1", "1,000,000", "1,000,000", "0.3000"]);
    assert_eq!(cells(&shown, "unknown-1"), ["unknown-1", "1", "1", "5", "5", "–"]);
    assert_eq!(cells(&shown, "Total").last(), Some(&"0.3003"));
    assert!(shown.contains("! No price for unknown\u{fffd}[2J, unknown-1: the costs are without them\n"), "{shown}");
    assert!(!shown.contains('\u{1b}'), "a model's name controls no terminal: {shown}");

    let all = prices(&folder, r#"{"*": {"input": 1, "output": 1}}"#);
    let shown = text(&[&["usage", &tenant.name, "--prices", &all], &days[..]].concat());
    assert!(!shown.contains("No price"), "{shown}");
}

#[tokio::test]
async fn all_tenants_are_listed_by_tokens_with_their_sum() {
    let (small, large, none) = (Tenant::new("Small").await, Tenant::new("Large").await, Tenant::new("None").await);
    // No other test uses these days.
    let [first, last] = [230, 200].map(ago);
    let days = ["--from", &first, "--to", &last];
    small.used(&first, "u", "a", Usage::reported(1, 1000)).await;
    large.used(&last, "u", "a", Usage::reported(10_000, 1)).await;
    large.used(&last, "v", "b", Usage::reported(1, 1)).await;
    let folder = folder();
    let file = prices(&folder, r#"{"a": {"input": 100, "output": 100}}"#);

    let listed = json(&[&["usage", "--group-by", "model"], &days[..]].concat());
    assert_eq!((&listed["from"], &listed["to"]), (&json!(first), &json!(last)));
    assert_eq!(listed["total"], counts(3, 10_002, 1002));
    let all = listed["tenants"].as_array().expect("a list");
    let of = |tenant: &Tenant| all.iter().position(|listed| listed["tenant_id"] == tenant.id.as_str()).expect("listed");
    assert_eq!((of(&large), of(&small)), (0, 1), "most tokens first");
    assert!(of(&none) > 1);
    for tenant in [&small, &large, &none] {
        let alone = json(&[&["usage", &tenant.name, "--group-by", "model"], &days[..]].concat());
        assert_eq!(all[of(tenant)], alone, "as for one tenant");
    }

    let priced = json(&[&["usage", "--prices", &file], &days[..]].concat());
    assert_eq!((&priced["total"]["cost"], &priced["unpriced_models"]), (&json!(1.1002), &json!(["b"])));
    let costs: Vec<&Value> =
        [&large, &small, &none].map(|tenant| &priced["tenants"][of(tenant)]["total"]["cost"]).into();
    assert_eq!(costs, [&json!(1.0001), &json!(0.1001), &json!(0.0)], "no usage costs nothing");

    let shown = text(&[&["usage", "--prices", &file], &days[..]].concat());
    assert!(shown.starts_with(&format!("Usage from {first} to {last}, in UTC\n\nTENANT ")), "{shown}");
    let expected = [large.id.as_str(), &large.name, "2", "2", "10,001", "2", "1.0001"];
    assert_eq!(cells(&shown, large.id.as_str()), expected);
    assert_eq!(cells(&shown, none.id.as_str()), [none.id.as_str(), &none.name, "0", "0", "0", "0", "0.0000"]);
    assert_eq!(cells(&shown, "Total"), ["Total", "3", "3", "10,002", "1,002", "1.1002"]);
}

#[tokio::test]
async fn month_so_far_by_day_is_the_default() {
    let tenant = Tenant::new("Default").await;
    let usage = json(&["usage", &tenant.name]);
    let today = Day::of(Timestamp::now());
    let expected = json!({
        "tenant_id": tenant.id, "name": tenant.name, "from": today.first_of_month(), "to": today, "group_by": "day",
        "total": counts(0, 0, 0), "usage": [],
    });
    assert_eq!(usage, expected, "and no costs without prices");
    assert_eq!(json(&["usage", &tenant.name, "--to", "2026-02-10"])["from"], "2026-02-01");
    let shown = text(&["usage", &tenant.name]);
    assert!(shown.starts_with(&format!("{} has no usage from ", tenant.name)), "{shown}");
}

#[tokio::test]
async fn days_that_are_not_kept_are_pointed_out() {
    let tenant = Tenant::new("Old").await;
    let today = Day::of(Timestamp::now());
    let warned = |first: Day| {
        let [from, to] = [first, first.plus(1)].map(|day| day.to_string());
        text(&["usage", &tenant.name, "--from", &from, "--to", &to]).contains("it is kept for 400 days")
    };
    assert!(warned(today.minus(401)));
    assert!(!warned(today.minus(399)));
}

#[test]
fn prices_of_users_are_refused() {
    let folder = folder();
    let file = prices(&folder, "{}");
    for tenant in [&["x"][..], &[]] {
        let refused = failure(&[&["usage"], tenant, &["--group-by", "user", "--prices", &file]].concat());
        assert!(
            refused.starts_with("users have no costs: their counts do not say which models they used"),
            "{refused}"
        );
    }
}

#[test]
fn invalid_prices_are_refused_with_the_entry() {
    let folder = folder();
    let refused = |text: &str| failure(&["usage", "--prices", &prices(&folder, text)]);
    let entry = refused(r#"{"gpt-5*": {"input": 1, "output": "2"}}"#);
    assert!(entry.ends_with(
        r#"the entry "gpt-5*": `output` is "2": expected a number from 0 to 1000000000 with at most 6 decimals"#
    ));
    assert!(entry.starts_with("the prices in /") && entry.contains("prices.json are not valid"), "{entry}");
    assert!(refused("no JSON").contains("line 1 column"));
    let missing = failure(&["usage", "--prices", "/nonexistent/prices.json"]);
    assert!(missing.starts_with("failed to read the prices in /nonexistent/prices.json: "), "{missing}");
}

#[test]
fn days_and_groups_out_of_bounds_are_refused() {
    let refused = failure(&["usage", "--from", "2026-03-16", "--to", "2026-03-15"]);
    assert_eq!(refused, "--from is 2026-03-16: expected a day up to 365 days before `to`, which is 2026-03-15");
    for arguments in [["--from", "2026-02-30"], ["--to", "today"], ["--group-by", "chat"]] {
        let output = chat().args(["usage"]).args(arguments).output().expect("chat starts");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
    }
    assert_eq!(
        failure(&["usage", "unknown"]),
        "there is no tenant \"unknown\": list the tenants with `cargo chat tenant list`"
    );
}
