//! The table of CONTRIBUTING.md that says where each rule lives.

use std::path::Path;

use tests::Document;

/// The rules that a reader must find in one guess.
const RULES: [&str; 16] = [
    "10 messages a second",
    "resume",
    "cancel",
    "idempotency of create",
    "single-use ticket",
    "generation lease",
    "connection slot",
    "coalescing interval",
    "CHAT_ACCESS_DENIED",
    "$disconnect",
    "retention",
    "offset paging",
    "local 29 s timeout",
    "demo tenant",
    "retry of transactions",
    "context window",
];

#[test]
fn every_rule_is_in_the_file_that_the_table_names() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate is in a workspace");
    let table = Document::read("CONTRIBUTING.md").section("## Where a rule lives").table();
    for file in table.values() {
        assert!(root.join(file).is_file(), "CONTRIBUTING.md names {file}, which does not exist");
    }
    for rule in RULES {
        assert!(table.contains_key(rule), "CONTRIBUTING.md does not say where {rule} lives");
    }
}
