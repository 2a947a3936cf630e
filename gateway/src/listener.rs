//! A TCP listener that can be served more than once: during warm-up, and afterwards.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    extract::connect_info::Connected,
    serve::{IncomingStream, Listener},
};
use tokio::{
    net::{TcpListener, TcpStream},
    time::sleep,
};

/// Pause after a failed accept, most likely for lack of file descriptors.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

#[derive(Debug, Clone)]
pub(crate) struct SharedListener(pub(crate) Arc<TcpListener>);

impl Listener for SharedListener {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        loop {
            match self.0.accept().await {
                Ok((stream, address)) => {
                    // Small frames must not wait for Nagle's algorithm.
                    let _ = stream.set_nodelay(true);
                    return (stream, address);
                }
                Err(_) => sleep(ACCEPT_RETRY).await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// The address of a client.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SourceAddress(pub(crate) SocketAddr);

impl Connected<IncomingStream<'_, SharedListener>> for SourceAddress {
    fn connect_info(stream: IncomingStream<'_, SharedListener>) -> Self {
        Self(*stream.remote_addr())
    }
}
