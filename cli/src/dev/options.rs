//! The flags of `chat dev`.

use std::path::PathBuf;

use super::agent::Agent;
use crate::local_stack::DEFAULT_PORT;

/// The flags of `chat dev`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// Port of the API, for both REST and WebSocket; 0 chooses a free one
    #[arg(long, value_name = "PORT", default_value_t = DEFAULT_PORT, help_heading = "Addresses")]
    pub(super) port: u16,

    /// Port of DynamoDB Local; 0 chooses a free one
    #[arg(long, value_name = "PORT", default_value_t = 8001, help_heading = "Addresses")]
    pub(super) dynamodb_port: u16,

    /// Port of the Lambda Invoke API; 0 chooses a free one
    #[arg(long, value_name = "PORT", default_value_t = 0, help_heading = "Addresses")]
    pub(super) invoke_port: u16,

    /// The agent of chats that name none [default: the template's, echo]
    #[arg(long, value_name = "NAME", help_heading = "Agent")]
    pub(super) agent: Option<Agent>,

    /// Base URL of the agent openai, such as http://127.0.0.1:11434/v1 [default: OpenAI's]; its key is in OPENAI_API_KEY
    #[arg(long, value_name = "URL", help_heading = "Agent")]
    pub(super) openai_base_url: Option<String>,

    /// The model of the agent openai in chats that name none
    #[arg(long, value_name = "NAME", help_heading = "Agent")]
    pub(super) model: Option<String>,

    /// Use a running DynamoDB, such as http://localhost:8042, instead of starting one
    #[arg(long, value_name = "URL", conflicts_with_all = ["in_memory", "reset"], help_heading = "Data")]
    pub(super) dynamodb_endpoint: Option<String>,

    /// Keep data in memory, until the stack stops
    #[arg(long, conflicts_with = "reset", help_heading = "Data")]
    pub(super) in_memory: bool,

    /// Delete the data of earlier runs first
    #[arg(long, help_heading = "Data")]
    pub(super) reset: bool,

    /// Build the functions once instead of on every change, and restart a function that exits
    #[arg(long, help_heading = "Functions")]
    pub(super) no_reload: bool,

    /// With --no-reload: the number of processes of each function, as Lambda starts for concurrent requests
    #[arg(long, value_name = "NUMBER", default_value_t = 1, requires = "no_reload", help_heading = "Functions",
          value_parser = clap::value_parser!(u8).range(1..=64))]
    pub(super) processes: u8,

    /// With --no-reload: a process takes its next event only when its work after the response is done, as on Lambda
    #[arg(long, requires = "no_reload", help_heading = "Functions")]
    pub(super) wait_after_response: bool,

    /// Build with optimisations
    #[arg(long, help_heading = "Functions")]
    pub(super) release: bool,

    /// Set a parameter of the template; can be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = parameter, help_heading = "Functions")]
    pub(super) parameter: Vec<(String, String)>,

    /// The SAM template in the root of the workspace [default: the nearest in this folder or above]
    #[arg(long, value_name = "PATH", help_heading = "Functions")]
    pub(super) template: Option<PathBuf>,

    /// Print one JSON object a line on stdout, and everything for people on stderr
    #[arg(long, help_heading = "For programs")]
    pub(super) json: bool,

    /// The management API (@connections) of the functions, such as a proxy in front of the stack's [default: --port's]
    #[arg(long, value_name = "URL", help_heading = "For programs")]
    pub(super) management_endpoint: Option<String>,

    /// Stop when stdin is closed
    #[arg(long, help_heading = "For programs")]
    pub(super) stop_on_stdin_eof: bool,
}

fn parameter(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE, such as LogLevel=debug".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::parameter;

    #[test]
    fn parameter_is_split_at_its_first_equals_sign() {
        assert_eq!(parameter("A=b=c"), Ok(("A".to_owned(), "b=c".to_owned())));
        assert!(parameter("A").is_err());
        assert!(parameter("=b").is_err());
    }
}
