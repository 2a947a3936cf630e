//! `chat key`.

use serde_json::{Value, json};
use shared::domain::api_key::ApiKey;
use shared::domain::tenant::{AccessDenied, TenantAccess};
use shared::domain::time::Timestamp;

use crate::harness::{json, json_with, message, refusal, tenants, unique};

/// A tenant with its id and first key.
fn tenant(name: &str) -> (String, Value) {
    let made = json(&["tenant", "create", &unique(name)]);
    (text(&made["tenant_id"]), made)
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

/// The tenant's gate, as requests find it.
async fn access(tenant: &str) -> TenantAccess {
    tenants().find(tenant).await.expect("the table answers").expect("the tenant is there").access
}

fn opens(access: &TenantAccess, key: &Value) -> bool {
    match access.check(&ApiKey::new(&text(key)).hash(), Timestamp::now()) {
        Ok(()) => true,
        Err(AccessDenied::InvalidKey) => false,
        Err(AccessDenied::Suspended) => panic!("the tenant is suspended"),
    }
}

#[tokio::test]
async fn several_keys_open_the_gate_until_they_are_revoked() {
    let (id, first) = tenant("Several");
    let second = json(&["key", "create", &id, "--expires-in", "90d"]);
    assert_eq!((&second["tenant_id"], &second["status"]), (&json!(id), &json!("live")));
    let expires_at: Timestamp = text(&second["expires_at"]).parse().expect("a time");
    let created_at: Timestamp = text(&second["created_at"]).parse().expect("a time");
    assert_eq!(expires_at.millis_since(created_at), 90 * 86_400_000);
    let both = access(&id).await;
    assert!(opens(&both, &first["api_key"]) && opens(&both, &second["api_key"]));

    let listed = json(&["key", "list", &id]);
    let ids: Vec<&Value> = listed["keys"].as_array().expect("a list").iter().map(|key| &key["key_id"]).collect();
    assert_eq!(ids, [&first["key_id"], &second["key_id"]], "the oldest first");

    let revoked = json(&["key", "revoke", &id, &text(&first["key_id"])]);
    assert_eq!((&revoked["revoked"], &revoked["live_keys"]), (&json!(true), &json!(1)));
    assert_eq!(revoked["sockets"], json!({"closed": 0, "left": 0, "problem": null}));
    let one = access(&id).await;
    assert!(!opens(&one, &first["api_key"]) && opens(&one, &second["api_key"]));
    let again = json(&["key", "revoke", &id, &text(&first["key_id"])]);
    assert_eq!((&again["revoked"], &again["live_keys"]), (&json!(false), &json!(1)), "it may be run again");
    let slip = refusal(&["key", "revoke", &id, "first"]);
    assert!(slip.contains("has no key") && slip.contains("`cargo chat key list"), "{slip}");
}

#[tokio::test]
async fn a_rotated_key_goes_on_for_a_while() {
    let (id, first) = tenant("Rotated");
    let key_id = text(&first["key_id"]);
    let new = json(&["key", "rotate", &id, &key_id, "--grace", "2h"]);
    assert_eq!((&new["previous"]["key_id"], &new["previous"]["revoked"]), (&first["key_id"], &json!(false)));
    let both = access(&id).await;
    assert!(opens(&both, &first["api_key"]) && opens(&both, &new["api_key"]));
    let old = both.keys().find(|(_, record)| record.key_id == key_id).expect("still there").1.clone();
    let expires_at = old.expires_at.expect("it ends");
    assert_eq!(new["previous"]["expires_at"], expires_at.to_string());
    assert!((7_100_000..=7_200_000).contains(&expires_at.millis_since(Timestamp::now())));

    let sooner = json(&["key", "rotate", &id, &key_id, "--grace", "1d"]);
    assert_eq!(sooner["previous"]["expires_at"], expires_at.to_string(), "nothing gets longer by it");
}

#[tokio::test]
async fn a_key_rotated_without_grace_is_revoked() {
    let (id, first) = tenant("Replaced");
    let new = json(&["key", "rotate", &id, &text(&first["key_id"]), "--grace", "0", "--environment", "test"]);
    assert_eq!(new["previous"], json!({"key_id": first["key_id"], "revoked": true, "expires_at": null}));
    assert_eq!(new["sockets"], json!({"closed": 0, "left": 0, "problem": null}));
    assert!(text(&new["api_key"]).starts_with("ck_test_"));
    let access = access(&id).await;
    assert!(!opens(&access, &first["api_key"]) && opens(&access, &new["api_key"]));
}

#[tokio::test]
async fn expired_keys_are_forgotten_when_a_new_one_comes() {
    let (id, first) = tenant("Expired");
    let hash = ApiKey::new(&text(&first["api_key"])).hash();
    let tenant = tenants().find(&id).await.expect("the table answers").expect("there").tenant_id;
    let past = Timestamp::from_millis(1);
    assert!(tenants().set_key_expiry(&tenant, &hash, past).await.expect("the table answers"));
    assert_eq!(json(&["key", "list", &id])["keys"][0]["status"], "expired");
    assert!(!opens(&access(&id).await, &first["api_key"]));

    let new = json(&["key", "rotate", &id, &text(&first["key_id"]), "--grace", "0"]);
    assert_eq!(new["previous"]["expires_at"], past.to_string(), "there was nothing left to revoke");
    let left = json(&["key", "list", &id]);
    assert_eq!(left["keys"].as_array().map(Vec::len), Some(1));
    assert_eq!(left["keys"][0]["key_id"], new["key_id"]);
    let unknown = ApiKey::new("never").hash();
    assert!(!tenants().set_key_expiry(&tenant, &unknown, past).await.expect("the table answers"));
}

#[tokio::test]
async fn any_key_may_be_brought_once() {
    let (id, _) = tenant("Import");
    let key = unique("brought-along");
    let taken = json_with(&["key", "create", &id, "--import"], &format!("{key}\n")).expect("taken");
    assert!(taken.get("api_key").is_none(), "the key is not said again: {taken}");
    assert!(opens(&access(&id).await, &json!(key)));
    let again = message(json_with(&["key", "create", &id, "--import"], &key));
    assert!(again.starts_with("this key is in use already"), "{again}");
    for (bad, why) in [("", "no key on stdin"), ("ü", "cannot be sent"), (&"x".repeat(257), "257 characters")] {
        let refusal = message(json_with(&["key", "create", &id, "--import"], bad));
        assert!(refusal.contains(why), "{refusal}");
    }
}

#[test]
fn a_tenant_has_ten_live_keys_at_most() {
    let (id, _) = tenant("Many");
    (1..10).for_each(|_| drop(json(&["key", "create", &id])));
    assert!(refusal(&["key", "create", &id]).contains("has 10 live keys, which is the most"));
}

#[test]
fn a_key_is_not_made_to_be_expired() {
    let (id, _) = tenant("Past");
    let refusal = refusal(&["key", "create", &id, "--expires-at", "2020-01-01T00:00:00Z"]);
    assert!(refusal.contains("expired already"), "{refusal}");
}
