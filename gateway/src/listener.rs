//! A listener that may be served more than once.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::net::{TcpListener, TcpStream};

#[derive(Debug, Clone)]
pub(crate) struct SharedListener(pub(crate) Arc<TcpListener>);

impl Listener for SharedListener {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        loop {
            match self.0.accept().await {
                Ok((stream, address)) => {
                    // Tokens of an answer are small writes, which Nagle's algorithm would hold back.
                    let _ = stream.set_nodelay(true);
                    return (stream, address);
                }
                // Most likely out of file descriptors: some may be free again after a while.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// The address of a client.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Remote(pub(crate) SocketAddr);

impl Connected<IncomingStream<'_, SharedListener>> for Remote {
    fn connect_info(stream: IncomingStream<'_, SharedListener>) -> Self {
        Self(*stream.remote_addr())
    }
}
