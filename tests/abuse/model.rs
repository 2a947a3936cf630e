//! A model provider that counts the calls that cost money.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use axum::routing::post;
use serde_json::Value;
use tests::serve_model;

/// The one model that chats may use.
pub(super) const NAME: &str = "counted-model";

/// An answer of one token.
const HI: &str =
    "data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";

/// Starts it; returns its base URL.
pub(super) fn start() -> String {
    serve_model(post(async |request: String| {
        requests().push(serde_json::from_str(&request).expect("a request is JSON"));
        ([("content-type", "text/event-stream")], HI)
    }))
}

/// Takes the requests since the last time.
pub(super) fn take_requests() -> Vec<Value> {
    std::mem::take(&mut *requests())
}

fn requests() -> MutexGuard<'static, Vec<Value>> {
    static REQUESTS: OnceLock<Mutex<Vec<Value>>> = OnceLock::new();
    REQUESTS.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner)
}
