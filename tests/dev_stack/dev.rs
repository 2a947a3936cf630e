//! `cargo chat dev` with `cargo lambda watch` and hot reload.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::json;
use tests::{Options, Stack, eventually};

#[tokio::test]
async fn source_change_is_reloaded_with_sockets_open_and_data_survives_a_restart() {
    let copy = Copy::of_this_workspace();
    let options = Options { workspace: copy.path.clone(), target: copy.path.join("target"), arguments: Vec::new() };
    let stack = Stack::start(&options);
    let tenant = stack.tenant("reload").await;
    let chat = tenant.chat("u").await;
    let mut socket = tenant.connect(&chat, "u").await;
    socket.say("before").await;
    let not_found = async || tenant.get("/unknown").await.body["error"]["details"]["path"].clone();
    assert_eq!(not_found().await, "/unknown");

    copy.replace("functions/fallback/src/handler.rs", "request.raw_http_path()", "\"/reloaded\"");
    eventually("the change is loaded", async || not_found().await == "/reloaded").await;

    socket.send(&json!({ "content": "after" })).await;
    assert_eq!(socket.next_of("message_stream_ended").await["content"], "You said: after");

    drop(stack);
    let stack = Stack::start(&options);
    let kept = stack.again(&tenant).get(&format!("/api/v1/chats/{chat}/messages")).await;
    assert_eq!(kept.body["total"], 4, "{}", kept.body);
}

/// A copy of this workspace that a test may change, with its compiled dependencies.
struct Copy {
    path: PathBuf,
}

impl Copy {
    fn of_this_workspace() -> Self {
        let options = Options::binaries();
        let path = options.target.join("tests").join(format!("copy-{}", std::process::id()));
        let copy = Self { path };
        let listed = Command::new("git")
            .args(["ls-files", "--cached", "--others", "--exclude-standard"])
            .current_dir(&options.workspace)
            .output()
            .expect("git runs");
        for file in String::from_utf8(listed.stdout).expect("names are text").lines() {
            let (from, to) = (options.workspace.join(file), copy.path.join(file));
            if from.exists() {
                fs::create_dir_all(to.parent().expect("files are in folders")).expect("folders can be created");
                fs::copy(&from, &to).expect("files can be copied");
            }
        }
        let (from, to) = (&options.target, copy.path.join("target"));
        for folder in ["debug/.fingerprint", "debug/build", "debug/deps", "tools"] {
            link(&from.join(folder), &to.join(folder)).expect("files can be linked");
        }
        copy
    }

    fn replace(&self, file: &str, from: &str, to: &str) {
        let file = self.path.join(file);
        let source = fs::read_to_string(&file).expect("the source is readable");
        assert!(source.contains(from), "{file:?} has changed; adapt this test");
        fs::write(&file, source.replace(from, to)).expect("the source can be written");
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            assert!(std::thread::panicking(), "failed to remove {:?}: {error}", self.path);
        }
    }
}

/// Hard-links a tree of files. Cargo identifies compiled dependencies by their sources, not their place; it replaces files and
/// never writes into them, so the originals stay unchanged.
fn link(from: &Path, to: &Path) -> io::Result<()> {
    if !from.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            link(&entry.path(), &target)?;
        } else if entry.file_type()?.is_symlink() {
            continue;
        } else if let Err(error) = fs::hard_link(entry.path(), target) {
            // Cargo in another test may replace the file.
            if error.kind() != io::ErrorKind::NotFound {
                return Err(error);
            }
        }
    }
    Ok(())
}
