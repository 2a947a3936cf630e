//! Keeps one socket open: another one when it is lost, when it seems dead, and before the server ends it.

use std::{collections::VecDeque, future::pending, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use tokio::time::{Instant, sleep_until};

use crate::{
    error::{ChatError, Code},
    event::{ConnectionEstablished, Event},
    frame::Frame,
    socket::Socket,
    source::Source,
    timing::backoff,
};

/// API Gateway closes a socket after ten minutes without frames.
const PING_AFTER: Duration = Duration::from_secs(4 * 60);
/// The server responds to a frame within nine seconds.
const PONG_WITHIN: Duration = Duration::from_secs(10);
/// A socket that lives for longer was of use, even if nothing arrived.
const USEFUL_AFTER: Duration = Duration::from_secs(10);
/// API Gateway closes a socket after two hours.
const LONGEST_LIFETIME: Duration = Duration::from_secs(2 * 60 * 60);
/// How long before its end a socket is replaced.
const RENEW_BEFORE: Duration = Duration::from_secs(60);
/// All clients come back at once when a server restarts.
const LONGEST_FIRST_PAUSE: Duration = Duration::from_millis(300);

/// Whether a chat is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The first connection is being opened.
    Connecting,
    /// Messages are sent.
    Open,
    /// The connection was lost. Messages wait.
    Reconnecting,
    /// For good.
    Closed,
}

/// What a connection tells its chat.
#[derive(Debug)]
pub(crate) enum Notice {
    /// A socket is open, the first or another one.
    Opened(ConnectionEstablished),
    /// The server sent an event.
    Event(Event),
    /// The state has changed, or an attempt has failed. With `Closed` comes an error.
    State(State, Option<ChatError>),
}

type Opened = Result<(Socket, ConnectionEstablished), ChatError>;
type Open = Arc<dyn Fn() -> BoxFuture<'static, Opened> + Send + Sync>;

pub(crate) struct Connection {
    state: State,
    open: Open,
    /// Whether a refused handshake is refused again.
    is_key: bool,
    give_up_after: Duration,
    socket: Option<Socket>,
    /// The attempt that runs, to connect or to renew the socket.
    opening: Option<BoxFuture<'static, Opened>>,
    notices: VecDeque<Notice>,
    /// Attempts since a socket was of use.
    attempt: u32,
    give_up_at: Instant,
    retry_at: Option<Instant>,
    opened_at: Instant,
    renew_at: Option<Instant>,
    sent_at: Instant,
    pong_deadline: Option<Instant>,
    /// Whether an event came after the first one of the socket.
    has_received: bool,
}

impl Connection {
    /// Starts to connect. An attempt takes `connect_timeout` for the ticket, and as much for the socket.
    pub(crate) fn new(source: Source, connect_timeout: Duration, give_up_after: Duration) -> Self {
        let is_key = source.is_key();
        let open = move || -> BoxFuture<'static, Opened> {
            let source = source.clone();
            Box::pin(async move {
                let url = source.url(connect_timeout).await?;
                Socket::open(&url, connect_timeout).await
            })
        };
        Self::with(Arc::new(open), is_key, give_up_after)
    }

    pub(crate) fn with(open: Open, is_key: bool, give_up_after: Duration) -> Self {
        let now = Instant::now();
        Self {
            state: State::Connecting,
            opening: Some(open()),
            open,
            is_key,
            give_up_after,
            socket: None,
            notices: VecDeque::new(),
            attempt: 0,
            give_up_at: now + give_up_after,
            retry_at: None,
            opened_at: now,
            renew_at: None,
            sent_at: now,
            pong_deadline: None,
            has_received: false,
        }
    }

    /// Sends a frame, if a socket is open.
    pub(crate) fn send(&mut self, frame: Frame) {
        if let Some(socket) = &self.socket {
            self.sent_at = Instant::now();
            socket.send(frame);
        }
    }

    /// Replaces a socket that seems to be dead.
    pub(crate) fn drop_socket(&mut self) {
        if self.socket.take().is_some() {
            self.on_lost();
        }
    }

    /// Closes for good.
    pub(crate) fn close(&mut self, error: ChatError) {
        self.socket = None;
        self.opening = None;
        (self.retry_at, self.renew_at, self.pong_deadline) = (None, None, None);
        self.state = State::Closed;
        self.notices.push_back(Notice::State(State::Closed, Some(error)));
    }

    /// The machine slept, and the network may be another one: finds out.
    pub(crate) fn check(&mut self) {
        if self.retry_at.is_some() {
            self.retry_at = Some(Instant::now());
        }
        self.ping();
    }

    /// What happens next. Cancel safe.
    pub(crate) async fn next(&mut self) -> Notice {
        loop {
            if let Some(notice) = self.notices.pop_front() {
                return notice;
            }
            let deadline = self.deadline();
            tokio::select! {
                event = next_event(&mut self.socket) => match event {
                    Some(event) => {
                        self.pong_deadline = None;
                        self.has_received = true;
                        return Notice::Event(event);
                    }
                    None => self.drop_socket(),
                },
                opened = opened(&mut self.opening) => {
                    self.opening = None;
                    match opened {
                        Ok((socket, established)) => self.on_opened(socket, established),
                        Err(error) => self.on_failed(error),
                    }
                }
                () = sleep_until_some(deadline) => self.on_deadline(Instant::now()),
            }
        }
    }

    fn on_opened(&mut self, socket: Socket, established: ConnectionEstablished) {
        let now = Instant::now();
        // A socket before is closed only now, so that no event is missed.
        self.socket = Some(socket);
        let before = RENEW_BEFORE.mul_f64(1.0 + rand::random::<f64>());
        // A server whose sockets end sooner must not get one after the other.
        self.renew_at = lifetime(&established)
            .map(|lifetime| now + lifetime.saturating_sub(before).max(lifetime / 2).max(PONG_WITHIN));
        (self.opened_at, self.sent_at) = (now, now);
        (self.pong_deadline, self.has_received) = (None, false);
        self.set_state(State::Open);
        self.notices.push_back(Notice::Opened(established));
    }

    fn on_failed(&mut self, error: ChatError) {
        // The socket that was to be renewed is replaced when it ends.
        if self.socket.is_some() {
            return;
        }
        self.attempt += 1;
        let rest = self.give_up_at.saturating_duration_since(Instant::now());
        // The same key gets the same response, but the next ticket may do.
        let is_final = self.is_key && error.status().is_some_and(|status| (400..429).contains(&status));
        if !error.is_retryable() || is_final || rest.is_zero() {
            return self.close(error);
        }
        let pause = error.retry_after().unwrap_or_default().max(backoff(self.attempt));
        self.retry_at = Some(Instant::now() + pause.min(rest));
        self.notices.push_back(Notice::State(self.state, Some(error)));
    }

    fn on_lost(&mut self) {
        let now = Instant::now();
        (self.renew_at, self.pong_deadline) = (None, None);
        self.set_state(State::Reconnecting);
        // What breaks each socket at once must not open hundreds.
        if self.has_received || now > self.opened_at + USEFUL_AFTER {
            (self.attempt, self.give_up_at) = (0, now + self.give_up_after);
        } else {
            self.attempt += 1;
        }
        if self.opening.is_none() {
            let pause = match self.attempt {
                0 => LONGEST_FIRST_PAUSE.mul_f64(rand::random()),
                attempt => backoff(attempt),
            };
            self.retry_at = Some(now + pause);
        }
    }

    /// When something has to be done.
    fn deadline(&self) -> Option<Instant> {
        let ping_at = self.socket.is_some().then(|| self.sent_at + PING_AFTER);
        [self.retry_at, self.renew_at, self.pong_deadline, ping_at].into_iter().flatten().min()
    }

    fn on_deadline(&mut self, now: Instant) {
        let is_past = |deadline: Option<Instant>| deadline.is_some_and(|deadline| deadline <= now);
        if is_past(self.pong_deadline) {
            self.drop_socket();
        } else if is_past(self.retry_at) || is_past(self.renew_at) {
            (self.retry_at, self.renew_at) = (None, None);
            self.opening = Some((self.open)());
        } else {
            self.ping();
        }
    }

    fn ping(&mut self) {
        if self.socket.is_some() {
            self.pong_deadline = Some(Instant::now() + PONG_WITHIN);
            self.send(Frame::Ping);
        }
    }

    fn set_state(&mut self, state: State) {
        if self.state != state {
            self.state = state;
            self.notices.push_back(Notice::State(state, None));
        }
    }
}

/// How long the server keeps a socket. By this machine's clock, its end may be hours off.
fn lifetime(established: &ConnectionEstablished) -> Option<Duration> {
    let at = |text: &str| text.parse::<Timestamp>().ok();
    let lifetime: Duration =
        at(&established.expires_at)?.duration_since(at(&established.timestamp)?).try_into().ok()?;
    Some(lifetime.min(LONGEST_LIFETIME))
}

async fn next_event(socket: &mut Option<Socket>) -> Option<Event> {
    match socket {
        Some(socket) => socket.next().await,
        None => pending().await,
    }
}

async fn opened(opening: &mut Option<BoxFuture<'static, Opened>>) -> Opened {
    match opening {
        Some(opening) => opening.await,
        None => pending().await,
    }
}

async fn sleep_until_some(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => pending().await,
    }
}

/// The error of a chat that its app closed.
pub(crate) fn closed() -> ChatError {
    ChatError::new(Code::Closed, "The chat is closed.", "Connect again.")
}
