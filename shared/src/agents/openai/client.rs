//! The agent: one streaming POST for each attempt.

use std::{io, sync::Arc, time::Duration};

use futures_util::StreamExt;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use secrecy::{ExposeSecret, SecretString};
use sse_stream::SseStream;
use tokio::sync::OnceCell;

use super::{
    event_stream, provider_error::ProviderError, provider_key::ProviderKey, request::ChatCompletion,
    settings::OpenAiSettings,
};
use crate::{
    agents::{
        agent::{Agent, Deltas},
        conversation::Conversation,
        error::{AgentError, Failure},
        retry,
    },
    domain::chat::ChatConfig,
    runtime::telemetry,
};

/// The address of OpenAI itself.
const OPENAI_URL: &str = "https://api.openai.com/v1";

/// W3C Trace Context's header.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// How much of an error body is read.
const MAX_ERROR_BYTES: usize = 64 * 1024;

/// A model behind an OpenAI-compatible endpoint.
#[derive(Clone, Debug)]
pub struct OpenAi(Arc<Endpoint>);

#[derive(Debug)]
struct Endpoint {
    settings: OpenAiSettings,
    key: Option<ProviderKey>,
    /// Made for the first request: a process whose chats all use other agents reads no root certificates.
    client: OnceCell<HttpClient>,
}

type HttpClient = Client<HttpsConnector<HttpConnector>, String>;

impl OpenAi {
    /// An agent that calls the endpoint of `settings`.
    #[must_use]
    pub fn new(settings: OpenAiSettings) -> Self {
        let key = settings.key.clone().map(ProviderKey::new);
        Self(Arc::new(Endpoint { settings, key, client: OnceCell::new() }))
    }
}

impl Agent for OpenAi {
    fn model(&self, config: &ChatConfig) -> String {
        let model = config.model.as_ref().or(self.0.settings.model.as_ref());
        model.map_or_else(|| "openai".to_owned(), |model| model.as_str().to_owned())
    }

    fn respond(&self, conversation: Conversation) -> Deltas {
        let endpoint = self.0.clone();
        let body = ChatCompletion::json(conversation, &endpoint.settings).map(Arc::<str>::from);
        retry::until_first_token(move || {
            let (endpoint, body) = (endpoint.clone(), body.clone());
            async move { endpoint.send(body?.to_string()).await }
        })
    }
}

impl Endpoint {
    async fn send(&self, body: String) -> Result<Deltas, AgentError> {
        let Some(key) = &self.key else { return self.read(self.post(body, None).await?).await };
        let current = key.get().await?;
        let response = self.post(body.clone(), Some(&current)).await?;
        // The key may have been replaced since this process has read it.
        if response.status() == StatusCode::UNAUTHORIZED
            && let Some(replacement) = key.replacement(&current).await?
        {
            return self.read(self.post(body, Some(&replacement)).await?).await;
        }
        self.read(response).await
    }

    async fn post(&self, body: String, key: Option<&SecretString>) -> Result<Response<Incoming>, AgentError> {
        let client = self.client.get_or_try_init(async || http_client()).await;
        let client = client.map_err(|error| AgentError::new(Failure::Unavailable, error))?;
        let response = client.request(self.request(body, key)?).await;
        response.map_err(|error| AgentError::new(Failure::Unavailable, error))
    }

    async fn read(&self, response: Response<Incoming>) -> Result<Deltas, AgentError> {
        if !response.status().is_success() {
            return Err(read_error(response).await);
        }
        Ok(event_stream::read(SseStream::new(response.into_body()).boxed()))
    }

    fn request(&self, body: String, key: Option<&SecretString>) -> Result<Request<String>, AgentError> {
        let denied = |error: http::Error| AgentError::new(Failure::Denied, error);
        let OpenAiSettings { base_url, headers, .. } = &self.settings;
        let base_url = base_url.as_ref().map_or_else(|| OPENAI_URL.to_owned(), Uri::to_string);
        let mut request = Request::post(format!("{}/chat/completions", base_url.trim_end_matches('/')))
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "text/event-stream");
        if let Some(trace) = telemetry::current_trace() {
            request = request.header(TRACEPARENT, trace.traceparent());
        }
        if let Some(key) = key {
            let mut bearer = HeaderValue::try_from(format!("Bearer {}", key.expose_secret()))
                .map_err(|_| AgentError::new(Failure::Denied, "the key has characters that no header may have"))?;
            bearer.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, bearer);
        }
        let mut request = request.body(body).map_err(denied)?;
        request.headers_mut().extend(headers.clone());
        Ok(request)
    }
}

/// HTTP/1.1, because a process seldom streams several messages at once, over the TLS of the AWS SDK.
fn http_client() -> io::Result<HttpClient> {
    let mut tcp = HttpConnector::new();
    tcp.set_connect_timeout(Some(retry::CONNECT_TIMEOUT));
    tcp.set_nodelay(true);
    tcp.enforce_http(false);
    let tls = HttpsConnectorBuilder::new().with_native_roots()?.https_or_http().enable_http1().wrap_connector(tcp);
    Ok(Client::builder(TokioExecutor::new()).build(tls))
}

/// Reads an error response. If the body is missing or incomplete, the status decides alone.
async fn read_error(response: Response<Incoming>) -> AgentError {
    let status = response.status().as_u16();
    let retry_after = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
    let retry_after = retry_after.and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs);
    let body = Limited::new(response.into_body(), MAX_ERROR_BYTES).collect().await;
    let body = body.map(|body| body.to_bytes()).unwrap_or_default();
    ProviderError::from_response(status, &body).into_agent_error().with_retry_after(retry_after)
}
