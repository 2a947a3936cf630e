//! Closing the sockets of tenants and keys that have lost their access.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use serde_json::{Value, json};
use shared::domain::{
    api_key::ApiKey,
    connection::{Connection, ConnectionGrant},
    id::{ChatId, ConnectionId, UserId},
    time::Timestamp,
};

use crate::harness::{connections, failure, json, json_with, serve, tenants, unique};

/// Sockets by connection id, each with the events that were posted to it.
type Sockets = Arc<Mutex<BTreeMap<String, Vec<Value>>>>;

/// A management API with these open sockets. Returns its address, the open and the closed sockets.
fn management_api(open: &[&str]) -> (String, Sockets, Sockets) {
    failing_management_api(open, |_, _| None)
}

/// A management API that responds with the status that `fails` returns for a method and connection id, if any.
fn failing_management_api(
    open: &[&str],
    fails: impl Fn(&str, &str) -> Option<u16> + Send + 'static,
) -> (String, Sockets, Sockets) {
    let sockets: Sockets = Arc::new(Mutex::new(open.iter().map(|id| ((*id).to_owned(), Vec::new())).collect()));
    let closed = Sockets::default();
    let (served, removed) = (Arc::clone(&sockets), Arc::clone(&closed));
    let endpoint = serve(move |request, body| {
        let mut words = request.split_whitespace();
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let id = path.strip_prefix("/@connections/").expect("the path of a connection");
        if let Some(status) = fails(method, id) {
            return (status, String::new());
        }
        let mut open = served.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(posts) = open.get_mut(id) else { return (410, String::new()) };
        match method {
            "POST" => posts.push(serde_json::from_str(body).expect("JSON")),
            "DELETE" => {
                let posts = open.remove(id).unwrap_or_default();
                removed.lock().unwrap_or_else(PoisonError::into_inner).insert(id.to_owned(), posts);
                return (204, String::new());
            }
            _ => {}
        }
        (200, "{}".to_owned())
    });
    (endpoint, sockets, closed)
}

/// Stores a connection of a tenant, opened with a key.
async fn connect(tenant: &Value, key: &Value, id: &str) {
    let tenant_id = tenant["tenant_id"].as_str().expect("an id");
    let tenant_id = tenants().find(tenant_id).await.expect("the table responds").expect("the tenant exists").tenant_id;
    let grant = ConnectionGrant {
        tenant_id,
        key: ApiKey::new(key["api_key"].as_str().expect("a key")).hash(),
        user_id: UserId::parse("u").expect("a user id"),
        chat_id: ChatId::generate(),
    };
    let connection = Connection::open(ConnectionId::from_gateway(id), grant, Timestamp::now());
    connections().put(&connection).await.expect("the table responds");
}

fn ids(sockets: &Sockets) -> Vec<String> {
    sockets.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
}

#[tokio::test]
async fn revoking_a_key_closes_its_sockets() {
    let tenant = json(&["tenant", "create", &unique("Revoked")]);
    let id = tenant["tenant_id"].as_str().expect("an id");
    let other = json(&["key", "create", id]);
    connect(&tenant, &tenant, "one").await;
    connect(&tenant, &tenant, "two").await;
    connect(&tenant, &tenant, "lost").await;
    connect(&tenant, &other, "other").await;
    let (endpoint, open, closed) = management_api(&["one", "two", "other"]);

    let key = tenant["key_id"].as_str().expect("an id");
    let revoked = json(&["key", "revoke", id, key, "--management-endpoint", &endpoint]);
    assert_eq!(revoked["sockets"], json!({"closed": 2, "left": 0, "problem": null}));
    assert_eq!(ids(&open), ["other"]);
    assert_eq!(ids(&closed), ["one", "two"]);
    let posts = closed.lock().unwrap_or_else(PoisonError::into_inner)["one"].clone();
    assert_eq!((&posts[0]["type"], &posts[0]["error"]["code"]), (&json!("error"), &json!("CONNECTION_CLOSING")));
    assert!(posts[0]["error"]["details"]["suggestion"].is_string(), "{posts:?}");
}

#[tokio::test]
async fn suspending_a_tenant_closes_its_sockets() {
    let tenant = json(&["tenant", "create", &unique("Suspended")]);
    connect(&tenant, &tenant, "a").await;
    connect(&tenant, &tenant, "b").await;
    let (endpoint, open, _) = management_api(&["a", "b"]);
    let id = tenant["tenant_id"].as_str().expect("an id");
    let suspended = json(&["tenant", "suspend", id, "--management-endpoint", &endpoint]);
    assert_eq!(suspended["sockets"], json!({"closed": 2, "left": 0, "problem": null}));
    assert_eq!(ids(&open), [""; 0]);
}

#[tokio::test]
async fn socket_of_unknown_state_does_not_delay_the_others() {
    let tenant = json(&["tenant", "create", &unique("Throttled")]);
    connect(&tenant, &tenant, "throttled-a").await;
    connect(&tenant, &tenant, "throttled-b").await;
    connect(&tenant, &tenant, "throttled-c").await;
    let (endpoint, open, _) = failing_management_api(&["throttled-a", "throttled-b", "throttled-c"], |method, id| {
        (method == "GET" && id == "throttled-b").then_some(429)
    });
    let id = tenant["tenant_id"].as_str().expect("an id");
    let suspend = ["tenant", "suspend", id, "--management-endpoint", &endpoint, "--keep-trying", "0"];
    let failed = json_with(&suspend, "").expect_err("one is left");
    assert_eq!((&failed["sockets"]["closed"], &failed["sockets"]["left"]), (&json!(2), &json!(1)), "{failed}");
    assert_eq!(ids(&open), ["throttled-b"]);
    assert_eq!(failed["status"], "suspended", "the failure reports what was done");
    let message = failed["error"]["message"].as_str().expect("a message");
    assert!(message.starts_with("access is denied, but 1 socket is or may still be open: "), "{message}");
    assert!(message.contains("run this again"), "{message}");
}

#[tokio::test]
async fn closing_is_retried_until_all_are_closed() {
    let tenant = json(&["tenant", "create", &unique("Retried")]);
    connect(&tenant, &tenant, "retried").await;
    let attempts = AtomicUsize::new(0);
    let (endpoint, open, _) = failing_management_api(&["retried"], move |method, _| {
        (method == "DELETE" && attempts.fetch_add(1, Ordering::SeqCst) < 3).then_some(429)
    });
    let id = tenant["tenant_id"].as_str().expect("an id");
    let suspended = json(&["tenant", "suspend", id, "--management-endpoint", &endpoint]);
    assert_eq!(suspended["sockets"], json!({"closed": 1, "left": 0, "problem": null}));
    assert_eq!(ids(&open), [""; 0]);
}

#[tokio::test]
async fn revoking_a_key_again_closes_sockets_of_all_invalid_keys() {
    let tenant = json(&["tenant", "create", &unique("Swept")]);
    let id = tenant["tenant_id"].as_str().expect("an id");
    let (expired, live) = (json(&["key", "create", id]), json(&["key", "create", id]));
    connect(&tenant, &tenant, "swept-revoked").await;
    connect(&tenant, &expired, "swept-expired").await;
    connect(&tenant, &live, "swept-live").await;
    let tenant_id = tenants().find(id).await.expect("the table responds").expect("the tenant exists").tenant_id;
    let hash = ApiKey::new(expired["api_key"].as_str().expect("a key")).hash();
    assert!(tenants().set_key_expiry(&tenant_id, &hash, Timestamp::now()).await.expect("the table responds"));

    let key = tenant["key_id"].as_str().expect("an id");
    let unreachable = ["key", "revoke", id, key, "--management-endpoint", "http://127.0.0.1:1", "--keep-trying", "0"];
    let failed = json_with(&unreachable, "").expect_err("both are left");
    assert_eq!((&failed["revoked"], &failed["sockets"]["left"]), (&json!(true), &json!(2)), "{failed}");

    let (endpoint, open, _) = management_api(&["swept-revoked", "swept-expired", "swept-live"]);
    let again = json(&["key", "revoke", id, key, "--management-endpoint", &endpoint]);
    assert_eq!((&again["revoked"], &again["sockets"]["closed"]), (&json!(false), &json!(2)), "{again}");
    assert_eq!(ids(&open), ["swept-live"]);
}

#[tokio::test]
async fn tenant_with_open_sockets_is_not_erased() {
    let tenant = json(&["tenant", "create", &unique("Connected")]);
    connect(&tenant, &tenant, "connected").await;
    let id = tenant["tenant_id"].as_str().expect("an id");
    let erase = |endpoint: &str| {
        json_with(&["tenant", "erase", id, "--yes", "--keep-trying", "0", "--management-endpoint", endpoint], "")
    };
    let failed = erase("http://127.0.0.1:1").expect_err("a socket may be open");
    assert_eq!((&failed["erased"], &failed["sockets"]["left"]), (&json!(false), &json!(1)), "{failed}");
    assert_eq!(json(&["tenant", "show", id])["status"], "suspended");

    let (endpoint, open, _) = management_api(&["connected"]);
    let erased = erase(&endpoint).expect("all sockets are closed");
    assert_eq!((&erased["erased"], ids(&open).len()), (&json!(true), 0), "{erased}");
    assert!(failure(&["tenant", "show", id]).starts_with("there is no tenant"));
}

#[tokio::test]
async fn tenant_is_suspended_even_if_the_management_api_is_unreachable() {
    let tenant = json(&["tenant", "create", &unique("Unreachable")]);
    connect(&tenant, &tenant, "unreachable").await;
    let id = tenant["tenant_id"].as_str().expect("an id");
    let suspend = ["tenant", "suspend", id, "--management-endpoint", "http://127.0.0.1:1", "--keep-trying", "0"];
    let failed = json_with(&suspend, "").expect_err("a socket may be open");
    assert_eq!(failed["status"], "suspended");
    let problem = failed["sockets"]["problem"].as_str().expect("a problem");
    assert!(problem.starts_with("failed to close sockets through http://127.0.0.1:1 ("), "{problem}");
}
