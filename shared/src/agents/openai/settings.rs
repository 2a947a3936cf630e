//! Where the endpoint is, and how to call it.

use http::{HeaderMap, Uri};
use secrecy::SecretString;

use crate::domain::chat::ModelName;

/// Where the endpoint is, and how to call it.
#[derive(Clone, Debug, Default)]
pub struct OpenAiSettings {
    /// The address before `/chat/completions`, such as `http://127.0.0.1:8080/v1`; OpenAI's unless set.
    pub base_url: Option<Uri>,
    /// The model of chats that name none.
    pub model: Option<ModelName>,
    /// The bearer token, if the endpoint needs one.
    pub key: Option<SecretString>,
    /// Headers sent with every request.
    pub headers: HeaderMap,
}
