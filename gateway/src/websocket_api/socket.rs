//! An open connection: sends queued frames, receives messages, enforces limits, and closes.
//!
//! Limits: <https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-execution-service-websocket-limits-table.html>

use std::{sync::Arc, time::Duration};

use futures_util::{
    SinkExt as _, StreamExt as _,
    stream::{SplitSink, SplitStream},
};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::{Semaphore, mpsc},
    time::{Instant, sleep_until, timeout},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error, Message,
        protocol::{CloseFrame, Role, WebSocketConfig, frame::coding::CloseCode},
    },
};

use super::{
    api::{Limits, WebSocketApi},
    close::{Close, Initiator},
};
use crate::connections::{Connection, OutgoingFrame};

const MAX_FRAME: usize = 32 * 1024;
const MAX_MESSAGE: usize = 128 * 1024;
/// How long the closing handshake may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

type Stream = WebSocketStream<TokioIo<Upgraded>>;
type Sink = SplitSink<Stream, Message>;
type Source = SplitStream<Stream>;

pub(super) async fn run(
    api: Arc<WebSocketApi>,
    upgraded: Upgraded,
    connection: Arc<Connection>,
    mut frames: mpsc::Receiver<OutgoingFrame>,
) {
    let config = WebSocketConfig::default()
        .read_buffer_size(MAX_FRAME)
        .write_buffer_size(0)
        .max_frame_size(Some(MAX_FRAME))
        .max_message_size(Some(MAX_MESSAGE));
    let stream = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(config)).await;
    let (mut sink, mut source) = stream.split();
    api.connections.insert(Arc::clone(&connection));

    let close = tokio::select! {
        biased;
        () = api.shutdown.cancelled() => Close::going_away(),
        () = connection.abort.cancelled() => Close::normal(),
        close = send(&mut sink, &mut frames, &connection) => close,
        close = receive(&mut source, &api, &connection) => close,
        close = expire(&api.limits, &connection) => close,
    };

    api.connections.remove(&connection.peer.id);
    frames.close();
    let closed = close_stream(sink, source, &close);
    if api.shutdown.is_cancelled() {
        closed.await;
    } else {
        let disconnected = api.invoke_disconnect(&connection.peer, &close);
        let ended = async { tokio::join!(closed, disconnected) };
        api.shutdown.run_until_cancelled(ended).await;
    }
}

async fn send(sink: &mut Sink, frames: &mut mpsc::Receiver<OutgoingFrame>, connection: &Connection) -> Close {
    while let Some(OutgoingFrame::Text(text)) = frames.recv().await {
        if sink.send(Message::Text(text)).await.is_err() {
            return Close::abnormal();
        }
        connection.record_activity();
    }
    Close::normal()
}

/// Invokes a function for each message, concurrently up to the limit.
async fn receive(source: &mut Source, api: &Arc<WebSocketApi>, connection: &Arc<Connection>) -> Close {
    let permits = Arc::new(Semaphore::new(api.limits.in_flight));
    loop {
        let message = match source.next().await {
            Some(Ok(message)) => message,
            Some(Err(error)) => return Close::error(&error),
            None => return Close::abnormal(),
        };
        connection.record_activity();
        match message {
            Message::Text(text) => {
                // Never fails: the semaphore is not closed.
                let permit = Arc::clone(&permits).acquire_owned().await;
                let (api, connection) = (Arc::clone(api), Arc::clone(connection));
                let tasks = api.tasks.clone();
                tasks.spawn(async move {
                    api.shutdown.run_until_cancelled(api.invoke_message(&connection, text)).await;
                    drop(permit);
                });
            }
            Message::Binary(_) => return Close::gateway(CloseCode::Unsupported, "Binary frames are not supported"),
            Message::Close(frame) => return Close::client(frame),
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
        }
    }
}

/// Returns after the idle timeout or the connection duration.
async fn expire(limits: &Limits, connection: &Connection) -> Close {
    let end = Instant::now() + limits.lifetime;
    loop {
        let idle = connection.last_active().0 + limits.idle;
        let next = idle.min(end);
        if next <= Instant::now() {
            return Close::going_away();
        }
        sleep_until(next).await;
    }
}

async fn close_stream(mut sink: Sink, mut source: Source, close: &Close) {
    let closing = async {
        if close.initiator != Initiator::Client {
            let frame = CloseFrame { code: close.code.into(), reason: close.reason.as_str().into() };
            sink.send(Message::Close(Some(frame))).await?;
        }
        if close.initiator == Initiator::GatewayMidFrame {
            // Closing a TCP connection with unread input resets it, and discards the close frame.
            if let Ok(mut stream) = source.reunite(sink) {
                stream.get_mut().shutdown().await?;
                let mut discarded = vec![0; 4096];
                while stream.get_mut().read(&mut discarded).await? > 0 {}
            }
        } else {
            // Completes the closing handshake: sends or receives the second close frame.
            while source.next().await.transpose()?.is_some() {}
        }
        Ok::<_, Error>(())
    };
    // The connection is over in any case.
    let _ = timeout(CLOSE_TIMEOUT, closing).await;
}
