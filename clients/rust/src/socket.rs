//! One WebSocket, from its handshake to its end.

use std::{collections::VecDeque, sync::OnceLock, time::Duration};

use futures_util::{SinkExt, Stream, StreamExt};
use reqwest::header::RETRY_AFTER;
use serde::Deserialize;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::mpsc,
    task::JoinHandle,
    time::{Instant, sleep_until, timeout},
};
use tokio_tungstenite::{
    WebSocketStream, connect_async_with_config,
    tungstenite::{self, Message, handshake::client::Response},
};

use crate::{
    error::{ChatError, Code, ErrorBody},
    event::{ConnectionEstablished, Event},
    frame::Frame,
};

/// Frames a second: below the ten that the server allows, since the network may bring them closer together.
const FRAMES: usize = 8;
/// Events that wait to be read. Then the network has to wait.
const UNREAD_EVENTS: usize = 256;
/// How long the network may take for a frame.
const SEND_WITHIN: Duration = Duration::from_secs(10);
/// How long the closing handshake may take.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);

/// An open WebSocket whose `connection_established` has arrived. It ends with its network connection: [`Chat`](crate::Chat)
/// is what stays connected. Dropped, it is closed.
#[derive(Debug)]
pub struct Socket {
    frames: mpsc::UnboundedSender<Frame>,
    events: mpsc::Receiver<Event>,
    /// Ends when the socket is dropped.
    reader: Option<JoinHandle<()>>,
}

impl Socket {
    /// Opens a socket at the address of a ticket, or at one with a key. Returns it with its first event.
    ///
    /// # Errors
    ///
    /// `CONNECTION_FAILED`, or the server's own code, with the status of a refused handshake; `BAD_RESPONSE` if it is not
    /// this API that responds.
    pub async fn open(url: &str, within: Duration) -> Result<(Self, ConnectionEstablished), ChatError> {
        let late = |_| {
            let message = format!("No connection within {} seconds.", within.as_secs_f32());
            ChatError::new(Code::ConnectionFailed, message, "Check the network.").retryable()
        };
        timeout(within, Box::pin(Self::handshake(url))).await.map_err(late)?
    }

    async fn handshake(url: &str) -> Result<(Self, ConnectionEstablished), ChatError> {
        choose_tls_provider();
        // Frames and events are small, and each is waited for.
        let no_delay = true;
        let connected = connect_async_with_config(url, None, no_delay).await;
        let (mut stream, _) = connected.map_err(|error| refused(url, error))?;
        let established = match next_event(&mut stream).await {
            Some(Ok(Event::ConnectionEstablished(established))) => established,
            Some(Ok(Event::Error(event))) => return Err(event.into()),
            Some(Ok(other)) => {
                let message = format!("The first event is {}.", type_of(&other));
                return Err(ChatError::new(Code::BadResponse, message, "Check the address and both versions."));
            }
            Some(Err(error)) => return Err(error),
            None => {
                let message = "The server closed the socket at once.";
                return Err(ChatError::new(Code::ConnectionFailed, message, "Try again later.").retryable());
            }
        };
        Ok((Self::start(stream), established))
    }

    fn start<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: WebSocketStream<S>) -> Self {
        let (mut sink, mut source) = stream.split();
        let (frames, mut unsent) = mpsc::unbounded_channel::<Frame>();
        let (received, events) = mpsc::channel(UNREAD_EVENTS);
        tokio::spawn(async move {
            let mut pace = Pace::default();
            while let Some(frame) = unsent.recv().await {
                // The next socket sends again what this one does not.
                if unsent.is_closed() && pace.is_full() {
                    break;
                }
                pace.wait().await;
                let sent = timeout(SEND_WITHIN, sink.send(Message::text(frame.to_json()))).await;
                if !matches!(sent, Ok(Ok(()))) {
                    return;
                }
            }
            let _ = timeout(CLOSE_WITHIN, sink.close()).await;
        });
        let reader = tokio::spawn(async move {
            while let Some(event) = next_event(&mut source).await {
                // What is not an event cannot be used.
                let Ok(event) = event else { continue };
                if received.send(event).await.is_err() {
                    return;
                }
            }
        });
        Self { frames, events, reader: Some(reader) }
    }

    /// A socket for tests: they read its frames and write its events.
    #[cfg(test)]
    pub(crate) fn fake() -> (Self, mpsc::UnboundedReceiver<Frame>, mpsc::Sender<Event>) {
        let (frames, sent) = mpsc::unbounded_channel();
        let (received, events) = mpsc::channel(UNREAD_EVENTS);
        (Self { frames, events, reader: None }, sent, received)
    }

    /// Sends a frame, later if there were eight in this second. Lost if the socket is closed.
    pub fn send(&self, frame: Frame) {
        // A closed socket is noticed by its reader.
        let _ = self.frames.send(frame);
    }

    /// The next event; `None` when the socket is closed. Cancel safe.
    pub async fn next(&mut self) -> Option<Event> {
        self.events.recv().await
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // The other half, which closes the socket, ends with its channel.
        if let Some(reader) = &self.reader {
            reader.abort();
        }
    }
}

/// Delays frames that come too close together.
#[derive(Default)]
struct Pace {
    sent: VecDeque<Instant>,
}

impl Pace {
    /// Whether the next frame would wait.
    fn is_full(&self) -> bool {
        let oldest = self.sent.front().filter(|_| self.sent.len() == FRAMES);
        oldest.is_some_and(|oldest| oldest.elapsed() < Duration::from_secs(1))
    }

    async fn wait(&mut self) {
        if self.sent.len() == FRAMES
            && let Some(oldest) = self.sent.pop_front()
        {
            sleep_until(oldest + Duration::from_secs(1)).await;
        }
        self.sent.push_back(Instant::now());
    }
}

/// The next event of a stream. `None` at its end.
async fn next_event<S>(stream: &mut S) -> Option<Result<Event, ChatError>>
where
    S: Stream<Item = Result<Message, tungstenite::Error>> + Unpin,
{
    loop {
        match stream.next().await? {
            Ok(Message::Text(text)) => {
                let bad = |_| ChatError::new(Code::BadResponse, "The server sent no event.", "Check the address.");
                return Some(serde_json::from_str(&text).map_err(bad));
            }
            Ok(Message::Close(_)) | Err(_) => return None,
            Ok(_) => {}
        }
    }
}

fn type_of(event: &Event) -> String {
    let json = serde_json::to_value(event).unwrap_or_default();
    json["type"].as_str().unwrap_or("of no type").to_owned()
}

/// Why a handshake failed. The address without its query, which may have a key.
fn refused(url: &str, error: tungstenite::Error) -> ChatError {
    let address = url.split('?').next().unwrap_or(url);
    match error {
        tungstenite::Error::Http(response) => refusal(&response),
        tungstenite::Error::Url(_) | tungstenite::Error::HttpFormat(_) => {
            let message = format!("{address} is no address of a WebSocket.");
            ChatError::new(Code::ConnectionFailed, message, "It starts with ws:// or wss://.")
        }
        error => {
            let message = format!("{address} cannot be reached: {error}.");
            ChatError::new(Code::ConnectionFailed, message, "Check address and network.").retryable()
        }
    }
}

/// The error of a refused handshake. On AWS, its body says nothing of this API.
fn refusal(response: &Response) -> ChatError {
    #[derive(Deserialize)]
    struct Refusal {
        error: ErrorBody,
    }

    let status = response.status().as_u16();
    let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
    let body = response.body().as_deref().and_then(|body| serde_json::from_slice::<Refusal>(body).ok());
    let error = match body {
        Some(Refusal { error }) => ChatError::of_server(error, true),
        None => {
            let message = format!("The handshake is refused with status {status}.");
            ChatError::new(Code::ConnectionFailed, message, "Check address, and ticket or key.").retryable()
        }
    };
    let retry_after = header(RETRY_AFTER.as_str()).and_then(|seconds| seconds.parse().ok());
    error.with_status(status).with_retry_after(retry_after)
}

/// An application that has two providers of TLS has to choose one. For all others, this does.
fn choose_tls_provider() {
    static CHOSEN: OnceLock<()> = OnceLock::new();
    CHOSEN.get_or_init(|| {
        // An error means that the application has chosen.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn ninth_frame_of_a_second_waits() {
        let start = Instant::now();
        let mut pace = Pace::default();
        for _ in 0..FRAMES {
            pace.wait().await;
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
        pace.wait().await;
        assert_eq!(start.elapsed(), Duration::from_secs(1));
    }

    #[test]
    fn error_hides_the_key() {
        let error = refused("ws://localhost/ws?api_key=secret", tungstenite::Error::ConnectionClosed);
        assert!(!format!("{error:?}").contains("secret"));
    }
}
