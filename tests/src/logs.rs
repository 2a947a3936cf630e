//! What a stack and all that runs in it prints.

use std::{fs, path::PathBuf};

use serde_json::Value;

use crate::{Stack, eventually};

impl Stack {
    /// Everything that was printed so far by the functions and by what they run on. What `chat dev` itself tells a
    /// developer is not among it.
    #[must_use]
    pub fn printed(&self) -> String {
        let folder = fs::read_dir(self.logs()).expect("the logs are there");
        folder.map(|entry| read(&entry.expect("readable").path())).collect()
    }

    /// The lines of the functions' logs so far.
    #[must_use]
    pub fn logged(&self) -> Vec<Value> {
        let printed = self.printed();
        printed.lines().filter_map(|line| serde_json::from_str(line).ok()).filter(Value::is_object).collect()
    }

    /// The line with this message about a request, as soon as it is there.
    pub async fn line(&self, message: &str, request_id: &str) -> Value {
        self.line_that(message, |line| line["request_id"] == request_id).await
    }

    /// A line with this message, as soon as there is one that is wanted.
    pub async fn line_that(&self, message: &str, is_wanted: impl Fn(&Value) -> bool) -> Value {
        let mut found = Value::Null;
        eventually(&format!("a line {message:?}"), async || {
            let line = self.logged().into_iter().find(|line| line["message"] == message && is_wanted(line));
            found = line.unwrap_or_default();
            !found.is_null()
        })
        .await;
        found
    }
}

fn read(path: &PathBuf) -> String {
    // What a killed process wrote last may end in the middle of a character.
    String::from_utf8_lossy(&fs::read(path).expect("a log is readable")).into_owned()
}
