//! A model provider that counts the calls that cost money.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use axum::{Router, routing::post};
use serde_json::Value;

/// The one model that chats may use.
pub(super) const NAME: &str = "counted-model";

/// An answer of one token.
const HI: &str =
    "data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";

/// Starts it on its own thread, since a test's runtime ends with the test; returns its base URL.
pub(super) fn start() -> String {
    let (address, listens_at) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
            address.send(listener.local_addr().expect("an address")).expect("the test waits");
            let respond = async |request: String| {
                requests().push(serde_json::from_str(&request).expect("a request is JSON"));
                ([("content-type", "text/event-stream")], HI)
            };
            axum::serve(listener, Router::new().route("/v1/chat/completions", post(respond))).await.expect("it serves");
        });
    });
    format!("http://{}/v1", listens_at.recv().expect("it listens"))
}

/// Takes the requests since the last time.
pub(super) fn take_requests() -> Vec<Value> {
    std::mem::take(&mut *requests())
}

fn requests() -> MutexGuard<'static, Vec<Value>> {
    static REQUESTS: OnceLock<Mutex<Vec<Value>>> = OnceLock::new();
    REQUESTS.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner)
}
