//! The flags of `chat dev`.

use std::path::PathBuf;

use super::agent::Agent;

/// The flags of `chat dev`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// Port of the API, REST and WebSocket together; 0 is any free one
    #[arg(long, value_name = "PORT", default_value_t = 8000, help_heading = "Addresses")]
    pub(crate) port: u16,

    /// Port of DynamoDB Local; 0 is any free one
    #[arg(long, value_name = "PORT", default_value_t = 8001, help_heading = "Addresses")]
    pub(crate) dynamodb_port: u16,

    /// Port of the Lambda Invoke API; 0 is any free one
    #[arg(long, value_name = "PORT", default_value_t = 0, help_heading = "Addresses")]
    pub(crate) invoke_port: u16,

    /// Who answers in chats that do not say who [default: the template's choice, echo]
    #[arg(long, value_name = "NAME", help_heading = "Agent")]
    pub(crate) agent: Option<Agent>,

    /// Where the agent openai asks, such as http://127.0.0.1:11434/v1 [default: OpenAI]; OPENAI_API_KEY is its key
    #[arg(long, value_name = "URL", help_heading = "Agent")]
    pub(crate) openai_base_url: Option<String>,

    /// The model that the agent openai asks for in chats that do not name one
    #[arg(long, value_name = "NAME", help_heading = "Agent")]
    pub(crate) model: Option<String>,

    /// Use a DynamoDB that runs already, such as http://localhost:8042, instead of starting one
    #[arg(long, value_name = "URL", conflicts_with_all = ["in_memory", "reset"], help_heading = "Data")]
    pub(crate) dynamodb_endpoint: Option<String>,

    /// Keep nothing: data lives in memory and ends with the stack
    #[arg(long, conflicts_with = "reset", help_heading = "Data")]
    pub(crate) in_memory: bool,

    /// Delete the data of earlier runs first
    #[arg(long, help_heading = "Data")]
    pub(crate) reset: bool,

    /// Do not rebuild on changes: run the built functions, and start again one that dies
    #[arg(long, help_heading = "Functions")]
    pub(crate) no_reload: bool,

    /// With --no-reload: run so many processes of each function, as Lambda does when requests come at the same time
    #[arg(long, value_name = "NUMBER", default_value_t = 1, requires = "no_reload", help_heading = "Functions",
          value_parser = clap::value_parser!(u8).range(1..=16))]
    pub(crate) processes: u8,

    /// Build with optimisations
    #[arg(long, help_heading = "Functions")]
    pub(crate) release: bool,

    /// A parameter of the template, instead of its default; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = parameter, help_heading = "Functions")]
    pub(crate) parameter: Vec<(String, String)>,

    /// The SAM template; the workspace is the folder that it lies in [default: the nearest one upwards]
    #[arg(long, value_name = "PATH", help_heading = "Functions")]
    pub(crate) template: Option<PathBuf>,

    /// One JSON object a line on stdout; what people read goes to stderr
    #[arg(long, help_heading = "For programs")]
    pub(crate) json: bool,

    /// Where the functions find @connections, such as a proxy in front of this stack's [default: at the API's own port]
    #[arg(long, value_name = "URL", help_heading = "For programs")]
    pub(crate) management_endpoint: Option<String>,

    /// Stop when stdin is closed
    #[arg(long, help_heading = "For programs")]
    pub(crate) stop_on_stdin_eof: bool,
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
    fn a_parameter_is_split_at_its_first_equals_sign() {
        assert_eq!(parameter("A=b=c"), Ok(("A".to_owned(), "b=c".to_owned())));
        assert!(parameter("A").is_err());
        assert!(parameter("=b").is_err());
    }
}
