//! An answer that streams.

use std::time::Duration;

use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};

use crate::{
    chat::Request,
    connection::closed,
    error::{ChatError, Code},
    event::{ActiveStream, FinishReason, MessageReceived, StreamEnded, StreamStarted, StreamToken, Timing, Usage},
};

/// How an answer ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerEnd {
    /// The whole text.
    pub text: String,
    /// Why: `Stop`, `Length` or `Cancelled`.
    pub finish_reason: FinishReason,
    /// The tokens that the model used; `None` if the message was never sent.
    pub usage: Option<Usage>,
    /// How long it took; `None` if the message was never sent.
    pub timing: Option<Timing>,
}

/// An answer that streams. Clones are of the same answer, and each reads its text from the place of the original.
#[derive(Clone, Debug)]
pub struct Answer {
    id: AnswerNumber,
    progress: watch::Receiver<Progress>,
    requests: mpsc::WeakUnboundedSender<Request>,
    /// Bytes that `next` has returned.
    read: usize,
}

/// A stream that is silent for longer may have lost its process.
pub(crate) const SILENT_AFTER: Duration = Duration::from_secs(20);

/// Names an answer before the server does.
pub(crate) type AnswerNumber = u64;

/// Where an answer belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Start {
    pub(crate) message_id: String,
    pub(crate) seq: u32,
    pub(crate) in_reply_to: String,
    pub(crate) replaces: Option<String>,
    model: Option<String>,
}

impl Start {
    /// The answer to a message that the server has received before.
    pub(crate) fn repeated(message_id: String, seq: u32, in_reply_to: String) -> Self {
        Self { message_id, seq, in_reply_to, replaces: None, model: None }
    }
}

#[derive(Debug, Default)]
struct Progress {
    text: String,
    start: Option<Start>,
    /// Whether the message is stored, or refused; `None` inside for an answer that has no message here.
    received: Option<Result<Option<MessageReceived>, ChatError>>,
    outcome: Option<Result<AnswerEnd, ChatError>>,
}

impl Answer {
    /// The next part of the text; `None` at its end. Cancel safe.
    ///
    /// # Errors
    ///
    /// Why the answer failed, after the text that arrived.
    pub async fn next(&mut self) -> Result<Option<String>, ChatError> {
        let read = self.read;
        let is_next = |progress: &Progress| progress.text.len() > read || progress.outcome.is_some();
        let progress = self.progress.wait_for(is_next).await.map_err(|_| closed())?;
        if progress.text.len() > read {
            self.read = progress.text.len();
            return Ok(Some(progress.text[read..].to_owned()));
        }
        match &progress.outcome {
            Some(Err(error)) => Err(error.clone()),
            _ => Ok(None),
        }
    }

    /// Waits until the message of the user is stored. `None` if the answer is a regeneration, or was asked for on another
    /// socket: then it has started.
    ///
    /// # Errors
    ///
    /// Why the message was refused.
    pub async fn received(&self) -> Result<Option<MessageReceived>, ChatError> {
        let mut progress = self.progress.clone();
        let progress = progress.wait_for(|progress| progress.received.is_some()).await.map_err(|_| closed())?;
        progress.received.clone().unwrap_or_else(|| Err(closed()))
    }

    /// Waits for the end.
    ///
    /// # Errors
    ///
    /// Why the answer failed.
    pub async fn ended(&self) -> Result<AnswerEnd, ChatError> {
        let mut progress = self.progress.clone();
        let progress = progress.wait_for(|progress| progress.outcome.is_some()).await.map_err(|_| closed())?;
        progress.outcome.clone().unwrap_or_else(|| Err(closed()))
    }

    /// Ends the answer. The text so far stays.
    pub fn cancel(&self) {
        if let Some(requests) = self.requests.upgrade() {
            // A chat that is closed has no answer.
            let _ = requests.send(Request::Cancel(self.id));
        }
    }

    /// The text so far.
    #[must_use]
    pub fn text(&self) -> String {
        self.progress.borrow().text.clone()
    }

    /// Whether nothing more will arrive.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.progress.borrow().outcome.is_some() || self.progress.has_changed().is_err()
    }

    /// The id of the answer; `None` until it starts.
    #[must_use]
    pub fn message_id(&self) -> Option<String> {
        self.started(|start| start.message_id.clone())
    }

    /// Its position in the chat; `None` until it starts.
    #[must_use]
    pub fn seq(&self) -> Option<u32> {
        self.started(|start| start.seq)
    }

    /// The message that it answers; `None` until it starts.
    #[must_use]
    pub fn in_reply_to(&self) -> Option<String> {
        self.started(|start| start.in_reply_to.clone())
    }

    /// The answer that this one takes the place of when it is complete.
    #[must_use]
    pub fn replaces(&self) -> Option<String> {
        self.started(|start| start.replaces.clone()).flatten()
    }

    /// The model; `None` until it starts, and for an answer whose start came on another socket.
    #[must_use]
    pub fn model(&self) -> Option<String> {
        self.started(|start| start.model.clone()).flatten()
    }

    fn started<T>(&self, read: impl Fn(&Start) -> T) -> Option<T> {
        self.progress.borrow().start.as_ref().map(read)
    }
}

/// The chat's side of an answer.
#[derive(Debug)]
pub(crate) struct Tracked {
    /// Usually one. More if the app has sent a message again whose answer was streaming here already.
    handles: Vec<(AnswerNumber, watch::Sender<Progress>)>,
    /// The end of the text that arrived, in bytes of UTF-8.
    offset: usize,
    /// Whether text is missing before a part that came, and was asked for.
    pub(crate) has_gap: bool,
    /// When to ask for the rest, unless an event of this answer comes.
    pub(crate) resume_at: Option<Instant>,
    /// How often the rest was asked for since the last event.
    pub(crate) resumes: u32,
    /// When the last event of this answer came.
    pub(crate) received_at: Instant,
    pub(crate) is_cancelled: bool,
    /// What went wrong; the end of the answer follows.
    error: Option<ChatError>,
}

impl Tracked {
    pub(crate) fn new(id: AnswerNumber) -> Self {
        Self {
            handles: vec![(id, watch::Sender::default())],
            offset: 0,
            has_gap: false,
            resume_at: None,
            resumes: 0,
            received_at: Instant::now(),
            is_cancelled: false,
            error: None,
        }
    }

    /// The app's side of it.
    pub(crate) fn answer(&self, requests: mpsc::WeakUnboundedSender<Request>) -> Option<Answer> {
        let (id, progress) = self.handles.first()?;
        Some(Answer { id: *id, progress: progress.subscribe(), requests, read: 0 })
    }

    pub(crate) fn is(&self, number: AnswerNumber) -> bool {
        self.handles.iter().any(|(id, _)| *id == number)
    }

    /// Gives another answer of the app the text of this one, now and from now on.
    pub(crate) fn join(&mut self, other: Self) {
        if let Some((_, known)) = self.handles.first() {
            let (text, start) = (known.borrow().text.clone(), known.borrow().start.clone());
            other.update(|progress| {
                text.clone_into(&mut progress.text);
                start.clone_into(&mut progress.start);
            });
        }
        self.is_cancelled |= other.is_cancelled;
        self.handles.extend(other.handles);
    }

    fn update(&self, change: impl Fn(&mut Progress)) {
        for (_, progress) in &self.handles {
            progress.send_modify(&change);
        }
    }

    /// An event of this answer came.
    pub(crate) fn note_event(&mut self) {
        let now = Instant::now();
        self.received_at = now;
        self.resume_at = Some(now + SILENT_AFTER);
        self.resumes = 0;
    }

    /// The server has refused to send the rest now.
    pub(crate) fn resume_later(&mut self, error: &ChatError) {
        self.resumes = 1;
        self.resume_at = Some(Instant::now() + error.retry_after().unwrap_or(Duration::from_secs(1)));
    }

    pub(crate) fn offset(&self) -> usize {
        self.offset
    }

    pub(crate) fn on_received(&self, message: &MessageReceived) {
        self.update(|progress| progress.received = Some(Ok(Some(message.clone()))));
    }

    pub(crate) fn on_started(&self, start: &Start) {
        self.update(|progress| {
            progress.received.get_or_insert(Ok(None));
            let known = progress.start.take().and_then(|known| known.model);
            progress.start = Some(Start { model: start.model.clone().or(known), ..start.clone() });
        });
    }

    /// Appends what is new. False if text before it is missing.
    pub(crate) fn on_token(&mut self, part: &StreamToken) -> bool {
        if part.next_offset <= self.offset {
            return true;
        }
        // After a network error, a part may come again, and longer.
        let new = self.offset.checked_sub(part.offset).and_then(|seen| part.token.get(seen..));
        if let Some(new) = new {
            self.append(new);
        }
        new.is_some()
    }

    fn append(&mut self, text: &str) {
        self.offset += text.len();
        self.has_gap = false;
        self.update(|progress| progress.text.push_str(text));
    }

    pub(crate) fn on_error(&mut self, error: ChatError) {
        self.error = Some(error);
    }

    pub(crate) fn on_ended(mut self, end: &StreamEnded) {
        if let Some(rest) = end.content.as_deref().and_then(|content| content.get(self.offset..)) {
            self.append(rest);
        }
        let failure = (end.finish_reason == FinishReason::Error).then(|| {
            let unknown = || ChatError::new(Code::AgentError, "The answer failed.", "Regenerate it.").retryable();
            self.error.take().unwrap_or_else(unknown)
        });
        self.update(|progress| {
            progress.outcome = Some(match &failure {
                Some(error) => Err(error.clone()),
                None => Ok(AnswerEnd {
                    text: progress.text.clone(),
                    finish_reason: end.finish_reason,
                    usage: Some(end.usage),
                    timing: Some(end.timing),
                }),
            });
        });
    }

    /// Ends an answer whose message the server does not have.
    pub(crate) fn end_unsent(self) {
        let error = ChatError::new(Code::Closed, "The message was cancelled before it was sent.", "Send it again.");
        self.update(|progress| {
            progress.received.get_or_insert(Err(error.clone()));
            let (text, finish_reason) = (String::new(), FinishReason::Cancelled);
            progress.outcome = Some(Ok(AnswerEnd { text, finish_reason, usage: None, timing: None }));
        });
    }

    pub(crate) fn fail(self, error: &ChatError) {
        self.update(|progress| {
            progress.received.get_or_insert_with(|| Err(error.clone()));
            progress.outcome = Some(Err(error.clone()));
        });
    }
}

impl From<ActiveStream> for Start {
    fn from(stream: ActiveStream) -> Self {
        let ActiveStream { message_id, seq, in_reply_to, replaces } = stream;
        Self { message_id, seq, in_reply_to, replaces, model: None }
    }
}

impl From<StreamStarted> for Start {
    fn from(stream: StreamStarted) -> Self {
        let StreamStarted { message_id, seq, in_reply_to, replaces, model, .. } = stream;
        Self { message_id, seq, in_reply_to, replaces, model: Some(model) }
    }
}
