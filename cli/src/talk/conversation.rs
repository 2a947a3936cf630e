//! The chat that is open, and the API behind it.

use anyhow::{Context, Result};
use chat_api_client::{
    Answer, Chat, ChatApi, ChatError, NewChat, Page, Source, State, Updates,
    resources::{ChatChange, ChatConfig, ChatInfo, ConfigChange, Message, Role},
};

/// The longest title that a first message gives, in characters.
const MAX_TITLE: usize = 60;
/// How many chats and messages a list shows.
const LISTED: u32 = 50;

pub(super) struct Conversation {
    api: ChatApi,
    user: String,
    model: Option<String>,
    current: Option<Current>,
}

/// The chat that is open.
struct Current {
    info: ChatInfo,
    chat: Chat,
    updates: Updates,
}

impl Conversation {
    pub(super) fn new(api: ChatApi, user: &str, model: Option<String>) -> Self {
        Self { api, user: user.to_owned(), model, current: None }
    }

    /// Opens a chat.
    pub(super) async fn open(&mut self, chat_id: &str) -> Result<()> {
        let info = self.api.get_chat(chat_id).await?;
        info.user_id.clone_into(&mut self.user);
        self.connect(info);
        Ok(())
    }

    /// Leaves the chat. The next message creates another one.
    pub(super) fn leave(&mut self) {
        self.current = None;
    }

    /// The chat that is open; `None` before its first message.
    pub(super) fn info(&self) -> Option<&ChatInfo> {
        self.current.as_ref().map(|current| &current.info)
    }

    pub(super) fn user(&self) -> &str {
        &self.user
    }

    /// The model that was asked for; `None` for the default.
    pub(super) fn model(&self) -> Option<&str> {
        match self.info() {
            Some(info) => info.config.model.as_deref(),
            None => self.model.as_deref(),
        }
    }

    /// What the chat reports, if one is open.
    pub(super) fn updates(&mut self) -> Option<&mut Updates> {
        self.current.as_mut().map(|current| &mut current.updates)
    }

    /// Sends a message. The first one creates the chat, whose title it is.
    pub(super) async fn send(&mut self, content: &str) -> Result<Answer> {
        if self.current.is_none() {
            let config = ChatConfig { model: self.model.clone(), ..ChatConfig::default() };
            let title = Some(title_of(content)).filter(|title| !title.is_empty());
            let chat = NewChat { title, config: Some(config), ..NewChat::of_user(&self.user) };
            let info = self.api.create_chat(&chat).await?;
            self.connect(info);
        }
        Ok(self.chat().context("no chat is open")?.send(content))
    }

    /// Asks for another answer in the place of the last one.
    pub(super) async fn regenerate(&mut self) -> Result<Answer> {
        let newest = Page { limit: Some(1), is_descending: true, ..Page::default() };
        let last = match self.info() {
            Some(info) => self.api.list_messages(&info.chat_id, newest).await?.messages.pop(),
            None => None,
        };
        let answer = last.filter(|message| message.role == Role::Assistant);
        let answer = answer.context("there is no answer yet: send a message first")?;
        Ok(self.chat().context("no chat is open")?.regenerate(&answer.message_id))
    }

    /// The connection of the open chat: another one if it was closed for good.
    fn chat(&mut self) -> Option<&Chat> {
        if let Some(current) = self.current.take_if(|current| current.chat.state() == State::Closed) {
            self.connect(current.info);
        }
        self.current.as_ref().map(|current| &current.chat)
    }

    /// The newest messages of the chat, oldest first.
    pub(super) async fn history(&self) -> Result<Vec<Message>> {
        let Some(current) = &self.current else { return Ok(Vec::new()) };
        let page = Page { limit: Some(LISTED), is_descending: true, ..Page::default() };
        let mut messages = self.api.list_messages(&current.info.chat_id, page).await?.messages;
        messages.reverse();
        Ok(messages)
    }

    /// The user's chats, most recently active first.
    pub(super) async fn chats(&self) -> Result<Vec<ChatInfo>> {
        let page = Page { limit: Some(LISTED), ..Page::default() };
        Ok(self.api.list_user_chats(&self.user, page).await?.chats)
    }

    /// Changes the model of the chat, and of those that are created after it.
    pub(super) async fn set_model(&mut self, model: &str) -> Result<()> {
        if let Some(current) = &mut self.current {
            let config = ConfigChange { model: Some(Some(model.to_owned())), ..ConfigChange::default() };
            let change = ChatChange { config: Some(config), ..ChatChange::default() };
            current.info = self.api.update_chat(&current.info.chat_id, &change).await?;
        }
        self.model = Some(model.to_owned());
        Ok(())
    }

    fn connect(&mut self, info: ChatInfo) {
        let (api, chat_id) = (self.api.clone(), info.chat_id.clone());
        let chat = Chat::connect(Source::tickets(move || {
            let (api, chat_id) = (api.clone(), chat_id.clone());
            async move { Ok::<_, ChatError>(api.create_ticket(&chat_id).await?.url) }
        }));
        let updates = chat.updates();
        self.current = Some(Current { info, chat, updates });
    }
}

/// The title of a chat that begins with a message.
fn title_of(content: &str) -> String {
    let line = content.trim().lines().next().unwrap_or_default();
    if line.chars().count() <= MAX_TITLE {
        return line.to_owned();
    }
    line.chars().take(MAX_TITLE - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn title_is_the_first_line() {
        assert_eq!(title_of("  Hello\nWorld"), "Hello");
        assert_eq!(title_of(&"東".repeat(61)), format!("{}…", "東".repeat(59)));
        assert_eq!(title_of(&"東".repeat(60)), "東".repeat(60));
    }
}
