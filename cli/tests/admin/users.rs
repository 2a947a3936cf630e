//! `chat user`.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
};

use serde_json::{Value, json};

use crate::harness::{json, unique};

#[test]
fn export_is_readable_only_by_its_owner_even_over_an_existing_file() {
    let tenant = json(&["tenant", "create", &unique("Exporting")]);
    let id = tenant["tenant_id"].as_str().expect("an id");
    let folder = tempfile::tempdir().expect("a folder");
    let [file, part, other] = ["export.json", "export.json.part", "other"].map(|name| folder.path().join(name));
    fs::write(&other, "other").expect("written");
    let export = || {
        json(&["user", "export", id, "u", "--output", file.to_str().expect("UTF-8")]);
        let about = fs::symlink_metadata(&file).expect("the export exists");
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
