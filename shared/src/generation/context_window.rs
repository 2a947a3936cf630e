//! The context window: the turns of a chat that an agent is given.

use crate::{
    agents::Turn,
    domain::{
        chat::{ChatConfig, SystemPrompt},
        message::{Message, Role, Status},
        tokens::{estimated_tokens, most_tokens_of},
    },
};

/// How many of a chat's newest messages may be read for its context window.
const CONTEXT_MESSAGES: u16 = 100;

/// How many of them the first query reads, and each further one at least. Of long messages these fill the window, so
/// that a frame cannot read a megabyte for it.
pub const FIRST_MESSAGES: u16 = 12;

/// The tokens of a turn beside its text: models mark who speaks.
const TURN_TOKENS: u32 = 4;

/// The turns of a chat, oldest first: the newest whole messages whose tokens fit into `max_tokens` beside the system
/// prompt. The `new` message of the user, or else the newest message, is always among them.
///
/// Assistant messages that were cancelled or interrupted count with the text they have. Failed ones, and those that
/// still stream, are left out.
#[must_use]
pub fn context_window(recent: Vec<Message>, new: Option<&str>, config: &ChatConfig, max_tokens: u32) -> Vec<Turn> {
    let newest = new.map(|content| Turn { role: Role::User, content: content.to_owned() });
    let earlier = recent.into_iter().rev().filter(has_text);
    let turns = newest.into_iter().chain(earlier.map(|message| Turn { role: message.role, content: message.content }));

    let mut left = tokens_beside_prompt(config, max_tokens);
    let mut window: Vec<Turn> = Vec::new();
    for turn in turns {
        let tokens = turn_tokens(&turn.content);
        if tokens > left && !window.is_empty() {
            break;
        }
        left = left.saturating_sub(tokens);
        window.push(turn);
    }
    window.reverse();
    window
}

/// How many messages to read beyond those that were read, `newest_first`, for the [`context_window`] beside the `new`
/// message; 0 when the window is full. Without a new message the newest one is to be replaced and is not part of it.
///
/// If older messages are as long as newer ones, one more query fills the window.
#[must_use]
pub fn messages_to_read(newest_first: &[Message], new: Option<&str>, config: &ChatConfig, max_tokens: u32) -> u16 {
    let (replaced, new_tokens) = new.map_or((1, 0), |content| (0, turn_tokens(content)));
    let left = tokens_beside_prompt(config, max_tokens).saturating_sub(new_tokens);
    let used = newest_first
        .iter()
        .skip(replaced)
        .filter(|message| has_text(message))
        .fold(0, |used: u32, message| used.saturating_add(turn_tokens(&message.content)));
    let read = u16::try_from(newest_first.len()).unwrap_or(u16::MAX);
    let allowed = CONTEXT_MESSAGES.saturating_sub(read);
    match left.saturating_sub(used) {
        // Not even the shortest message fits.
        ..=TURN_TOKENS => 0,
        unused => {
            let fitting = (u64::from(unused) * u64::from(read)).div_ceil(u64::from(used.max(1)));
            u16::try_from(fitting).unwrap_or(u16::MAX).max(FIRST_MESSAGES).min(allowed)
        }
    }
}

/// Whether a message is part of a context window.
fn has_text(message: &Message) -> bool {
    !message.content.is_empty() && matches!(message.status, Status::Complete | Status::Cancelled | Status::Interrupted)
}

fn tokens_beside_prompt(config: &ChatConfig, max_tokens: u32) -> u32 {
    max_tokens.saturating_sub(prompt_tokens(config))
}

fn prompt_tokens(config: &ChatConfig) -> u32 {
    config.system_prompt.as_ref().map_or(0, |prompt| turn_tokens(prompt.as_str()))
}

/// The estimated tokens of a request with these turns.
#[must_use]
pub fn input_tokens(turns: &[Turn], config: &ChatConfig) -> u32 {
    turns.iter().fold(prompt_tokens(config), |tokens, turn| tokens.saturating_add(turn_tokens(&turn.content)))
}

/// The most [`input_tokens`] of a request, whatever the chat, whose newest turn is estimated to have `newest` tokens: a full
/// window, or the longest system prompt with that turn, if that is more.
#[must_use]
pub fn most_input_tokens(newest: u32, max_tokens: u32) -> u32 {
    let least = most_tokens_of(SystemPrompt::MAX_BYTES) + TURN_TOKENS;
    least.saturating_add(newest).saturating_add(TURN_TOKENS).max(max_tokens)
}

/// The estimated tokens of a turn.
fn turn_tokens(text: &str) -> u32 {
    estimated_tokens(text).saturating_add(TURN_TOKENS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        id::{ChatId, MessageId},
        time::Timestamp,
    };

    fn message(seq: u32, content: &str, status: Status) -> Message {
        Message {
            message_id: MessageId::at(seq),
            chat_id: ChatId::generate(),
            role: if seq.is_multiple_of(2) { Role::User } else { Role::Assistant },
            content: content.to_owned(),
            status,
            seq,
            created_at: Timestamp::from_millis(0),
            completed_at: None,
            in_reply_to: None,
            client_message_id: None,
            finish_reason: None,
            usage: None,
        }
    }

    fn texts(turns: &[Turn]) -> Vec<&str> {
        turns.iter().map(|turn| turn.content.as_str()).collect()
    }

    #[test]
    fn failed_and_streaming_messages_are_left_out() {
        let recent = vec![
            message(0, "zero", Status::Complete),
            message(1, "one", Status::Cancelled),
            message(2, "two", Status::Complete),
            message(3, "three", Status::Interrupted),
            message(4, "four", Status::Complete),
            message(5, "five", Status::Failed),
            message(6, "six", Status::Complete),
            message(7, "seven", Status::Streaming),
            message(9, "", Status::Interrupted),
        ];
        let turns = context_window(recent, Some("new"), &ChatConfig::default(), 1_000);
        assert_eq!(texts(&turns), ["zero", "one", "two", "three", "four", "six", "new"]);
        assert_eq!(turns[1].role, Role::Assistant);
    }

    #[test]
    fn newest_whole_messages_that_fit_are_kept() {
        let long = "x".repeat(400);
        let recent: Vec<Message> = (0..10).map(|seq| message(seq, &long, Status::Complete)).collect();
        let each = turn_tokens(&long);
        let limit = |messages: u32| each * messages + turn_tokens("new");
        for kept in 0..=10_usize {
            let fits = u32::try_from(kept).expect("small");
            let turns = context_window(recent.clone(), Some("new"), &ChatConfig::default(), limit(fits));
            assert_eq!(turns.len(), kept + 1);
            assert_eq!(turns.last().expect("a turn").content, "new");
        }
        let one_short = context_window(recent.clone(), Some("new"), &ChatConfig::default(), limit(3) - 1);
        assert_eq!(one_short.len(), 3, "messages are not cut");
        let tiny = context_window(recent, Some("new"), &ChatConfig::default(), 0);
        assert_eq!(texts(&tiny), ["new"], "the newest message is always kept");
    }

    #[test]
    fn as_many_messages_are_read_as_fit_if_older_ones_are_as_long() {
        let config = ChatConfig::default();
        let read = |messages: u32, content: &str, new| {
            let newest_first: Vec<Message> =
                (0..messages).rev().map(|seq| message(seq, content, Status::Complete)).collect();
            messages_to_read(&newest_first, new, &config, 8_000)
        };
        // 28 KB are 7,000 tokens, 400 bytes are 104.
        let (longest, long) = ("x".repeat(28_000), "x".repeat(400));
        assert_eq!(read(12, &longest, Some("new")), 0);
        assert_eq!(read(1, &longest, Some("new")), FIRST_MESSAGES);
        assert_eq!(read(12, &long, Some("new")), 65, "77 fit");
        assert_eq!(read(77, &long, Some("new")), 0);
        assert_eq!(read(12, "short", Some("new")), 88, "at most 100 in all");
        assert_eq!(read(100, "short", Some("new")), 0);
        assert_eq!(read(12, &long, Some(&longest)), 0);
        assert_eq!(read(12, "", Some("new")), 88, "a message without text takes none of the window");
        // The message that is replaced is no part of the window.
        assert_eq!((read(1, &longest, None), read(2, &longest, None), read(3, &longest, None)), (99, 12, 0));
    }

    #[test]
    fn all_messages_of_the_context_window_are_read() {
        for (length, max_tokens) in [(0, 50), (1, 50), (100, 2_000), (1_000, 8_000), (40_000, 8_000)] {
            let text = |seq: u32| "x".repeat(1 + length * (seq as usize % 7));
            let chat: Vec<Message> = (0..200).map(|seq| message(seq, &text(seq), Status::Complete)).collect();
            let newest_first: Vec<Message> = chat.iter().rev().cloned().collect();
            let (mut read, mut queries) = (usize::from(FIRST_MESSAGES), 1);
            loop {
                match messages_to_read(&newest_first[..read], Some("new"), &ChatConfig::default(), max_tokens) {
                    0 => break,
                    more => (read, queries) = (read + usize::from(more), queries + 1),
                }
            }
            let window = |messages: usize| {
                let recent = chat[chat.len() - messages..].to_vec();
                context_window(recent, Some("new"), &ChatConfig::default(), max_tokens).len()
            };
            assert_eq!(window(read), window(100), "{length} {max_tokens}");
            assert!(queries <= 3 && read <= 100, "{queries} queries, {read} messages");
        }
    }

    #[test]
    fn system_prompt_counts_against_the_limit() {
        let long = "x".repeat(400);
        let recent: Vec<Message> = (0..10).map(|seq| message(seq, &long, Status::Complete)).collect();
        let config: ChatConfig =
            serde_json::from_value(serde_json::json!({ "system_prompt": long })).expect("a configuration");
        let limit = turn_tokens(&long) * 5 + turn_tokens("new");
        assert_eq!(context_window(recent.clone(), Some("new"), &ChatConfig::default(), limit).len(), 6);
        assert_eq!(context_window(recent, Some("new"), &config, limit).len(), 5);
    }

    #[test]
    fn request_is_estimated_with_its_prompt_and_all_turns() {
        let config: ChatConfig =
            serde_json::from_value(serde_json::json!({ "system_prompt": "four" })).expect("a configuration");
        let turns = context_window(vec![message(0, "word word", Status::Complete)], Some("new"), &config, 1_000);
        assert_eq!(input_tokens(&turns, &config), (1 + 3 + 1) + 3 * TURN_TOKENS);
    }

    #[test]
    fn no_chat_has_more_input_than_the_most() {
        let prompts = [None, Some("Be brief.".to_owned()), Some("👩".repeat(SystemPrompt::MAX_BYTES / 4))];
        let contents = ["x".to_owned(), "x".repeat(28_000), "👩".repeat(7_000)];
        for (prompt, content) in prompts.iter().flat_map(|prompt| contents.iter().map(move |content| (prompt, content)))
        {
            let config: ChatConfig =
                serde_json::from_value(serde_json::json!({ "system_prompt": prompt })).expect("a configuration");
            let recent: Vec<Message> = (0..50).map(|seq| message(seq, &"y".repeat(999), Status::Complete)).collect();
            for max_tokens in [0, 500, 8_000, 100_000] {
                let turns = context_window(recent.clone(), Some(content), &config, max_tokens);
                let most = most_input_tokens(estimated_tokens(content), max_tokens);
                assert!(input_tokens(&turns, &config) <= most, "{max_tokens}, {} bytes", content.len());
            }
        }
    }
}
