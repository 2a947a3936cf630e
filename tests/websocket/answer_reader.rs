//! A client that collects the text of one answer from its frames.

use serde_json::Value;
use tests::Socket;

/// A text in many scripts, with characters that JSON escapes.
pub(crate) const MANY_SCRIPTS: &str = "Grüße, naïve façade 東京都へようこそ ٱلسَّلَامُ 👩‍👩‍👧 🏳️‍🌈 e\u{301} \n\t\"quoted\" \\ end";

/// The text received so far, checked for gaps and repetitions.
pub(crate) struct AnswerReader {
    pub(crate) text: String,
    /// The `message_stream_ended`, once it has arrived.
    pub(crate) end: Option<Value>,
}

impl AnswerReader {
    /// Starts at offset 0.
    pub(crate) fn new() -> Self {
        Self::starting_with("")
    }

    /// Starts after a text that the client already has.
    pub(crate) fn starting_with(text: &str) -> Self {
        Self { text: text.to_owned(), end: None }
    }

    /// Takes an event; ignores those of other answers.
    pub(crate) fn take(&mut self, message_id: &Value, event: &Value) {
        if event["message_id"] != *message_id {
            return;
        }
        match event["type"].as_str() {
            Some("message_stream_token") => {
                assert_eq!(event["offset"], self.text.len(), "tokens have no gap and no repetition");
                self.text.push_str(event["token"].as_str().expect("text"));
                assert_eq!(event["next_offset"], self.text.len());
            }
            Some("message_stream_ended") => self.end = Some(event.clone()),
            _ => {}
        }
    }

    /// Reads up to the end; returns it.
    pub(crate) async fn read_to_end(&mut self, message_id: &Value, socket: &mut Socket) -> Value {
        while self.end.is_none() {
            let event = socket.next().await;
            self.take(message_id, &event);
        }
        self.end.clone().expect("an end")
    }
}
