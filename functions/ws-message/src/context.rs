//! What an agent is told of a chat: as much of it as fits.

use shared::{
    agents::Turn,
    domain::{
        chat::ChatConfig,
        message::{Message, Role, Status},
    },
};

/// How many of the newest messages are read for an agent.
pub(crate) const CONTEXT_MESSAGES: u16 = 100;

/// What a turn takes beside its text: models mark who speaks.
const TURN_TOKENS: u32 = 4;

/// The turns of a conversation, oldest first: whole messages, the newest that fit into the budget beside the system
/// prompt. What is `new`, or else the newest message, is always there.
///
/// Answers that were cancelled or interrupted are part of it as far as they came; failed ones and those that still
/// stream are not.
pub(crate) fn turns(recent: Vec<Message>, new: Option<&str>, config: &ChatConfig, budget: u32) -> Vec<Turn> {
    let said = |message: &Message| {
        !message.content.is_empty()
            && matches!(message.status, Status::Complete | Status::Cancelled | Status::Interrupted)
    };
    let newest = new.map(|content| Turn { role: Role::User, content: content.to_owned() });
    let earlier = recent.into_iter().rev().filter(said);
    let turns = newest.into_iter().chain(earlier.map(|message| Turn { role: message.role, content: message.content }));

    let mut left = budget.saturating_sub(config.system_prompt.as_ref().map_or(0, |prompt| tokens(prompt.as_str())));
    let mut fitting: Vec<Turn> = Vec::new();
    for turn in turns {
        let cost = tokens(&turn.content);
        if cost > left && !fitting.is_empty() {
            break;
        }
        left = left.saturating_sub(cost);
        fitting.push(turn);
    }
    fitting.reverse();
    fitting
}

/// How many tokens a turn takes, about: models' vocabularies differ. Four letters of English are about one
/// (<https://help.openai.com/en/articles/4936856>); of other scripts a character is, and an emoji up to three.
/// Rather too many than too few, since a model refuses what is too long.
fn tokens(text: &str) -> u32 {
    let quarters: usize = text
        .chars()
        .map(|character| match character.len_utf8() {
            1 => 1,
            2 | 3 => 4,
            _ => 12,
        })
        .sum();
    u32::try_from(quarters.div_ceil(4)).unwrap_or(u32::MAX).saturating_add(TURN_TOKENS)
}

#[cfg(test)]
mod tests {
    use shared::domain::{
        id::{ChatId, MessageId},
        time::Timestamp,
    };

    use super::*;

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
    fn what_came_of_an_answer_is_part_of_it_unless_it_failed_or_still_streams() {
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
        let turns = turns(recent, Some("new"), &ChatConfig::default(), 1_000);
        assert_eq!(texts(&turns), ["zero", "one", "two", "three", "four", "six", "new"]);
        assert_eq!(turns[1].role, Role::Assistant);
    }

    #[test]
    fn the_newest_whole_messages_are_kept_that_fit() {
        let long = "x".repeat(400);
        let recent: Vec<Message> = (0..10).map(|seq| message(seq, &long, Status::Complete)).collect();
        let each = tokens(&long);
        let budget = |messages: u32| each * messages + tokens("new");
        for kept in 0..=10_usize {
            let fits = u32::try_from(kept).expect("small");
            let turns = turns(recent.clone(), Some("new"), &ChatConfig::default(), budget(fits));
            assert_eq!(turns.len(), kept + 1);
            assert_eq!(turns.last().expect("a turn").content, "new");
        }
        let one_short = turns(recent.clone(), Some("new"), &ChatConfig::default(), budget(3) - 1);
        assert_eq!(one_short.len(), 3, "a message is in or out");
        let tiny = turns(recent, Some("new"), &ChatConfig::default(), 0);
        assert_eq!(texts(&tiny), ["new"], "what is asked is always there");
    }

    #[test]
    fn the_system_prompt_takes_its_part() {
        let long = "x".repeat(400);
        let recent: Vec<Message> = (0..10).map(|seq| message(seq, &long, Status::Complete)).collect();
        let config: ChatConfig =
            serde_json::from_value(serde_json::json!({ "system_prompt": long })).expect("a configuration");
        let budget = tokens(&long) * 5 + tokens("new");
        assert_eq!(turns(recent.clone(), Some("new"), &ChatConfig::default(), budget).len(), 6);
        assert_eq!(turns(recent, Some("new"), &config, budget).len(), 5);
    }

    #[test]
    fn other_scripts_take_more_than_english() {
        assert_eq!(tokens("word word word w") - TURN_TOKENS, 4);
        assert_eq!(tokens("東京都") - TURN_TOKENS, 3);
        assert_eq!(tokens("👩") - TURN_TOKENS, 3);
    }
}
