//! `chat key`.

use serde_json::{Value, json};
use shared::domain::{
    api_key::ApiKey,
    tenant::{AccessDenied, TenantAccess},
    time::Timestamp,
};

use crate::harness::{failure, json, json_with, message, tenants, unique};

/// Creates a tenant. Returns its id, and the JSON with its first key.
fn tenant(name: &str) -> (String, Value) {
    let created = json(&["tenant", "create", &unique(name)]);
    (text(&created["tenant_id"]), created)
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

/// The access item, which authorizes the tenant's requests.
async fn access(tenant: &str) -> TenantAccess {
    tenants().find(tenant).await.expect("the table responds").expect("the tenant is there").access
}

fn is_accepted(access: &TenantAccess, key: &Value) -> bool {
    match access.check(&ApiKey::new(&text(key)).hash(), Timestamp::now()) {
        Ok(()) => true,
        Err(AccessDenied::InvalidKey) => false,
        Err(AccessDenied::Suspended) => panic!("the tenant is suspended"),
    }
}

#[tokio::test]
async fn every_live_key_is_accepted_until_it_is_revoked() {
    let (id, first) = tenant("Several");
    let second = json(&["key", "create", &id, "--expires-in", "90d"]);
    assert_eq!((&second["tenant_id"], &second["status"]), (&json!(id), &json!("live")));
    let expires_at: Timestamp = text(&second["expires_at"]).parse().expect("a time");
    let created_at: Timestamp = text(&second["created_at"]).parse().expect("a time");
    assert_eq!(expires_at.millis_since(created_at), 90 * 86_400_000);
    let both = access(&id).await;
    assert!(is_accepted(&both, &first["api_key"]) && is_accepted(&both, &second["api_key"]));

    let listed = json(&["key", "list", &id]);
    let ids: Vec<&Value> = listed["keys"].as_array().expect("a list").iter().map(|key| &key["key_id"]).collect();
    assert_eq!(ids, [&first["key_id"], &second["key_id"]], "oldest first");

    let revoked = json(&["key", "revoke", &id, &text(&first["key_id"])]);
    assert_eq!((&revoked["revoked"], &revoked["live_keys"]), (&json!(true), &json!(1)));
    assert_eq!(revoked["sockets"], json!({"closed": 0, "left": 0, "problem": null}));
    let one = access(&id).await;
    assert!(!is_accepted(&one, &first["api_key"]) && is_accepted(&one, &second["api_key"]));
    let again = json(&["key", "revoke", &id, &text(&first["key_id"])]);
    assert_eq!(
        (&again["revoked"], &again["live_keys"]),
        (&json!(false), &json!(1)),
        "a second revocation changes nothing"
    );
    let unknown = failure(&["key", "revoke", &id, "first"]);
    assert!(unknown.contains("has no key") && unknown.contains("`cargo chat key list"), "{unknown}");
}

#[tokio::test]
async fn rotated_key_expires_after_the_grace_period() {
    let (id, first) = tenant("Rotated");
    let key_id = text(&first["key_id"]);
    let new = json(&["key", "rotate", &id, &key_id, "--grace", "2h"]);
    assert_eq!((&new["previous"]["key_id"], &new["previous"]["revoked"]), (&first["key_id"], &json!(false)));
    let both = access(&id).await;
    assert!(is_accepted(&both, &first["api_key"]) && is_accepted(&both, &new["api_key"]));
    let old = both.keys().find(|(_, record)| record.key_id == key_id).expect("the old key remains").1.clone();
    let expires_at = old.expires_at.expect("the old key expires");
    assert_eq!(new["previous"]["expires_at"], expires_at.to_string());
    assert!((7_100_000..=7_200_000).contains(&expires_at.millis_since(Timestamp::now())));

    let sooner = json(&["key", "rotate", &id, &key_id, "--grace", "1d"]);
    assert_eq!(sooner["previous"]["expires_at"], expires_at.to_string(), "a second rotation does not extend it");
}

#[tokio::test]
async fn key_rotated_without_grace_is_revoked() {
    let (id, first) = tenant("Replaced");
    let new = json(&["key", "rotate", &id, &text(&first["key_id"]), "--grace", "0", "--environment", "test"]);
    assert_eq!(new["previous"], json!({"key_id": first["key_id"], "revoked": true, "expires_at": null}));
    assert_eq!(new["sockets"], json!({"closed": 0, "left": 0, "problem": null}));
    assert!(text(&new["api_key"]).starts_with("ck_test_"));
    let access = access(&id).await;
    assert!(!is_accepted(&access, &first["api_key"]) && is_accepted(&access, &new["api_key"]));
}

#[tokio::test]
async fn expired_keys_are_removed_when_a_key_is_created() {
    let (id, first) = tenant("Expired");
    let hash = ApiKey::new(&text(&first["api_key"])).hash();
    let tenant = tenants().find(&id).await.expect("the table responds").expect("there").tenant_id;
    let past = Timestamp::from_millis(1);
    assert!(tenants().set_key_expiry(&tenant, &hash, past).await.expect("the table responds"));
    assert_eq!(json(&["key", "list", &id])["keys"][0]["status"], "expired");
    assert!(!is_accepted(&access(&id).await, &first["api_key"]));

    let new = json(&["key", "rotate", &id, &text(&first["key_id"]), "--grace", "0"]);
    assert_eq!(new["previous"]["expires_at"], past.to_string(), "an expired key is not revoked");
    let left = json(&["key", "list", &id]);
    assert_eq!(left["keys"].as_array().map(Vec::len), Some(1));
    assert_eq!(left["keys"][0]["key_id"], new["key_id"]);
    let unknown = ApiKey::new("never").hash();
    assert!(!tenants().set_key_expiry(&tenant, &unknown, past).await.expect("the table responds"));
}

#[tokio::test]
async fn imported_key_is_accepted_and_unique() {
    let (id, _) = tenant("Import");
    let key = unique("imported");
    let imported = json_with(&["key", "create", &id, "--import"], &format!("{key}\n")).expect("imported");
    assert!(imported.get("api_key").is_none(), "an imported key is not printed: {imported}");
    assert!(is_accepted(&access(&id).await, &json!(key)));
    let again = message(json_with(&["key", "create", &id, "--import"], &key));
    assert!(again.starts_with("this key is already in use"), "{again}");
    for (bad, why) in [("", "no key on stdin"), ("ü", "cannot be sent"), (&"x".repeat(257), "257 characters")] {
        let failure = message(json_with(&["key", "create", &id, "--import"], bad));
        assert!(failure.contains(why), "{failure}");
    }
}

#[test]
fn tenant_has_at_most_ten_live_keys() {
    let (id, _) = tenant("Many");
    (1..10).for_each(|_| drop(json(&["key", "create", &id])));
    assert!(failure(&["key", "create", &id]).contains("has 10 live keys, the maximum"));
}

#[test]
fn key_that_expires_in_the_past_is_refused() {
    let (id, _) = tenant("Past");
    let failure = failure(&["key", "create", &id, "--expires-at", "2020-01-01T00:00:00Z"]);
    assert!(failure.contains("already be expired"), "{failure}");
}
