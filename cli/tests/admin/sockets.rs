//! The sockets of those who may not have one any more.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};
use shared::domain::api_key::ApiKey;
use shared::domain::connection::{Connection, ConnectionGrant};
use shared::domain::id::{ChatId, ConnectionId, UserId};
use shared::domain::time::Timestamp;

use crate::harness::{connections, json, json_with, refusal, serve, tenants, unique};

/// What API Gateway knows: which sockets are open, and what was posted to them.
type Sockets = Arc<Mutex<BTreeMap<String, Vec<Value>>>>;

/// A management API with these open sockets.
fn management_api(open: &[&str]) -> (String, Sockets, Sockets) {
    management_api_that(open, |_, _| None)
}

/// A management API with these open sockets, which answers as `refuses` says where that says something.
fn management_api_that(
    open: &[&str],
    refuses: impl Fn(&str, &str) -> Option<u16> + Send + 'static,
) -> (String, Sockets, Sockets) {
    let sockets: Sockets = Arc::new(Mutex::new(open.iter().map(|id| ((*id).to_owned(), Vec::new())).collect()));
    let closed = Sockets::default();
    let (live, gone) = (Arc::clone(&sockets), Arc::clone(&closed));
    let endpoint = serve(move |request, body| {
        let mut words = request.split_whitespace();
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let id = path.strip_prefix("/@connections/").expect("a socket is meant");
        if let Some(status) = refuses(method, id) {
            return (status, String::new());
        }
        let mut live = live.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(posts) = live.get_mut(id) else { return (410, String::new()) };
        match method {
            "POST" => posts.push(serde_json::from_str(body).expect("JSON")),
            "DELETE" => {
                let posts = live.remove(id).unwrap_or_default();
                gone.lock().unwrap_or_else(PoisonError::into_inner).insert(id.to_owned(), posts);
                return (204, String::new());
            }
            _ => {}
        }
        (200, "{}".to_owned())
    });
    (endpoint, sockets, closed)
}

/// Notes a socket of a tenant, opened by a key.
async fn note(tenant: &Value, key: &Value, id: &str) {
    let tenant_id = tenant["tenant_id"].as_str().expect("an id");
    let tenant_id = tenants().find(tenant_id).await.expect("the table answers").expect("there").tenant_id;
    let grant = ConnectionGrant {
        tenant_id,
        key: ApiKey::new(key["api_key"].as_str().expect("a key")).hash(),
        user_id: UserId::parse("u").expect("a user id"),
        chat_id: ChatId::generate(),
    };
    let connection = Connection::open(ConnectionId::from_gateway(id), grant, Timestamp::now());
    connections().put(&connection).await.expect("the table answers");
}

fn ids(sockets: &Sockets) -> Vec<String> {
    sockets.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
}

#[tokio::test]
async fn a_revoked_key_takes_its_sockets_with_it() {
    let tenant = json(&["tenant", "create", &unique("Revoked")]);
    let id = tenant["tenant_id"].as_str().expect("an id");
    let other = json(&["key", "create", id]);
    note(&tenant, &tenant, "one").await;
    note(&tenant, &tenant, "two").await;
    note(&tenant, &tenant, "lost").await;
    note(&tenant, &other, "other").await;
    let (endpoint, open, closed) = management_api(&["one", "two", "other"]);

    let key = tenant["key_id"].as_str().expect("an id");
    let revoked = json(&["key", "revoke", id, key, "--management-endpoint", &endpoint]);
    assert_eq!(revoked["sockets"], json!({"closed": 2, "left": 0, "problem": null}));
    assert_eq!(ids(&open), ["other"]);
    assert_eq!(ids(&closed), ["one", "two"]);
    let said = closed.lock().unwrap_or_else(PoisonError::into_inner)["one"].clone();
    assert_eq!((&said[0]["type"], &said[0]["error"]["code"]), (&json!("error"), &json!("CONNECTION_CLOSING")));
    assert!(said[0]["error"]["details"]["suggestion"].is_string(), "{said:?}");
}

#[tokio::test]
async fn a_suspended_tenant_has_no_sockets() {
    let tenant = json(&["tenant", "create", &unique("Suspended")]);
    note(&tenant, &tenant, "a").await;
    note(&tenant, &tenant, "b").await;
    let (endpoint, open, _) = management_api(&["a", "b"]);
    let id = tenant["tenant_id"].as_str().expect("an id");
    let suspended = json(&["tenant", "suspend", id, "--management-endpoint", &endpoint]);
    assert_eq!(suspended["sockets"], json!({"closed": 2, "left": 0, "problem": null}));
    assert_eq!(ids(&open), [""; 0]);
}

#[tokio::test]
async fn a_socket_that_cannot_be_looked_at_holds_up_no_other() {
    let tenant = json(&["tenant", "create", &unique("Limping")]);
    note(&tenant, &tenant, "limping-a").await;
    note(&tenant, &tenant, "limping-b").await;
    note(&tenant, &tenant, "limping-c").await;
    let (endpoint, open, _) = management_api_that(&["limping-a", "limping-b", "limping-c"], |method, id| {
        (method == "GET" && id == "limping-b").then_some(429)
    });
    let id = tenant["tenant_id"].as_str().expect("an id");
    let suspend = ["tenant", "suspend", id, "--management-endpoint", &endpoint, "--keep-trying", "0"];
    let failed = json_with(&suspend, "").expect_err("one is left");
    assert_eq!((&failed["sockets"]["closed"], &failed["sockets"]["left"]), (&json!(2), &json!(1)), "{failed}");
    assert_eq!(ids(&open), ["limping-b"]);
    assert_eq!(failed["status"], "suspended", "what was done is told all the same");
    let message = failed["error"]["message"].as_str().expect("a message");
    assert!(message.starts_with("the access is denied, but 1 socket is open still, or may be: "), "{message}");
    assert!(message.contains("run this again"), "{message}");
}

#[tokio::test]
async fn it_is_tried_until_all_are_closed() {
    let tenant = json(&["tenant", "create", &unique("Stubborn")]);
    note(&tenant, &tenant, "stubborn").await;
    let refusals = AtomicUsize::new(0);
    let (endpoint, open, _) = management_api_that(&["stubborn"], move |method, _| {
        (method == "DELETE" && refusals.fetch_add(1, Ordering::SeqCst) < 3).then_some(429)
    });
    let id = tenant["tenant_id"].as_str().expect("an id");
    let suspended = json(&["tenant", "suspend", id, "--management-endpoint", &endpoint]);
    assert_eq!(suspended["sockets"], json!({"closed": 1, "left": 0, "problem": null}));
    assert_eq!(ids(&open), [""; 0]);
}

#[tokio::test]
async fn sockets_of_keys_that_are_over_go_whoever_sweeps() {
    let tenant = json(&["tenant", "create", &unique("Swept")]);
    let id = tenant["tenant_id"].as_str().expect("an id");
    let (expired, live) = (json(&["key", "create", id]), json(&["key", "create", id]));
    note(&tenant, &tenant, "swept-revoked").await;
    note(&tenant, &expired, "swept-expired").await;
    note(&tenant, &live, "swept-live").await;
    let tenant_id = tenants().find(id).await.expect("the table answers").expect("there").tenant_id;
    let hash = ApiKey::new(expired["api_key"].as_str().expect("a key")).hash();
    assert!(tenants().set_key_expiry(&tenant_id, &hash, Timestamp::now()).await.expect("the table answers"));

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
async fn a_tenant_whose_sockets_stay_open_is_not_erased_yet() {
    let tenant = json(&["tenant", "create", &unique("Clinging")]);
    note(&tenant, &tenant, "clinging").await;
    let id = tenant["tenant_id"].as_str().expect("an id");
    let erase = |endpoint: &str| {
        json_with(&["tenant", "erase", id, "--yes", "--keep-trying", "0", "--management-endpoint", endpoint], "")
    };
    let failed = erase("http://127.0.0.1:1").expect_err("it may be open");
    assert_eq!((&failed["erased"], &failed["sockets"]["left"]), (&json!(false), &json!(1)), "{failed}");
    assert_eq!(json(&["tenant", "show", id])["status"], "suspended");

    let (endpoint, open, _) = management_api(&["clinging"]);
    let erased = erase(&endpoint).expect("nothing is in the way any more");
    assert_eq!((&erased["erased"], ids(&open).len()), (&json!(true), 0), "{erased}");
    assert!(refusal(&["tenant", "show", id]).starts_with("there is no tenant"));
}

#[tokio::test]
async fn without_a_management_api_the_gate_is_shut_all_the_same() {
    let tenant = json(&["tenant", "create", &unique("Unreachable")]);
    note(&tenant, &tenant, "unreachable").await;
    let id = tenant["tenant_id"].as_str().expect("an id");
    let suspend = ["tenant", "suspend", id, "--management-endpoint", "http://127.0.0.1:1", "--keep-trying", "0"];
    let failed = json_with(&suspend, "").expect_err("it may be open");
    assert_eq!(failed["status"], "suspended");
    let problem = failed["sockets"]["problem"].as_str().expect("a problem");
    assert!(problem.starts_with("sockets cannot be closed through http://127.0.0.1:1 ("), "{problem}");
}
