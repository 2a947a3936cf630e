//! Snapshots of errors as clients see them: one file a code in `tests/snapshots`.
//!
//! After a deliberate change: `INSTA_UPDATE=always cargo test --test suite errors`, then review the files with git.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use shared::domain::error::Code;
use tests::Response;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/snapshots");

/// Members whose values differ in every run.
const VARYING: [&str; 9] = [
    "chat_id",
    "connection_id",
    "connectionId",
    "message_id",
    "request_id",
    "requestId",
    "resets_at",
    "retry_after_seconds",
    "timestamp",
];

/// Compares status and body of a response with the snapshot of a code.
pub(crate) fn assert_response(code: Code, response: &Response) {
    let mut body = response.body.clone();
    if let Some(details) = body.pointer_mut("/error/details")
        && let (Some(wait), Some(text)) = (details["retry_after_seconds"].as_u64(), details["suggestion"].as_str())
    {
        details["suggestion"] = text.replace(&format!("{wait} s"), "[retry_after_seconds] s").into();
    }
    assert_snapshot(code, &json!({ "status": response.status.as_u16(), "body": body }));
}

/// Compares an error event with the snapshot of a code.
pub(crate) fn assert_event(code: Code, event: &Value) {
    assert_snapshot(code, &json!({ "event": event }));
}

fn assert_snapshot(code: Code, value: &Value) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(FOLDER);
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.set_sort_maps(true);
    for name in VARYING {
        settings.add_redaction(&format!(".**.{name}"), format!("[{name}]"));
    }
    settings.bind(|| insta::assert_json_snapshot!(code.as_str(), value));
}

#[test]
fn every_error_code_has_a_snapshot() {
    let files = std::fs::read_dir(FOLDER).expect("the folder exists").map(|file| file.expect("a file").path());
    let files = files.filter(|path| path.extension().is_some_and(|extension| extension == "snap"));
    let found: BTreeSet<String> =
        files.map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned()).collect();
    assert_eq!(found, Code::ALL.iter().map(|code| code.as_str().to_owned()).collect());
}
