//! Where the addresses of connections come from.

use std::{error::Error, fmt, sync::Arc, time::Duration};

use form_urlencoded::Serializer;
use futures_util::future::BoxFuture;
use tokio::time::timeout;

use crate::error::{ChatError, Code};

type BoxError = Box<dyn Error + Send + Sync>;
type Tickets = dyn Fn() -> BoxFuture<'static, Result<String, BoxError>> + Send + Sync;

/// Where the addresses of connections come from: every connection needs one.
#[derive(Clone)]
pub struct Source(Kind);

#[derive(Clone)]
enum Kind {
    Key { url: String },
    Tickets(Arc<Tickets>),
}

impl Source {
    /// Connects with the tenant's API key. For servers and operators: the key opens all chats of the tenant.
    ///
    /// `url` is the address of the WebSocket API, such as `ws://localhost:8000/ws/chat`.
    #[must_use]
    pub fn key(url: &str, key: &str, user_id: &str, chat_id: &str) -> Self {
        let pairs = [("api_key", key), ("user_id", user_id), ("chat_id", chat_id)];
        let query = Serializer::new(String::new()).extend_pairs(pairs).finish();
        Self(Kind::Key { url: format!("{url}?{query}") })
    }

    /// Connects with tickets. The function fetches one for each connection, from the backend of the app, and returns its
    /// `url`. A [`ChatError`] that is not retryable ends the chat; other errors are tried again.
    pub fn tickets<F, Ticket, E>(fetch: F) -> Self
    where
        F: Fn() -> Ticket + Send + Sync + 'static,
        Ticket: Future<Output = Result<String, E>> + Send + 'static,
        E: Into<BoxError>,
    {
        Self(Kind::Tickets(Arc::new(move || {
            let ticket = fetch();
            Box::pin(async move { ticket.await.map_err(Into::into) })
        })))
    }

    /// Whether every connection has the same address.
    pub(crate) fn is_key(&self) -> bool {
        matches!(self.0, Kind::Key { .. })
    }

    /// The address of the next connection.
    pub(crate) async fn url(&self, within: Duration) -> Result<String, ChatError> {
        let fetch = match &self.0 {
            Kind::Key { url } => return Ok(url.clone()),
            Kind::Tickets(fetch) => fetch,
        };
        let failed = |what: String| {
            ChatError::new(Code::TicketFailed, format!("No ticket: {what}."), "Check the ticket route.").retryable()
        };
        match timeout(within, fetch()).await {
            Ok(Ok(url)) => Ok(url),
            Ok(Err(error)) => Err(match error.downcast::<ChatError>() {
                Ok(error) => *error,
                Err(error) => failed(error.to_string()),
            }),
            Err(_) => Err(failed(format!("no response within {} seconds", within.as_secs_f32()))),
        }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_key() { "Source::Key" } else { "Source::Tickets" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WITHIN: Duration = Duration::from_secs(15);

    #[tokio::test]
    async fn key_and_ids_are_escaped() {
        let source = Source::key("ws://localhost:8000/ws/chat", "a&b", "Zoë Müller", "chat_1");
        let url = source.url(WITHIN).await.expect("an address");
        assert_eq!(url, "ws://localhost:8000/ws/chat?api_key=a%26b&user_id=Zo%C3%AB+M%C3%BCller&chat_id=chat_1");
    }

    #[tokio::test(start_paused = true)]
    async fn a_function_that_fails_or_hangs_is_tried_again() {
        let fails = Source::tickets(async || Err::<String, _>("503"));
        let hangs = Source::tickets(std::future::pending::<Result<String, BoxError>>);
        for (source, message) in [(fails, "No ticket: 503."), (hangs, "No ticket: no response within 15 seconds.")] {
            let error = source.url(WITHIN).await.expect_err("no ticket");
            assert_eq!((error.code(), error.is_retryable()), (&Code::TicketFailed, true));
            assert_eq!(error.to_string(), message);
        }
    }

    #[tokio::test]
    async fn error_of_the_function_is_kept() {
        let gone = || async { Err::<String, _>(ChatError::new(Code::ChatNotFound, "No chat.", "Create one.")) };
        let error = Source::tickets(gone).url(WITHIN).await.expect_err("no ticket");
        assert_eq!((error.code(), error.is_retryable()), (&Code::ChatNotFound, false));
    }
}
