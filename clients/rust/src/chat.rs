//! A chat that stays connected.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{mpsc, watch},
    time::{Instant, MissedTickBehavior, interval},
};

use crate::{
    answer::{Answer, AnswerNumber, Tracked},
    command::Command,
    connection::{Connection, Notice, State, closed},
    error::ChatError,
    event::{Event, MessageReceived},
    frame::Frame,
    random_id::random_id,
    session::Session,
    source::Source,
};

/// How often the chat looks for late answers, and for a machine that slept.
const TICK: Duration = Duration::from_secs(1);
/// By how much more the clock of the wall moves while a machine sleeps.
const SLEPT: Duration = Duration::from_secs(5);

/// More than a process lives; times beyond it may overflow.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// How long a chat waits.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// For a ticket, and for one connection. Default: 15 s.
    pub connect: Duration,
    /// For a connection, with all its attempts, before the chat fails. Default: two minutes.
    pub give_up: Duration,
    /// For the acknowledgement of a message, and for an event of an answer. Default: two minutes.
    pub message: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let two_minutes = Duration::from_secs(120);
        Self { connect: Duration::from_secs(15), give_up: two_minutes, message: two_minutes }
    }
}

/// What a chat reports beside the answers to its own messages.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Update {
    /// The state has changed, or, with an error, an attempt to connect has failed. `Closed` comes with the reason.
    State(State, Option<ChatError>),
    /// An answer that was not asked for here: it was streaming before, or another socket of the user has asked for it.
    Answer(Answer),
    /// A message of the user that was sent on another socket is stored.
    Message(MessageReceived),
    /// A message waits, since a limit is reached or the service is not available.
    Retry {
        /// Why.
        error: ChatError,
        /// When it is sent again.
        after: Duration,
    },
    /// Everything that the server sends.
    Event(Event),
}

/// A chat that stays connected until it is closed, or dropped with all its clones.
///
/// It connects again after a pause that grows, before the server ends the socket and when the machine wakes up; it sends
/// messages again that were not acknowledged, and continues answers where they broke off. What has not ended when it is
/// closed fails with `CLOSED`; the server completes those answers without it.
#[derive(Clone, Debug)]
pub struct Chat {
    requests: mpsc::UnboundedSender<Request>,
    state: watch::Receiver<(State, Option<ChatError>)>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    listeners: Mutex<Listeners>,
    sent: Mutex<Sent>,
}

/// Those who read updates.
#[derive(Debug, Default)]
struct Listeners {
    open: Vec<mpsc::UnboundedSender<Update>>,
    /// Whether there will be no more updates.
    is_over: bool,
}

impl Shared {
    fn listeners(&self) -> MutexGuard<'_, Listeners> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sent(&self) -> MutexGuard<'_, Sent> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The answers to messages of this chat that have not ended, by the client's ids of the messages.
#[derive(Debug, Default)]
struct Sent {
    answers: HashMap<String, Answer>,
    next_number: AnswerNumber,
}

/// What a handle asks of its chat.
pub(crate) enum Request {
    Ask(Command),
    Cancel(AnswerNumber),
    Close,
}

impl Chat {
    /// Starts to connect.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn connect(source: Source) -> Self {
        Self::connect_within(source, Timeouts::default())
    }

    /// Starts to connect, with other timeouts.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn connect_within(source: Source, timeouts: Timeouts) -> Self {
        let capped = |timeout: Duration| timeout.min(LONGEST_TIMEOUT);
        let connection = Connection::new(source, capped(timeouts.connect), capped(timeouts.give_up));
        Self::with(connection, capped(timeouts.message))
    }

    pub(crate) fn with(connection: Connection, message_timeout: Duration) -> Self {
        let (requests, asked) = mpsc::unbounded_channel();
        let (sender, state) = watch::channel((State::Connecting, None));
        let shared = Arc::new(Shared::default());
        let session = Session::new(message_timeout, requests.downgrade());
        let driver = Driver { connection, session, state: sender, shared: shared.clone() };
        tokio::spawn(driver.run(asked));
        Self { requests, state, shared }
    }

    /// Sends a message, as soon as there is a connection. It is stored once and answered once, however often the
    /// connection breaks.
    pub fn send(&self, content: &str) -> Answer {
        self.send_as(&random_id(), content)
    }

    /// Sends a message under an id of the app: 1 to 64 characters. A message that was sent before under this id, even by
    /// another process within 24 hours, is not stored again, and its answer comes again.
    pub fn send_as(&self, client_message_id: &str, content: &str) -> Answer {
        let mut sent = self.shared.sent();
        sent.answers.retain(|_, answer| !answer.has_ended());
        if let Some(answer) = sent.answers.get(client_message_id) {
            return answer.clone();
        }
        let (content, id) = (content.to_owned(), client_message_id.to_owned());
        let answer = self.ask(&mut sent, Frame::Message { content, client_message_id: id.clone() });
        sent.answers.insert(id, answer.clone());
        answer
    }

    /// Asks for another answer in the place of the chat's last one, which has this id.
    pub fn regenerate(&self, message_id: &str) -> Answer {
        let mut sent = self.shared.sent();
        self.ask(&mut sent, Frame::Regenerate { message_id: message_id.to_owned() })
    }

    fn ask(&self, sent: &mut Sent, frame: Frame) -> Answer {
        sent.next_number += 1;
        let tracked = Tracked::new(sent.next_number);
        let answer = tracked.answer(self.requests.downgrade()).expect("it has one handle");
        // A chat that has ended drops it, which fails its answer.
        let _ = self.requests.send(Request::Ask(Command::new(frame, tracked)));
        answer
    }

    /// Whether the chat is connected.
    #[must_use]
    pub fn state(&self) -> State {
        self.state.borrow().0
    }

    /// Waits until the chat is connected.
    ///
    /// # Errors
    ///
    /// Why it is closed.
    pub async fn opened(&self) -> Result<(), ChatError> {
        let mut state = self.state.clone();
        let is_decided = |(state, _): &(State, _)| matches!(state, State::Open | State::Closed);
        let state = state.wait_for(is_decided).await.map_err(|_| closed())?;
        match &*state {
            (State::Open, _) => Ok(()),
            (_, error) => Err(error.clone().unwrap_or_else(closed)),
        }
    }

    /// What the chat reports from now on. Ends when the chat is closed. Call it before you wait for anything: an answer that
    /// is streaming is reported when the chat connects. Read it or drop it: what is not read is kept.
    #[must_use]
    pub fn updates(&self) -> Updates {
        let (sender, updates) = mpsc::unbounded_channel();
        let mut listeners = self.shared.listeners();
        if !listeners.is_over {
            listeners.open.push(sender);
        }
        Updates(updates)
    }

    /// Closes the chat.
    pub fn close(&self) {
        // An error means that it is closed.
        let _ = self.requests.send(Request::Close);
    }
}

/// What a chat reports. Nothing is left out, however long it is not read.
#[derive(Debug)]
pub struct Updates(mpsc::UnboundedReceiver<Update>);

impl Updates {
    /// The next one; `None` when the chat is closed. Cancel safe.
    pub async fn next(&mut self) -> Option<Update> {
        self.0.recv().await
    }
}

/// The task of a chat: it joins the protocol with a connection.
struct Driver {
    connection: Connection,
    session: Session,
    state: watch::Sender<(State, Option<ChatError>)>,
    shared: Arc<Shared>,
}

impl Driver {
    async fn run(mut self, mut requests: mpsc::UnboundedReceiver<Request>) {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut sleep = SleepDetector::new();
        while self.state.borrow().0 != State::Closed {
            tokio::select! {
                notice = self.connection.next() => self.on_notice(notice),
                request = requests.recv() => match request {
                    Some(Request::Ask(command)) => self.session.ask(command),
                    Some(Request::Cancel(number)) => self.session.cancel(number),
                    // All handles are gone.
                    Some(Request::Close) | None => self.connection.close(closed()),
                },
                _ = ticks.tick() => {
                    self.session.tick();
                    if sleep.has_slept() {
                        self.connection.check();
                    }
                }
            }
            self.follow();
        }
    }

    fn on_notice(&mut self, notice: Notice) {
        match notice {
            Notice::Opened(established) => {
                self.report(Update::Event(Event::ConnectionEstablished(established.clone())));
                self.session.on_open(established);
            }
            Notice::Event(event) => {
                self.report(Update::Event(event.clone()));
                self.session.on_event(event);
            }
            Notice::State(state, error) => {
                if state != State::Open {
                    self.session.on_lost();
                }
                if state == State::Closed {
                    self.session.close(&error.clone().unwrap_or_else(closed));
                }
                self.state.send_replace((state, error.clone()));
                self.report(Update::State(state, error));
            }
        }
    }

    /// Does what the protocol asks for.
    fn follow(&mut self) {
        for frame in self.session.frames.drain(..) {
            self.connection.send(frame);
        }
        for update in std::mem::take(&mut self.session.updates) {
            self.report(update);
        }
        if std::mem::take(&mut self.session.is_dead) {
            self.session.on_lost();
            self.connection.drop_socket();
        }
        if let Some(error) = self.session.end.take() {
            self.connection.close(error);
        }
    }

    fn report(&self, update: Update) {
        self.shared.listeners().open.retain(|listener| listener.send(update.clone()).is_ok());
    }
}

impl Drop for Driver {
    /// Also after a panic, as of the app's function: no task waits for a chat that has ended.
    fn drop(&mut self) {
        self.state.send_if_modified(|state| {
            let is_open = state.0 != State::Closed;
            if is_open {
                *state = (State::Closed, Some(closed()));
            }
            is_open
        });
        *self.shared.listeners() = Listeners { open: Vec::new(), is_over: true };
    }
}

/// Notices that the machine has slept: the clock of the wall goes on, the other one does not.
struct SleepDetector {
    wall: std::time::SystemTime,
    awake: Instant,
}

impl SleepDetector {
    fn new() -> Self {
        Self { wall: std::time::SystemTime::now(), awake: Instant::now() }
    }

    fn has_slept(&mut self) -> bool {
        let before = std::mem::replace(self, Self::new());
        let awake = self.awake - before.awake;
        self.wall.duration_since(before.wall).is_ok_and(|wall| wall > awake + SLEPT)
    }
}
