//! The key of the provider: given, or read when it is first needed and again after the provider has refused it.
//!
//! A process whose chats all use other agents never reads it, and a new key needs no deployment.

use std::{error::Error as StdError, fmt, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use secrecy::{ExposeSecret, SecretString};
use tokio::{sync::Mutex, time::Instant};

use crate::agents::error::{AgentError, Failure};

/// How often a refused key is read again at most: each read is billed, and a wrong key stays wrong.
const READ_INTERVAL: Duration = Duration::from_secs(30);

type ReadResult = Result<SecretString, Box<dyn StdError + Send + Sync>>;

/// Where the key comes from.
#[derive(Clone)]
pub enum KeySource {
    /// The key itself.
    Given(SecretString),
    /// How to read it.
    Read(Arc<dyn Fn() -> BoxFuture<'static, ReadResult> + Send + Sync>),
}

impl fmt::Debug for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Given(_) => "Given",
            Self::Read(_) => "Read",
        })
    }
}

/// The key as this process knows it.
#[derive(Debug)]
pub(super) struct ProviderKey {
    source: KeySource,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    key: Option<SecretString>,
    /// When the key was last read because the provider had refused it.
    read_again_at: Option<Instant>,
}

impl ProviderKey {
    pub(super) fn new(source: KeySource) -> Self {
        Self { source, known: Mutex::default() }
    }

    /// The key, read if this process does not know it yet.
    pub(super) async fn get(&self) -> Result<SecretString, AgentError> {
        let mut known = self.known.lock().await;
        if let Some(key) = &known.key {
            return Ok(key.clone());
        }
        let key = self.read().await?;
        known.key = Some(key.clone());
        Ok(key)
    }

    /// The key after the provider has refused `refused`; `None` when there is no other one.
    pub(super) async fn replacement(&self, refused: &SecretString) -> Result<Option<SecretString>, AgentError> {
        let mut known = self.known.lock().await;
        let is_due = known.read_again_at.is_none_or(|read_at| read_at.elapsed() >= READ_INTERVAL);
        if is_due && known.key.as_ref().is_none_or(|key| is_same(key, refused)) {
            known.read_again_at = Some(Instant::now());
            known.key = Some(self.read().await?);
        }
        Ok(known.key.clone().filter(|key| !is_same(key, refused)))
    }

    async fn read(&self) -> Result<SecretString, AgentError> {
        match &self.source {
            KeySource::Given(key) => Ok(key.clone()),
            KeySource::Read(read) => read().await.map_err(|error| AgentError::new(Failure::Unavailable, error)),
        }
    }
}

fn is_same(one: &SecretString, other: &SecretString) -> bool {
    one.expose_secret() == other.expose_secret()
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Mutex as StdMutex,
        atomic::{AtomicUsize, Ordering},
    };

    use futures_util::FutureExt;
    use tokio::time::advance;

    use super::*;

    /// A key that is stored elsewhere, and how often it was read.
    #[derive(Default)]
    struct Stored {
        key: StdMutex<String>,
        reads: AtomicUsize,
    }

    impl Stored {
        fn set(&self, key: &str) {
            *self.key.lock().expect("no panic") = key.to_owned();
        }

        fn source(self: &Arc<Self>) -> KeySource {
            let stored = self.clone();
            KeySource::Read(Arc::new(move || {
                stored.reads.fetch_add(1, Ordering::Relaxed);
                let key = stored.key.lock().expect("no panic").clone();
                async move { if key.is_empty() { Err("no such secret".into()) } else { Ok(SecretString::from(key)) } }
                    .boxed()
            }))
        }

        fn reads(&self) -> usize {
            self.reads.load(Ordering::Relaxed)
        }
    }

    fn text(key: Option<SecretString>) -> Option<String> {
        key.map(|key| key.expose_secret().to_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn key_is_read_when_it_is_first_needed_and_then_known() {
        let stored = Arc::new(Stored::default());
        let key = ProviderKey::new(stored.source());
        assert!(key.get().await.is_err(), "the secret does not exist yet");
        stored.set("one");
        assert_eq!(text(key.get().await.ok()).as_deref(), Some("one"));
        assert_eq!(text(key.get().await.ok()).as_deref(), Some("one"));
        assert_eq!(stored.reads(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn refused_key_is_read_again_at_most_every_30_seconds() {
        let stored = Arc::new(Stored::default());
        stored.set("one");
        let key = ProviderKey::new(stored.source());
        let refused = key.get().await.expect("a key");
        assert!(key.replacement(&refused).await.expect("no error").is_none(), "it has not changed");
        stored.set("two");
        assert!(key.replacement(&refused).await.expect("no error").is_none(), "it was read a moment ago");
        advance(READ_INTERVAL).await;
        assert_eq!(text(key.replacement(&refused).await.expect("no error")).as_deref(), Some("two"));
        // Another request was refused with the old key at the same time.
        assert_eq!(text(key.replacement(&refused).await.expect("no error")).as_deref(), Some("two"));
        assert_eq!(stored.reads(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn given_key_has_no_replacement() {
        let given = SecretString::from("given");
        let key = ProviderKey::new(KeySource::Given(given.clone()));
        assert!(key.replacement(&given).await.expect("no error").is_none());
    }
}
