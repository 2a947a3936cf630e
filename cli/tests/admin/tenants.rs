//! `chat tenant`.

use serde_json::json;

use crate::harness::{chat, failure, json, json_with, message, result, run, serve, unique};

#[test]
fn new_tenant_has_a_key_and_the_default_limits() {
    let name = unique("Acme");
    let created = json(&["tenant", "create", &name]);
    assert_eq!(created["name"], name.as_str());
    let limits = json!({"rest_per_minute": 100, "tickets_per_minute": 600, "connections": 50, "generations": null,
                        "messages_per_minute": null, "connects_per_minute": null, "connections_per_chat": null,
                        "tokens_per_day": null, "tokens_per_month": null});
    assert_eq!(created["limits"], limits, "null is the deployment's");
    assert_eq!(created["status"], "active");
    assert_eq!((&created["connections"], &created["generations"]), (&json!(0), &json!(0)));
    assert_eq!(created["defaults"], json!({"agent": null, "model": null, "temperature": null, "max_tokens": null}));
    assert!(created["api_key"].as_str().is_some_and(|key| key.starts_with("ck_live_")));
    assert_eq!(created["key_id"], created["keys"][0]["key_id"]);

    let mut shown = json(&["tenant", "show", &name]);
    assert_eq!(shown, json(&["tenant", "show", created["tenant_id"].as_str().expect("an id")]), "by name and by id");
    shown["api_key"] = created["api_key"].clone();
    shown["key_id"] = created["key_id"].clone();
    assert_eq!(shown, created, "only the key is not shown again");

    let listed = json(&["tenant", "list"]);
    let listed = listed["tenants"].as_array().expect("a list");
    assert!(listed.iter().any(|tenant| tenant["tenant_id"] == created["tenant_id"]));
    assert!(!json(&["tenant", "list"]).to_string().contains("ck_live_"));
}

#[test]
fn tenant_is_created_with_the_given_limits_and_defaults() {
    let name = unique("Wanted");
    let limits = [
        "--rest-per-minute",
        "7",
        "--tickets-per-minute",
        "0",
        "--connections",
        "1000",
        "--generations",
        "5",
        "--tokens-per-month",
        "5000000",
    ];
    let connects = ["--connects-per-minute", "8", "--connections-per-chat", "9"];
    let defaults = ["--agent", "echo", "--model", "echo@20", "--temperature", "0.5", "--max-tokens", "99"];
    let arguments = [&["tenant", "create", &name, "--environment", "test"], &limits[..], &connects, &defaults];
    let created = json(&arguments.concat());
    assert!(created["api_key"].as_str().is_some_and(|key| key.starts_with("ck_test_")));
    let limits = json!({"rest_per_minute": 7, "tickets_per_minute": 0, "connections": 1000, "generations": 5,
                        "messages_per_minute": null, "connects_per_minute": 8, "connections_per_chat": 9,
                        "tokens_per_day": null, "tokens_per_month": 5_000_000});
    assert_eq!(created["limits"], limits);
    let expected = json!({"agent": "echo", "model": "echo@20", "temperature": 0.5, "max_tokens": 99});
    assert_eq!(created["defaults"], expected);
}

#[test]
fn limits_change_independently() {
    let name = unique("Limits");
    json(&["tenant", "create", &name, "--rest-per-minute", "7"]);
    json(&["tenant", "set-limits", &name, "--connections", "3"]);
    json(&["tenant", "set-limits", &name, "--generations", "2"]);
    json(&["tenant", "set-limits", &name, "--connects-per-minute", "4"]);
    json(&["tenant", "set-limits", &name, "--connections-per-chat", "1"]);
    json(&["tenant", "set-limits", &name, "--tokens-per-day", "1000"]);
    json(&["tenant", "set-limits", &name, "--tokens-per-month", "none"]);
    let changed = json(&["tenant", "set-limits", &name, "--messages-per-minute", "9"]);
    let limits = json!({"rest_per_minute": 7, "tickets_per_minute": 600, "connections": 3, "generations": 2,
                        "messages_per_minute": 9, "connects_per_minute": 4, "connections_per_chat": 1,
                        "tokens_per_day": 1000, "tokens_per_month": "none"});
    assert_eq!(changed["limits"], limits);
    assert_eq!(json(&["tenant", "show", &name]), changed);
    let text = String::from_utf8(run(&["tenant", "show", &name]).stdout).expect("UTF-8");
    assert!(
        text.contains(
            "3 connections, 1 of them in one chat, 4 connects a minute, 2 generations, 9 messages a minute, \
             1000 tokens a day, no quota of tokens a month"
        ),
        "{text}"
    );
    assert!(text.contains("0 today, 0 this month"), "{text}");
    assert!(failure(&["tenant", "set-limits", &name]).starts_with("there is nothing to change"));
    let refused = run(&["tenant", "set-limits", &name, "--tokens-per-day", "many"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("a whole number of tokens, or `none`"), "{refused:?}");
}

#[test]
fn agents_and_models_change_independently() {
    let name = unique("Models");
    let created = json(&["tenant", "create", &name]);
    assert_eq!((&created["allowed_agents"], &created["allowed_models"]), (&json!(null), &json!(null)));
    json(&["tenant", "set-models", &name, "--models", "gpt-4.1-nano, gpt-5*"]);
    let changed = json(&["tenant", "set-models", &name, "--agents", "openai,bedrock"]);
    assert_eq!(changed["allowed_agents"], json!(["openai", "bedrock"]));
    assert_eq!(changed["allowed_models"], json!(["gpt-4.1-nano", "gpt-5*"]));
    assert_eq!(json(&["tenant", "show", &name]), changed);
    let text = String::from_utf8(run(&["tenant", "show", &name]).stdout).expect("UTF-8");
    assert!(
        text.contains("the agents openai, bedrock and the models gpt-4.1-nano, gpt-5* of the deployment"),
        "{text}"
    );
    let cleared = json(&["tenant", "set-models", &name, "--models", "all", "--agents", "echo"]);
    assert_eq!((&cleared["allowed_agents"], &cleared["allowed_models"]), (&json!(["echo"]), &json!(null)));
    assert!(failure(&["tenant", "set-models", &name]).starts_with("there is nothing to change"));
}

#[test]
fn arguments_out_of_bounds_exit_with_code_2() {
    for arguments in [
        &["tenant", "set-limits", "x", "--connections", "1001"][..],
        &["tenant", "set-limits", "x", "--generations", "1001"],
        &["tenant", "set-limits", "x", "--connections-per-chat", "1001"],
        &["tenant", "set-limits", "x", "--connects-per-minute", "-1"],
        &["tenant", "create", "x", "--rest-per-minute", "-1"],
        &["tenant", "set-models", "x", "--agents", "gemini"],
        &["tenant", "create", "x", "--agent", "unknown"],
        &["tenant", "create", "x", "--max-tokens", "0"],
        &["tenant", "create", "x", "--environment", "Live"],
        &["tenant", "create", ""],
        &["tenant", "list", "--profile", "x"],
        &["tenant", "set-limits", "x", "--retention-days", "36501"],
        &["user", "erase", "x", "not a user"],
        &["key", "create", "x", "--expires-in", "1y"],
        &["key", "create", "x", "--expires-in", "1d", "--expires-at", "2099-01-01T00:00:00Z"],
        &["key", "create", "x", "--import", "--environment", "test"],
    ] {
        let output = chat().args(arguments).output().expect("chat starts");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
    }
}

#[test]
fn tenant_is_suspended_and_resumed() {
    let name = unique("Suspended");
    json(&["tenant", "create", &name]);
    let suspended = json(&["tenant", "suspend", &name]);
    assert_eq!(suspended["status"], "suspended");
    assert_eq!(suspended["sockets"], json!({"closed": 0, "left": 0, "problem": null}));
    assert_eq!(json(&["tenant", "resume", &name])["status"], "active");
}

#[test]
fn retention_is_set_changed_and_removed() {
    let name = unique("Retention");
    let kept = |arguments: &[&str]| json(arguments)["retention_days"].clone();
    assert_eq!(kept(&["tenant", "create", &name]), json!(null));
    assert_eq!(kept(&["tenant", "set-limits", &name, "--retention-days", "90"]), 90);
    assert_eq!(kept(&["tenant", "set-limits", &name, "--connections", "7"]), 90, "other limits do not change it");
    let text = String::from_utf8(run(&["tenant", "show", &name]).stdout).expect("UTF-8");
    assert!(text.contains("Chats kept") && text.contains("90 days after their last message"), "{text}");
    for none in ["0", "none"] {
        json(&["tenant", "set-limits", &name, "--retention-days", "1"]);
        assert_eq!(kept(&["tenant", "set-limits", &name, "--retention-days", none]), json!(null));
    }
    assert_eq!(kept(&["tenant", "create", &unique("Retaining"), "--retention-days", "7"]), 7);
}

#[test]
fn new_key_is_printed_even_if_a_later_step_fails() {
    let only_creates_tenants = serve(|_, body| {
        if body.contains("TransactItems") {
            return (200, "{}".to_owned());
        }
        (400, json!({"__type": "com.amazon.coral.service#AccessDeniedException"}).to_string())
    });
    let create = ["tenant", "create", "Half", "--retention-days", "7", "--json"];
    let output = chat().args(create).args(["--dynamodb-endpoint", &only_creates_tenants]).output();
    let failed = result(&output.expect("chat starts")).expect_err("the retention is not set");
    assert!(failed["api_key"].as_str().is_some_and(|key| key.starts_with("ck_live_")), "{failed}");
    assert!(failed["tenant_id"].is_string(), "{failed}");
    assert!(message(Err(failed)).starts_with("the tenant was created, but its limits and retention may not be set: "));
}

#[test]
fn ambiguous_name_lists_the_ids() {
    let name = unique("Twin");
    let ids = [0, 1].map(|_| json(&["tenant", "create", &name])["tenant_id"].clone());
    let failure = failure(&["tenant", "suspend", &name]);
    assert!(ids.iter().all(|id| failure.contains(id.as_str().expect("an id"))), "{failure}");
}

#[test]
fn unknown_tenant_is_reported() {
    let failure = failure(&["tenant", "show", "unknown"]);
    assert_eq!(failure, "there is no tenant \"unknown\": list the tenants with `cargo chat tenant list`");
}

#[test]
fn unreachable_database_is_reported() {
    let output = chat().args(["tenant", "list", "--json", "--dynamodb-endpoint", "http://127.0.0.1:1"]).output();
    let failure = message(result(&output.expect("chat starts")));
    assert!(failure.starts_with("failed to reach DynamoDB at http://127.0.0.1:1 ("), "{failure}");
    assert!(failure.contains("start `cargo chat dev`"), "{failure}");
}

#[test]
fn people_see_the_key_and_no_json() {
    let name = unique("People");
    let created = run(&["tenant", "create", &name]);
    let text = String::from_utf8(created.stdout).expect("UTF-8");
    assert!(text.starts_with(&format!("✓ Created the tenant {name}\n\n  ck_live_")), "{text}");
    assert!(text.contains("This key is shown only now"), "{text}");
    let list = String::from_utf8(run(&["tenant", "list"]).stdout).expect("UTF-8");
    assert!(list.starts_with("TENANT ") && list.contains(&name), "{list}");
    assert!(created.stderr.is_empty());
}

#[test]
fn key_is_printed_only_on_stdout_for_programs() {
    let name = unique("Programs");
    let output = run(&["tenant", "create", &name, "--json"]);
    assert!(!String::from_utf8_lossy(&output.stderr).contains("ck_live_"));
    assert!(json_with(&["tenant", "show", &name], "").is_ok());
}
