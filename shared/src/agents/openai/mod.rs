//! Models behind the Chat Completions API, as OpenAI, vLLM, Ollama, llama.cpp, LiteLLM and others serve it.
//!
//! <https://platform.openai.com/docs/api-reference/chat-streaming>
//!
//! `client` sends what `request` builds from `settings`, and reads the response with `event_stream` and `provider_error`.
//! `provider_key` is the key that it sends.

mod client;
mod event_stream;
mod provider_error;
mod provider_key;
mod request;
mod settings;

pub use client::OpenAi;
pub use provider_key::KeySource;
pub use settings::OpenAiSettings;
