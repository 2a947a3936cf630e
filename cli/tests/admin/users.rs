//! `chat user`.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use serde_json::{Value, json};

use crate::harness::{json, unique};

#[test]
fn nobody_else_reads_an_export_whatever_was_there() {
    let tenant = json(&["tenant", "create", &unique("Exporting")]);
    let id = tenant["tenant_id"].as_str().expect("an id");
    let folder = tempfile::tempdir().expect("a folder");
    let [file, part, other] = ["export.json", "export.json.part", "other"].map(|name| folder.path().join(name));
    fs::write(&other, "other").expect("written");
    let export = || {
        json(&["user", "export", id, "u", "--output", file.to_str().expect("UTF-8")]);
        let about = fs::symlink_metadata(&file).expect("it is there");
        assert!(about.is_file(), "{about:?}");
        assert_eq!(about.permissions().mode() & 0o777, 0o600);
        let document: Value = serde_json::from_slice(&fs::read(&file).expect("readable")).expect("JSON");
        assert_eq!(document["chats"], json!([]));
    };
    fs::copy(&other, &part).expect("copied");
    fs::set_permissions(&part, fs::Permissions::from_mode(0o644)).expect("set");
    export();
    symlink(&other, &part).expect("linked");
    export();
    assert_eq!(fs::read_to_string(&other).expect("readable"), "other");
}
