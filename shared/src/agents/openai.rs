//! Models behind the Chat Completions API, as OpenAI, vLLM, Ollama, llama.cpp, LiteLLM and others serve it.
//!
//! <https://platform.openai.com/docs/api-reference/chat-streaming>

mod complaint;
mod question;
mod tokens;

use std::{io, sync::Arc, time::Duration};

use futures_util::StreamExt;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, Uri, header};
use http_body_util::{BodyExt, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use secrecy::{ExposeSecret, SecretString};
use sse_stream::SseStream;
use tokio::sync::OnceCell;

use super::{Agent, AgentError, Conversation, Deltas, Failure, retry};
use crate::{
    domain::chat::{ChatConfig, ModelName},
    runtime::telemetry,
};
use complaint::Complaint;
use question::Question;

/// OpenAI itself.
const OPENAI: &str = "https://api.openai.com/v1";

/// W3C's header of the trace that a request is part of.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// How much of an error is read.
const MAX_COMPLAINT_BYTES: usize = 64 * 1024;

/// Whom to ask, and how.
#[derive(Clone, Debug, Default)]
pub struct OpenAiSettings {
    /// The address before `/chat/completions`, such as `http://127.0.0.1:8080/v1`; that of OpenAI unless given.
    pub base_url: Option<Uri>,
    /// The model of chats that name none.
    pub model: Option<ModelName>,
    /// What is sent as the bearer token, if anything.
    pub key: Option<SecretString>,
    /// Sent beside what is always sent.
    pub headers: HeaderMap,
}

/// A model behind an OpenAI-compatible endpoint.
#[derive(Clone, Debug)]
pub struct OpenAi(Arc<Endpoint>);

#[derive(Debug)]
struct Endpoint {
    settings: OpenAiSettings,
    /// Made for the first question: a process whose chats all have other agents does without.
    client: OnceCell<Client<HttpsConnector<HttpConnector>, String>>,
}

impl OpenAi {
    /// An agent that asks as `settings` say.
    #[must_use]
    pub fn new(settings: OpenAiSettings) -> Self {
        Self(Arc::new(Endpoint { settings, client: OnceCell::new() }))
    }
}

impl Agent for OpenAi {
    fn model(&self, config: &ChatConfig) -> String {
        let model = config.model.as_ref().or(self.0.settings.model.as_ref());
        model.map_or_else(|| "openai".to_owned(), |model| model.as_str().to_owned())
    }

    fn answer(&self, conversation: Conversation) -> Deltas {
        let endpoint = self.0.clone();
        let question = Question::json(conversation, &endpoint.settings).map(Arc::<str>::from);
        retry::answer(move || {
            let (endpoint, question) = (endpoint.clone(), question.clone());
            async move { endpoint.ask(question?.to_string()).await }
        })
    }
}

impl Endpoint {
    async fn ask(&self, question: String) -> Result<Deltas, AgentError> {
        let unavailable = |error| AgentError::new(Failure::Unavailable, error);
        let client = self.client.get_or_try_init(async || client()).await;
        let client = client.map_err(|error| AgentError::new(Failure::Unavailable, error))?;
        let response = client.request(self.request(question)?).await.map_err(unavailable)?;
        if !response.status().is_success() {
            return Err(complain(response).await);
        }
        Ok(tokens::read(SseStream::new(response.into_body()).boxed()))
    }

    fn request(&self, question: String) -> Result<Request<String>, AgentError> {
        let denied = |error: http::Error| AgentError::new(Failure::Denied, error);
        let OpenAiSettings { base_url, key, headers, .. } = &self.settings;
        let base_url = base_url.as_ref().map_or_else(|| OPENAI.to_owned(), Uri::to_string);
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
        let mut request = request.body(question).map_err(denied)?;
        request.headers_mut().extend(headers.clone());
        Ok(request)
    }
}

/// HTTP/1.1, since a process seldom streams many answers at once, over the TLS of the AWS SDK.
fn client() -> io::Result<Client<HttpsConnector<HttpConnector>, String>> {
    let mut tcp = HttpConnector::new();
    tcp.set_connect_timeout(Some(retry::CONNECT));
    tcp.set_nodelay(true);
    tcp.enforce_http(false);
    let tls = HttpsConnectorBuilder::new().with_native_roots()?.https_or_http().enable_http1().wrap_connector(tcp);
    Ok(Client::builder(TokioExecutor::new()).build(tls))
}

/// What an answer that is none says.
async fn complain(response: Response<hyper::body::Incoming>) -> AgentError {
    let status = response.status().as_u16();
    let pause = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
    let pause = pause.and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs);
    // Without a body, or with half of one, the status has to do.
    let body = Limited::new(response.into_body(), MAX_COMPLAINT_BYTES).collect().await;
    let body = body.map(|body| body.to_bytes()).unwrap_or_default();
    Complaint::of_response(status, &body).into_error().with_retry_after(pause)
}

#[cfg(test)]
mod tests;
