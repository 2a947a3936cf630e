//! A network that breaks: a proxy before the stack that cuts and stalls connections.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// What happens to a connection after this many bytes from the server.
#[derive(Clone, Copy, Debug)]
pub enum Fate {
    /// Both sides end.
    CutAfter(usize),
    /// Nothing more arrives.
    StallAfter(usize),
}

/// A running proxy. Dropped, it ends with its connections.
#[derive(Debug)]
pub struct CuttingProxy {
    address: SocketAddr,
    breaks: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl CuttingProxy {
    /// Starts a proxy before the server at an address such as `ws://127.0.0.1:8000/path`. `fate` is asked for each
    /// connection.
    pub async fn start(url: &str, mut fate: impl FnMut() -> Option<Fate> + Send + 'static) -> Self {
        let server = authority(url).to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let breaks = Arc::new(AtomicUsize::new(0));
        let counter = breaks.clone();
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let (server, fate, counter) = (server.clone(), fate(), counter.clone());
                // A connection that breaks is what the test wants.
                connections.spawn(async move { drop(forward(client, &server, fate, &counter).await) });
            }
        });
        Self { address, breaks, task }
    }

    /// An address of the server, by way of this proxy.
    #[must_use]
    pub fn through(&self, url: &str) -> String {
        url.replacen(authority(url), &self.address.to_string(), 1)
    }

    /// How many connections it has broken.
    #[must_use]
    pub fn breaks(&self) -> usize {
        self.breaks.load(Ordering::Relaxed)
    }
}

impl Drop for CuttingProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The host and port of an address.
fn authority(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split('/').next().unwrap_or(rest)
}

async fn forward(client: TcpStream, server: &str, fate: Option<Fate>, breaks: &AtomicUsize) -> io::Result<()> {
    let (mut from_server, mut to_server) = TcpStream::connect(server).await?.into_split();
    let (mut from_client, mut to_client) = client.into_split();
    let upward = copy(&mut from_client, &mut to_server);
    let downward = async {
        let mut left = match fate {
            Some(Fate::CutAfter(bytes) | Fate::StallAfter(bytes)) => bytes,
            None => usize::MAX,
        };
        let mut buffer = [0; 4096];
        loop {
            let read = from_server.read(&mut buffer).await?;
            let arrives = read.min(left);
            to_client.write_all(&buffer[..arrives]).await?;
            left -= arrives;
            if read == 0 {
                return Ok(());
            }
            if left == 0 {
                breaks.fetch_add(1, Ordering::Relaxed);
                if matches!(fate, Some(Fate::StallAfter(_))) {
                    std::future::pending::<()>().await;
                }
                return Ok(());
            }
        }
    };
    tokio::select! {
        ended = upward => ended.map(|_| ()),
        ended = downward => ended,
    }
}
