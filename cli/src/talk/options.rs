//! The flags of `chat talk`.

use anyhow::{Result, bail};
use chat_api_client::ChatApi;
use clap::builder::NonEmptyStringValueParser;

use crate::local_stack::{DEFAULT_PORT, DEMO_API_KEY};

/// The flags of `chat talk`.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:
  cargo chat talk                                  talk to the stack of `cargo chat dev`
  echo 'What is DynamoDB?' | cargo chat talk       print the answer alone
  cargo chat talk --url https://….amazonaws.com    with CHAT_API_KEY, to a stack on AWS

With --json, an event of the server has a `type` and the fields of docs/API.md. What the program itself reports has an
`event`: `state`, `retry` or `failed`.")]
pub(crate) struct Options {
    /// The chat to continue. Without it, your first message creates one
    #[arg(value_name = "CHAT", value_parser = NonEmptyStringValueParser::new())]
    pub(super) chat: Option<String>,
    /// The address of the REST API
    #[arg(long, value_name = "URL", env = "CHAT_API_URL", default_value_t = format!("http://localhost:{DEFAULT_PORT}"))]
    url: String,
    /// The tenant's API key, better in the environment. For this machine, that of the demo tenant is known
    #[arg(long, env = "CHAT_API_KEY", hide_env_values = true)]
    key: Option<String>,
    /// Who talks: the user of new chats
    #[arg(long, default_value = "terminal", conflicts_with = "chat")]
    pub(super) user: String,
    /// The model of new chats, such as echo@20. Without it, the default of the tenant
    #[arg(long, conflicts_with = "chat")]
    pub(super) model: Option<String>,
    /// Read each line of stdin as a message, and print every event as JSON
    #[arg(long)]
    pub(super) json: bool,
}

impl Options {
    pub(super) fn api(&self) -> Result<ChatApi> {
        let is_local = ["localhost", "127.0.0.1", "[::1]"].contains(&host(&self.url));
        // A variable that is set to nothing is not set.
        let key = match self.key.as_ref().filter(|key| !key.is_empty()) {
            Some(key) => key.as_str(),
            None if is_local => DEMO_API_KEY,
            None => bail!("{} needs an API key: set CHAT_API_KEY to a key of your tenant", self.url),
        };
        Ok(ChatApi::new(&self.url, key)?)
    }

    /// The address of the API.
    pub(super) fn url(&self) -> &str {
        &self.url
    }
}

/// The host of an address, without its port.
fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split('/').next().unwrap_or(rest);
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_has_no_scheme_and_port() {
        for (url, expected) in [
            ("http://localhost:8000", "localhost"),
            ("http://localhost.example.com/", "localhost.example.com"),
            ("http://[::1]:8000/", "[::1]"),
            ("127.0.0.1", "127.0.0.1"),
        ] {
            assert_eq!(host(url), expected);
        }
    }
}
