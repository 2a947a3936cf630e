//! The REST API.

use std::{error::Error, fmt, time::Duration};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{
    Method, RequestBuilder, Response, StatusCode,
    header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER},
    redirect::Policy,
};
use serde::{Deserialize, de::DeserializeOwned};
use tokio::time::sleep;

use crate::{
    error::{ChatError, Code, ErrorBody},
    random_id::random_id,
    resources::{ChatChange, ChatInfo, ChatPage, MessagePage, NewChat, Ticket},
    timing::backoff,
};

/// The longest wait for one response.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The longest pause before a call is repeated. A caller that waits for a ticket has 15 seconds.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// How often a call is repeated that failed for a reason that passes.
const RETRIES: u32 = 3;

/// The REST API, for servers and operators: the key opens all chats of the tenant.
///
/// Every call may be repeated safely, so it is, three times at most, after `Retry-After` or a growing pause of up to ten
/// seconds, when the server is not reached, limits the rate, or fails.
#[derive(Clone)]
pub struct ChatApi {
    /// Without a slash at its end.
    url: String,
    http: reqwest::Client,
}

/// Which part of a list to return.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// How many: 1 to 200, 50 by default.
    pub limit: Option<u32>,
    /// How many to leave out.
    pub offset: Option<u32>,
    /// Newest first. Chats always are.
    pub is_descending: bool,
}

impl Page {
    fn query(self, order: bool) -> Vec<(&'static str, String)> {
        let number = |name, value: Option<u32>| value.map(|value| (name, value.to_string()));
        let order = (order && self.is_descending).then(|| ("order", "desc".to_owned()));
        [number("limit", self.limit), number("offset", self.offset), order].into_iter().flatten().collect()
    }
}

impl ChatApi {
    /// The API at an address such as `http://localhost:8000`.
    ///
    /// # Errors
    ///
    /// `CONNECTION_FAILED` if it is no address or the machine has no certificates; `INVALID_API_KEY` if it is no key.
    pub fn new(url: &str, key: &str) -> Result<Self, ChatError> {
        if !reqwest::Url::parse(url).is_ok_and(|url| ["http", "https"].contains(&url.scheme())) {
            let message = format!("{url} is no address.");
            return Err(ChatError::new(Code::ConnectionFailed, message, "It starts with http:// or https://."));
        }
        let mut key = HeaderValue::from_str(key).map_err(|_| {
            ChatError::new(Code::InvalidApiKey, "The key has a character that no key has.", "Look for a line break.")
        })?;
        key.set_sensitive(true);
        let http = reqwest::Client::builder()
            .timeout(TIMEOUT)
            // The API redirects nowhere, and another host must not get the key.
            .redirect(Policy::none())
            .default_headers(HeaderMap::from_iter([(HeaderName::from_static("x-api-key"), key)]));
        let http = http.build().map_err(|error| {
            let message = format!("No HTTP client: {}.", with_causes(&error));
            ChatError::new(Code::ConnectionFailed, message, "Install the certificates of this system.")
        })?;
        Ok(Self { url: url.trim_end_matches('/').to_owned(), http })
    }

    /// Creates a chat. A repeated call creates no second one.
    ///
    /// # Errors
    ///
    /// What the server refuses, and `CONNECTION_FAILED` or `BAD_RESPONSE` without one.
    pub async fn create_chat(&self, chat: &NewChat) -> Result<ChatInfo, ChatError> {
        let key = random_id();
        let request = || self.request(Method::POST, "/chats/").header("Idempotency-Key", &key).json(chat);
        read(&self.call(request).await?)
    }

    /// One chat.
    ///
    /// # Errors
    ///
    /// As [`create_chat`](Self::create_chat), and `CHAT_NOT_FOUND`.
    pub async fn get_chat(&self, chat_id: &str) -> Result<ChatInfo, ChatError> {
        read(&self.call(|| self.request(Method::GET, &chat_path(chat_id))).await?)
    }

    /// The chats of a user, most recently active first.
    ///
    /// # Errors
    ///
    /// As [`create_chat`](Self::create_chat).
    pub async fn list_user_chats(&self, user_id: &str, page: Page) -> Result<ChatPage, ChatError> {
        let path = format!("/chats/user/{}", escape(user_id));
        read(&self.call(|| self.request(Method::GET, &path).query(&page.query(false))).await?)
    }

    /// Changes a chat.
    ///
    /// # Errors
    ///
    /// As [`get_chat`](Self::get_chat).
    pub async fn update_chat(&self, chat_id: &str, change: &ChatChange) -> Result<ChatInfo, ChatError> {
        read(&self.call(|| self.request(Method::PATCH, &chat_path(chat_id)).json(change)).await?)
    }

    /// Deletes a chat with its messages. Of a repeated call, a chat that is gone is deleted too.
    ///
    /// # Errors
    ///
    /// As [`get_chat`](Self::get_chat).
    pub async fn delete_chat(&self, chat_id: &str) -> Result<(), ChatError> {
        self.call(|| self.request(Method::DELETE, &chat_path(chat_id))).await.map(|_| ())
    }

    /// The messages of a chat, oldest first unless the page says otherwise.
    ///
    /// # Errors
    ///
    /// As [`get_chat`](Self::get_chat).
    pub async fn list_messages(&self, chat_id: &str, page: Page) -> Result<MessagePage, ChatError> {
        let path = format!("{}/messages", chat_path(chat_id));
        read(&self.call(|| self.request(Method::GET, &path).query(&page.query(true))).await?)
    }

    /// Creates a ticket: it opens one connection to the chat within 60 seconds, without the key.
    ///
    /// # Errors
    ///
    /// As [`get_chat`](Self::get_chat).
    pub async fn create_ticket(&self, chat_id: &str) -> Result<Ticket, ChatError> {
        let path = format!("{}/tickets", chat_path(chat_id));
        read(&self.call(|| self.request(Method::POST, &path)).await?)
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}/api/v1{path}", self.url))
    }

    /// Sends a request until it succeeds or will not; returns the body.
    async fn call(&self, request: impl Fn() -> RequestBuilder) -> Result<String, ChatError> {
        let mut attempt = 1;
        loop {
            let (client, request) = request().build_split();
            let request = request.map_err(|error| unreachable_error(&self.url, &error))?;
            let is_delete = request.method() == Method::DELETE;
            let error = match client.execute(request).await {
                Ok(response) => match respond(response).await {
                    Ok(body) => return Ok(body),
                    // An earlier attempt has deleted it, and its response was lost.
                    Err(error) if is_delete && attempt > 1 && error.status() == Some(404) => return Ok(String::new()),
                    Err(error) => error,
                },
                Err(error) => unreachable_error(&self.url, &error),
            };
            let pause = error.retry_after().unwrap_or_default().max(backoff(attempt));
            if !error.is_retryable() || attempt > RETRIES || pause > LONGEST_PAUSE {
                return Err(error);
            }
            sleep(pause).await;
            attempt += 1;
        }
    }
}

impl fmt::Debug for ChatApi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChatApi").field("url", &self.url).finish_non_exhaustive()
    }
}

fn chat_path(chat_id: &str) -> String {
    format!("/chats/{}", escape(chat_id))
}

fn escape(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

fn read<T: DeserializeOwned>(body: &str) -> Result<T, ChatError> {
    serde_json::from_str(body).map_err(|error| {
        let message = format!("The response is not of this API: {error}.");
        ChatError::new(Code::BadResponse, message, "Check the address and both versions.")
    })
}

/// The body of a response, or its error.
async fn respond(response: Response) -> Result<String, ChatError> {
    #[derive(Deserialize)]
    struct Refusal {
        error: ErrorBody,
    }

    let (status, headers) = (response.status(), response.headers().clone());
    let address = response.url().to_string();
    let body = response.text().await.map_err(|error| unreachable_error(&address, &error))?;
    if status.is_success() {
        return Ok(body);
    }
    let is_retryable = status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error();
    let error = match serde_json::from_str::<Refusal>(&body) {
        Ok(Refusal { error }) => ChatError::of_server(error, is_retryable),
        Err(_) => foreign_error(status, is_retryable),
    };
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    Err(error.with_status(status.as_u16()).with_request_id(text("x-request-id")).with_retry_after(seconds(&headers)))
}

fn seconds(headers: &HeaderMap) -> Option<u64> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()
}

/// The error of API Gateway itself, or of something else at this address.
fn foreign_error(status: StatusCode, is_retryable: bool) -> ChatError {
    let message = format!("The server responded with {status}.");
    if is_retryable {
        ChatError::new(Code::Unavailable, message, "Try again later.").retryable()
    } else {
        ChatError::new(Code::BadResponse, message, "Check the address.")
    }
}

fn unreachable_error(address: &str, error: &reqwest::Error) -> ChatError {
    let message = match error.is_timeout() {
        true => format!("{address} did not respond within {} seconds.", TIMEOUT.as_secs()),
        false => format!("{address} cannot be reached: {}.", with_causes(error)),
    };
    ChatError::new(Code::ConnectionFailed, message, "Check address and network.").retryable()
}

/// What happened, from the inside: the message of the error itself has the address once more.
fn with_causes(error: &reqwest::Error) -> String {
    let mut cause: &dyn Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}
