//! One socket from its handshake to its end.
//!
//! Limits: <https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-execution-service-websocket-limits-table.html>

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::{Limits, WebSocketApi};
use crate::connections::{Connection, Outgoing};

/// What a socket that ends without a close frame counts as.
pub(super) const ABNORMAL: u16 = 1006;
const NO_STATUS: u16 = 1005;

const MAX_FRAME: usize = 32 * 1024;
const MAX_MESSAGE: usize = 128 * 1024;
/// How long a client has to answer a close frame.
const CLOSING: Duration = Duration::from_secs(1);

type Stream = WebSocketStream<TokioIo<Upgraded>>;
type Sink = SplitSink<Stream, Message>;
type Source = SplitStream<Stream>;

/// Why a socket ends.
struct Ending {
    code: u16,
    reason: String,
    by: By,
}

#[derive(PartialEq, Eq)]
enum By {
    Client,
    Gateway,
    /// The client is in the middle of a frame that will not be read.
    GatewayMidFrame,
}

impl Ending {
    fn gateway(code: CloseCode, reason: &str) -> Self {
        Self { code: code.into(), reason: reason.to_owned(), by: By::Gateway }
    }

    fn normal() -> Self {
        Self::gateway(CloseCode::Normal, "Connection Closed Normally")
    }

    fn away() -> Self {
        Self::gateway(CloseCode::Away, "Going away")
    }

    fn client(frame: Option<CloseFrame>) -> Self {
        let (code, reason) = match frame {
            Some(frame) if !frame.reason.is_empty() => (frame.code.into(), frame.reason.to_string()),
            Some(frame) if frame.code == CloseCode::Away => (frame.code.into(), "Going away".to_owned()),
            Some(frame) => (frame.code.into(), "Connection Closed Normally".to_owned()),
            None => (NO_STATUS, "Client-side close frame status not set".to_owned()),
        };
        Self { code, reason, by: By::Client }
    }

    fn error(error: &Error) -> Self {
        match error {
            Error::Capacity(_) => {
                Self { by: By::GatewayMidFrame, ..Self::gateway(CloseCode::Size, "Message or frame too large") }
            }
            Error::Utf8(_) => Self::gateway(CloseCode::Invalid, "Text is not UTF-8"),
            Error::Protocol(tokio_tungstenite::tungstenite::error::ProtocolError::ResetWithoutClosingHandshake)
            | Error::Io(_) => Self::lost(),
            _ => Self::gateway(CloseCode::Protocol, "Protocol error"),
        }
    }

    fn lost() -> Self {
        Self { code: ABNORMAL, reason: "Connection closed abnormally".to_owned(), by: By::Client }
    }
}

pub(super) async fn run(
    api: Arc<WebSocketApi>,
    upgraded: Upgraded,
    connection: Arc<Connection>,
    mut frames: mpsc::Receiver<Outgoing>,
) {
    let config = WebSocketConfig::default()
        .read_buffer_size(MAX_FRAME)
        .write_buffer_size(0)
        .max_frame_size(Some(MAX_FRAME))
        .max_message_size(Some(MAX_MESSAGE));
    let stream = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(config)).await;
    let (mut sink, mut source) = stream.split();
    api.connections.insert(Arc::clone(&connection));

    let ending = tokio::select! {
        biased;
        () = api.shutdown.cancelled() => Ending::away(),
        () = connection.cut.cancelled() => Ending::normal(),
        ending = send(&mut sink, &mut frames, &connection) => ending,
        ending = receive(&mut source, &api, &connection) => ending,
        ending = expire(&api.limits, &connection) => ending,
    };

    api.connections.remove(&connection.peer.id);
    frames.close();
    let closed = close(sink, source, &ending);
    if api.shutdown.is_cancelled() {
        closed.await;
    } else {
        let disconnected = api.disconnect(&connection.peer, ending.code, &ending.reason);
        let ended = async { tokio::join!(closed, disconnected) };
        api.shutdown.run_until_cancelled(ended).await;
    }
}

/// Sends what is queued, until a close is.
async fn send(sink: &mut Sink, frames: &mut mpsc::Receiver<Outgoing>, connection: &Connection) -> Ending {
    while let Some(Outgoing::Text(text)) = frames.recv().await {
        if sink.send(Message::Text(text)).await.is_err() {
            return Ending::lost();
        }
        connection.touch();
    }
    Ending::normal()
}

/// Takes messages, each to its route in a task of its own, so many at a time.
async fn receive(source: &mut Source, api: &Arc<WebSocketApi>, connection: &Arc<Connection>) -> Ending {
    let places = Arc::new(Semaphore::new(api.limits.in_flight));
    loop {
        let message = match source.next().await {
            Some(Ok(message)) => message,
            Some(Err(error)) => return Ending::error(&error),
            None => return Ending::lost(),
        };
        connection.touch();
        match message {
            Message::Text(text) => {
                // A semaphore that nobody closes always has a place in the end.
                let place = Arc::clone(&places).acquire_owned().await;
                let (api, connection) = (Arc::clone(api), Arc::clone(connection));
                let tasks = api.tasks.clone();
                tasks.spawn(async move {
                    api.shutdown.run_until_cancelled(api.deliver(&connection, text)).await;
                    drop(place);
                });
            }
            Message::Binary(_) => return Ending::gateway(CloseCode::Unsupported, "Binary frames are not supported"),
            Message::Close(frame) => return Ending::client(frame),
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
        }
    }
}

async fn expire(limits: &Limits, connection: &Connection) -> Ending {
    let end = Instant::now() + limits.lifetime;
    loop {
        let idle = connection.last_active().0 + limits.idle;
        let next = idle.min(end);
        if next <= Instant::now() {
            return Ending::away();
        }
        sleep_until(next).await;
    }
}

async fn close(mut sink: Sink, mut source: Source, ending: &Ending) {
    let closing = async {
        if ending.by != By::Client {
            let frame = CloseFrame { code: ending.code.into(), reason: ending.reason.as_str().into() };
            sink.send(Message::Close(Some(frame))).await?;
        }
        if ending.by == By::GatewayMidFrame {
            // Closing with input unread would reset the connection, and the close frame with it.
            if let Ok(mut stream) = source.reunite(sink) {
                stream.get_mut().shutdown().await?;
                let mut rest = vec![0; 4096];
                while stream.get_mut().read(&mut rest).await? > 0 {}
            }
        } else {
            // Answers the client's close frame, or waits for its answer to ours.
            while source.next().await.transpose()?.is_some() {}
        }
        Ok::<_, Error>(())
    };
    // Whether it went well or not, the socket is over.
    let _ = timeout(CLOSING, closing).await;
}
