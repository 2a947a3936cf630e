//! The input of an agent.

use crate::domain::{chat::ChatConfig, message::Role};

/// The input of an agent: turns and configuration.
#[derive(Clone, Debug)]
pub struct Conversation {
    /// The turns, oldest first; the last one is the user's.
    pub turns: Vec<Turn>,
    /// The configuration of the chat.
    pub config: ChatConfig,
}

/// One turn of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Who speaks.
    pub role: Role,
    /// The text.
    pub content: String,
}

impl Conversation {
    /// The turns in the order that many models require: the user first, roles alternating, no blank turns.
    ///
    /// A failed assistant message is not part of a conversation, so two user turns may follow each other; they become one
    /// turn of two paragraphs.
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
    fn user_comes_first_and_roles_alternate() {
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
