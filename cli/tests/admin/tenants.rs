//! `chat tenant`.

use serde_json::json;

use crate::harness::{chat, json, json_with, message, refusal, result, run, serve, unique};

#[test]
fn a_new_tenant_has_a_key_and_the_usual_limits() {
    let name = unique("Acme");
    let made = json(&["tenant", "create", &name]);
    assert_eq!(made["name"], name.as_str());
    assert_eq!(made["limits"], json!({"rest_per_minute": 100, "tickets_per_minute": 600, "connections": 50}));
    assert_eq!(made["status"], "active");
    assert_eq!(made["connections"], 0);
    assert_eq!(made["defaults"], json!({"agent": null, "model": null, "temperature": null, "max_tokens": null}));
    assert!(made["api_key"].as_str().is_some_and(|key| key.starts_with("ck_live_")));
    assert_eq!(made["key_id"], made["keys"][0]["key_id"]);

    let mut shown = json(&["tenant", "show", &name]);
    assert_eq!(shown, json(&["tenant", "show", made["tenant_id"].as_str().expect("an id")]), "by name as by id");
    shown["api_key"] = made["api_key"].clone();
    shown["key_id"] = made["key_id"].clone();
    assert_eq!(shown, made, "all but the key is shown again");

    let listed = json(&["tenant", "list"]);
    let listed = listed["tenants"].as_array().expect("a list");
    assert!(listed.iter().any(|tenant| tenant["tenant_id"] == made["tenant_id"]));
    assert!(!json(&["tenant", "list"]).to_string().contains("ck_live_"));
}

#[test]
fn a_tenant_may_be_made_as_wanted() {
    let name = unique("Wanted");
    let limits = ["--rest-per-minute", "7", "--tickets-per-minute", "0", "--connections", "1000"];
    let defaults = ["--agent", "echo", "--model", "echo@20", "--temperature", "0.5", "--max-tokens", "99"];
    let made = json(&[&["tenant", "create", &name, "--environment", "test"], &limits[..], &defaults].concat());
    assert!(made["api_key"].as_str().is_some_and(|key| key.starts_with("ck_test_")));
    assert_eq!(made["limits"], json!({"rest_per_minute": 7, "tickets_per_minute": 0, "connections": 1000}));
    let expected = json!({"agent": "echo", "model": "echo@20", "temperature": 0.5, "max_tokens": 99});
    assert_eq!(made["defaults"], expected);
}

#[test]
fn limits_change_one_by_one() {
    let name = unique("Limits");
    json(&["tenant", "create", &name, "--rest-per-minute", "7"]);
    let changed = json(&["tenant", "set-limits", &name, "--connections", "3"]);
    assert_eq!(changed["limits"], json!({"rest_per_minute": 7, "tickets_per_minute": 600, "connections": 3}));
    assert_eq!(json(&["tenant", "show", &name]), changed);
    assert!(refusal(&["tenant", "set-limits", &name]).starts_with("there is nothing to change"));
}

#[test]
fn arguments_out_of_bounds_are_wrong_arguments() {
    for arguments in [
        &["tenant", "set-limits", "x", "--connections", "1001"][..],
        &["tenant", "create", "x", "--rest-per-minute", "-1"],
        &["tenant", "create", "x", "--agent", "nobody"],
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
fn a_tenant_is_suspended_and_resumed() {
    let name = unique("Suspended");
    json(&["tenant", "create", &name]);
    let suspended = json(&["tenant", "suspend", &name]);
    assert_eq!(suspended["status"], "suspended");
    assert_eq!(suspended["sockets"], json!({"closed": 0, "left": 0, "problem": null}));
    assert_eq!(json(&["tenant", "resume", &name])["status"], "active");
}

#[test]
fn chats_are_kept_as_long_as_their_tenant_wants() {
    let name = unique("Retention");
    let kept = |arguments: &[&str]| json(arguments)["retention_days"].clone();
    assert_eq!(kept(&["tenant", "create", &name]), json!(null));
    assert_eq!(kept(&["tenant", "set-limits", &name, "--retention-days", "90"]), 90);
    assert_eq!(kept(&["tenant", "set-limits", &name, "--connections", "7"]), 90, "other limits leave it as it is");
    let text = String::from_utf8(run(&["tenant", "show", &name]).stdout).expect("UTF-8");
    assert!(text.contains("Chats kept") && text.contains("90 days after their last message"), "{text}");
    for none in ["0", "none"] {
        json(&["tenant", "set-limits", &name, "--retention-days", "1"]);
        assert_eq!(kept(&["tenant", "set-limits", &name, "--retention-days", none]), json!(null));
    }
    assert_eq!(kept(&["tenant", "create", &unique("Retaining"), "--retention-days", "7"]), 7);
}

#[test]
fn a_key_that_was_made_is_told_whatever_fails_then() {
    let makes_tenants_alone = serve(|_, body| {
        if body.contains("TransactItems") {
            return (200, "{}".to_owned());
        }
        (400, json!({"__type": "com.amazon.coral.service#AccessDeniedException"}).to_string())
    });
    let create = ["tenant", "create", "Half", "--retention-days", "7", "--json"];
    let output = chat().args(create).args(["--dynamodb-endpoint", &makes_tenants_alone]).output();
    let failed = result(&output.expect("chat starts")).expect_err("the retention is not set");
    assert!(failed["api_key"].as_str().is_some_and(|key| key.starts_with("ck_live_")), "{failed}");
    assert!(failed["tenant_id"].is_string(), "{failed}");
    assert!(message(Err(failed)).starts_with("the tenant is there, but its chats may be kept for ever: "));
}

#[test]
fn a_name_that_two_have_is_none() {
    let name = unique("Twin");
    let ids = [0, 1].map(|_| json(&["tenant", "create", &name])["tenant_id"].clone());
    let refusal = refusal(&["tenant", "suspend", &name]);
    assert!(ids.iter().all(|id| refusal.contains(id.as_str().expect("an id"))), "{refusal}");
}

#[test]
fn a_tenant_that_is_not_there() {
    let refusal = refusal(&["tenant", "show", "nobody"]);
    assert_eq!(refusal, "there is no tenant \"nobody\"; `cargo chat tenant list` shows those that there are");
}

#[test]
fn a_database_that_is_not_there() {
    let output = chat().args(["tenant", "list", "--json", "--dynamodb-endpoint", "http://127.0.0.1:1"]).output();
    let refusal = message(result(&output.expect("chat starts")));
    assert!(refusal.starts_with("no DynamoDB answers at http://127.0.0.1:1 ("), "{refusal}");
    assert!(refusal.contains("is `cargo chat dev` running?"), "{refusal}");
}

#[test]
fn people_see_the_key_once_and_no_json() {
    let name = unique("People");
    let made = run(&["tenant", "create", &name]);
    let text = String::from_utf8(made.stdout).expect("UTF-8");
    assert!(text.starts_with(&format!("✓ Made the tenant {name}\n\n  ck_live_")), "{text}");
    assert!(text.contains("This key is shown once"), "{text}");
    let list = String::from_utf8(run(&["tenant", "list"]).stdout).expect("UTF-8");
    assert!(list.starts_with("TENANT ") && list.contains(&name), "{list}");
    assert!(made.stderr.is_empty());
}

#[test]
fn programs_find_the_key_on_stdout_alone() {
    let name = unique("Programs");
    let output = run(&["tenant", "create", &name, "--json"]);
    assert!(!String::from_utf8_lossy(&output.stderr).contains("ck_live_"));
    assert!(json_with(&["tenant", "show", &name], "").is_ok());
}
