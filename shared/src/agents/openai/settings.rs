//! Where the endpoint is, and how to call it.

use super::provider_key::KeySource;
use crate::domain::chat::ModelName;
use http::{HeaderMap, Uri};

/// Where the endpoint is, and how to call it.
#[derive(Clone, Debug, Default)]
pub struct OpenAiSettings {
    /// The address before `/chat/completions`, such as `http://127.0.0.1:8080/v1`; OpenAI's unless set.
    pub base_url: Option<Uri>,
    /// The model of chats that name none.
    pub model: Option<ModelName>,
    /// Where the bearer token comes from, if the endpoint needs one.
    pub key: Option<KeySource>,
    /// Headers sent with every request.
    pub headers: HeaderMap,
}
