//! What an agent is asked.

use crate::domain::{chat::ChatConfig, message::Role};

/// What an agent is asked.
#[derive(Clone, Debug)]
pub struct Conversation {
    /// What was said, oldest first; the last turn is the user's.
    pub turns: Vec<Turn>,
    /// How the answer is wanted.
    pub config: ChatConfig,
}

/// One thing that was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Who said it.
    pub role: Role,
    /// What was said.
    pub content: String,
}

impl Conversation {
    /// The turns in the order that many models insist on: the user first, then each in turn, none of them blank.
    ///
    /// An answer that failed is not part of a conversation, so the user may have spoken twice in a row; that becomes
    /// one turn of two paragraphs.
    pub(super) fn alternating(self) -> Vec<Turn> {
        let mut alternating: Vec<Turn> = Vec::with_capacity(self.turns.len());
        for turn in self.turns.into_iter().filter(|turn| !turn.content.trim().is_empty()) {
            match alternating.last_mut() {
                None if turn.role != Role::User => {}
                Some(last) if last.role == turn.role => {
                    last.content.push_str("\n\n");
                    last.content.push_str(&turn.content);
                }
                _ => alternating.push(turn),
            }
        }
        alternating
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(role: Role, content: &str) -> Turn {
        Turn { role, content: content.to_owned() }
    }

    #[test]
    fn the_user_begins_and_nobody_speaks_twice_in_a_row() {
        let turns = vec![
            turn(Role::Assistant, "cut off from its question"),
            turn(Role::User, "one"),
            turn(Role::User, "two"),
            turn(Role::Assistant, " \n"),
            turn(Role::Assistant, "three"),
            turn(Role::User, "four"),
        ];
        let alternating = Conversation { turns, config: ChatConfig::default() }.alternating();
        let expected = [turn(Role::User, "one\n\ntwo"), turn(Role::Assistant, "three"), turn(Role::User, "four")];
        assert_eq!(alternating, expected);
    }
}
