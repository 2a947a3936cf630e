//! What a person reads of a conversation.

use std::borrow::Cow;

use chat_api_client::{
    AnswerEnd, State, Update,
    event::FinishReason,
    resources::{ChatInfo, Message, Role, Status},
};

use console::truncate_str;

use crate::{
    table,
    terminal::{Colour, Terminal},
};

/// The widest title in a list, in columns.
const MAX_TITLE: usize = 48;

/// Of an answer that the limit of its length has ended.
pub(super) const CUT: &str = "the answer is cut: it has reached the longest allowed length";

/// The text without characters that control a terminal: a model could change its title, or hide what it wrote.
pub(super) fn printable(text: &str) -> Cow<'_, str> {
    let controls = |character: char| character.is_control() && !['\n', '\t'].contains(&character);
    if !text.contains(controls) {
        return Cow::Borrowed(text);
    }
    text.replace('\r', "").replace(controls, "\u{fffd}").into()
}

/// A report that a person wants to see, if it is one.
pub(super) fn note(update: &Update) -> Option<String> {
    match update {
        Update::Retry { error, after } => {
            Some(format!("{error} The message is sent again in {} s.", after.as_secs().max(1)))
        }
        Update::State(State::Connecting | State::Reconnecting, Some(error)) => {
            Some(format!("no connection: {error} Trying again."))
        }
        Update::State(State::Closed, Some(error)) => {
            Some(format!("the connection is closed: {error} Your next message connects again."))
        }
        _ => None,
    }
}

/// The line below an answer.
pub(super) fn summary(end: &AnswerEnd) -> String {
    let mut parts = Vec::new();
    match end.finish_reason {
        FinishReason::Cancelled => parts.push("stopped".to_owned()),
        FinishReason::Length => parts.push(CUT.to_owned()),
        _ => {}
    }
    if let Some(usage) = end.usage {
        let about = if usage.estimated { "about " } else { "" };
        parts.push(format!("{about}{} tokens", usage.output_tokens));
    }
    if let Some(timing) = end.timing {
        let (total, first) = (duration(timing.total_ms), duration(timing.first_token_ms));
        parts.push(format!("{total}, the first after {first}"));
    }
    parts.join(" · ")
}

fn duration(milliseconds: u64) -> String {
    match milliseconds {
        0..1_000 => format!("{milliseconds} ms"),
        _ => format!("{:.1} s", milliseconds as f64 / 1_000.0),
    }
}

/// The messages of a chat.
pub(super) fn history(messages: &[Message], terminal: &Terminal) -> String {
    let lines = messages.iter().map(|message| {
        let content = printable(&message.content);
        let end = match message.status {
            Status::Complete => "",
            Status::Streaming => " (streaming)",
            Status::Cancelled => " (stopped)",
            Status::Interrupted => " (interrupted)",
            _ => " (failed)",
        };
        let end = terminal.paint(Colour::Dim, end);
        match message.role {
            Role::User => format!("{}{content}", prompt(terminal)),
            _ => format!("{content}{end}\n"),
        }
    });
    lines.collect::<Vec<_>>().join("\n").trim_end().to_owned()
}

/// What stands before the messages of the user.
pub(super) fn prompt(terminal: &Terminal) -> String {
    format!("{} ", terminal.paint(Colour::Green, "›"))
}

/// The chats of a user, with the numbers to open them.
pub(super) fn chats(chats: &[ChatInfo], current: Option<&str>, terminal: &Terminal) -> String {
    let rows = chats.iter().enumerate().map(|(index, chat)| {
        let title =
            truncate_str(&printable(chat.title.as_deref().unwrap_or("(no title)")), MAX_TITLE, "…").into_owned();
        let is_current = Some(chat.chat_id.as_str()) == current;
        let title = if is_current { terminal.paint(Colour::Bold, title) } else { title };
        let last = chat.last_message_at.as_deref().map_or_else(|| "–".to_owned(), time);
        [(index + 1).to_string(), title, chat.message_count.to_string(), last]
    });
    table::render(["", "TITLE", "MESSAGES", "LAST MESSAGE"], rows.collect(), terminal)
}

/// A time of the API, to the minute.
fn time(text: &str) -> String {
    text.get(..16).unwrap_or(text).replace('T', " ")
}

#[cfg(test)]
mod tests {
    use chat_api_client::event::{Timing, Usage};

    use super::*;

    #[test]
    fn control_characters_are_replaced() {
        assert_eq!(printable("a\tb\r\nc\u{1b}]0;title\u{7} 東京"), "a\tb\nc\u{fffd}]0;title\u{fffd} 東京");
        assert!(matches!(printable("plain\n"), Cow::Borrowed(_)));
    }

    #[test]
    fn summary_says_what_a_reader_wants_to_know() {
        let usage = Some(Usage { input_tokens: 1, output_tokens: 12, estimated: false });
        let timing = Some(Timing { first_token_ms: 310, total_ms: 1_240 });
        let end = |finish_reason, usage, timing| AnswerEnd { text: String::new(), finish_reason, usage, timing };
        let stop = summary(&end(FinishReason::Stop, usage, timing));
        assert_eq!(stop, "12 tokens · 1.2 s, the first after 310 ms");
        assert_eq!(summary(&end(FinishReason::Cancelled, None, None)), "stopped");
    }
}
