//! The agents that call a provider, against an HTTP server whose every byte a test writes.

mod bedrock;
mod openai;
mod provider;
