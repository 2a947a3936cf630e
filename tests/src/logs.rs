//! The output of a stack.

use std::{fs, path::PathBuf};

use serde_json::Value;

use crate::{Stack, eventually};

impl Stack {
    /// All output so far of the functions and of what they run on, without that of `chat dev` itself.
    #[must_use]
    pub fn printed(&self) -> String {
        let folder = fs::read_dir(self.logs()).expect("the logs exist");
        folder.map(|entry| read(&entry.expect("readable").path())).collect()
    }

    /// The log lines of the functions so far.
    #[must_use]
    pub fn logged(&self) -> Vec<Value> {
        let printed = self.printed();
        printed.lines().filter_map(|line| serde_json::from_str(line).ok()).filter(Value::is_object).collect()
    }

    /// Waits for the line of a request with this message.
    pub async fn line(&self, message: &str, request_id: &str) -> Value {
        self.line_that(message, |line| line["request_id"] == request_id).await
    }

    /// Waits for a matching line with this message.
    pub async fn line_that(&self, message: &str, matches: impl Fn(&Value) -> bool) -> Value {
        let mut found = Value::Null;
        eventually(&format!("a line {message:?}"), async || {
            let line = self.logged().into_iter().find(|line| line["message"] == message && matches(line));
            found = line.unwrap_or_default();
            !found.is_null()
        })
        .await;
        found
    }
}

fn read(path: &PathBuf) -> String {
    // The last line of a killed process may end in the middle of a character.
    String::from_utf8_lossy(&fs::read(path).expect("a log is readable")).into_owned()
}
