//! A client that uses every operation, with pauses.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use chat_api_client::{
    Answer, Chat, ChatApi, ChatError, Event, NewChat, Page, Source, Update,
    resources::{ChatChange, ChatConfig},
};
use tests::{Random, Stack, Tenant};

/// Messages in a chat before the client creates another.
const MESSAGES: usize = 8;

const CONTENT: &str = "Tell me once more, and take your time: how does all of this hang together, what comes first and \
                       what comes last, and why is the one before the other? 東京 👩‍👩‍👧";

pub(super) struct LoadClient {
    api: ChatApi,
    websocket_url: String,
    key: String,
    user: String,
    random: Random,
    over: Arc<AtomicBool>,
    pub(super) counts: Counts,
}

/// How often each thing was done.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    chats: usize,
    messages: usize,
    cancelled: usize,
    resumed: usize,
    regenerated: usize,
}

impl LoadClient {
    pub(super) fn new(stack: &Stack, tenant: &Tenant, number: u64, over: Arc<AtomicBool>) -> Self {
        Self {
            api: ChatApi::new(stack.rest_url(), &tenant.key).expect("an address and a key"),
            websocket_url: stack.websocket_url().to_owned(),
            key: tenant.key.clone(),
            user: format!("user-{number}"),
            random: Random::new(number),
            over,
            counts: Counts::default(),
        }
    }

    /// Runs until `over`.
    pub(super) async fn run(&mut self) -> Result<(), ChatError> {
        while !self.over.load(Ordering::Relaxed) {
            let config = ChatConfig { model: Some("echo@25".to_owned()), ..ChatConfig::default() };
            let new_chat = NewChat { config: Some(config), ..NewChat::of_user(&self.user) };
            let chat_id = self.api.create_chat(&new_chat).await?.chat_id;
            self.counts.chats += 1;
            let mut chat = self.connect(&chat_id);
            for _ in 0..MESSAGES {
                // The time to read and write.
                tokio::time::sleep(Duration::from_millis(2_000 + self.random.below(6_000))).await;
                if self.over.load(Ordering::Relaxed) {
                    break;
                }
                self.exchange(&mut chat, &chat_id).await?;
            }
            self.read_and_delete(chat, &chat_id).await?;
        }
        Ok(())
    }

    async fn exchange(&mut self, chat: &mut Chat, chat_id: &str) -> Result<(), ChatError> {
        self.counts.messages += 1;
        let mut answer = chat.send(CONTENT);
        match self.random.below(10) {
            0 => {
                answer.next().await?;
                answer.cancel();
                answer.ended().await?;
                self.counts.cancelled += 1;
            }
            1 => {
                answer.next().await?;
                *chat = self.connect(chat_id);
                if let Some(answer) = streaming(chat).await {
                    check(&answer).await?;
                    self.counts.resumed += 1;
                }
            }
            2 => {
                check(&answer).await?;
                // The end is sent before the generation leaves the list of running ones.
                tokio::time::sleep(Duration::from_millis(500)).await;
                check(&chat.regenerate(&answer.message_id().expect("an id"))).await?;
                self.counts.regenerated += 1;
            }
            _ => check(&answer).await?,
        }
        Ok(())
    }

    fn connect(&mut self, chat_id: &str) -> Chat {
        if self.random.below(2) == 0 {
            return Chat::connect(Source::key(&self.websocket_url, &self.key, &self.user, chat_id));
        }
        let (api, chat_id) = (self.api.clone(), chat_id.to_owned());
        Chat::connect(Source::tickets(move || {
            let (api, chat_id) = (api.clone(), chat_id.clone());
            async move { Ok::<_, ChatError>(api.create_ticket(&chat_id).await?.url) }
        }))
    }

    async fn read_and_delete(&mut self, chat: Chat, chat_id: &str) -> Result<(), ChatError> {
        self.api.get_chat(chat_id).await?;
        self.api.list_messages(chat_id, Page::default()).await?;
        self.api.list_user_chats(&self.user, Page::default()).await?;
        let change = ChatChange { title: Some(Some("Changed".to_owned())), ..ChatChange::default() };
        self.api.update_chat(chat_id, &change).await?;
        let mut updates = chat.updates();
        self.api.delete_chat(chat_id).await?;
        // The server closes it.
        while updates.next().await.is_some() {}
        Ok(())
    }
}

/// Waits for the whole answer.
async fn check(answer: &Answer) -> Result<(), ChatError> {
    assert_eq!(answer.ended().await?.text, format!("You said: {CONTENT}"));
    Ok(())
}

/// The answer that was streaming when the chat connected, if it had not ended.
async fn streaming(chat: &Chat) -> Option<Answer> {
    let mut updates = chat.updates();
    loop {
        match updates.next().await? {
            Update::Event(Event::ConnectionEstablished(event)) if event.active_streams.is_empty() => return None,
            Update::Answer(answer) => return Some(answer),
            _ => {}
        }
    }
}

impl Counts {
    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            chats: self.chats + other.chats,
            messages: self.messages + other.messages,
            cancelled: self.cancelled + other.cancelled,
            resumed: self.resumed + other.resumed,
            regenerated: self.regenerated + other.regenerated,
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { chats, messages, cancelled, resumed, regenerated } = self;
        write!(
            f,
            "{chats} chats, {messages} messages, of their answers {cancelled} cancelled, {resumed} continued on another socket, \
             {regenerated} regenerated"
        )
    }
}
