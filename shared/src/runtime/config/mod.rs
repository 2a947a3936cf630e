//! The configuration of each function: one struct per function, read from the environment once, before it runs.
//!
//! Names and values come from `template.yaml`. The variables of a function are data too ([`FUNCTIONS`]), so that a test
//! compares them with the template. A value may be a key: no type here prints one.

mod create_chat;
mod create_ticket;
mod delete_chat;
mod environment;
mod error;
mod fallback;
mod get_chat;
mod list_messages;
mod list_user_chats;
mod maintenance;
mod runtime;
mod update_chat;
pub mod variables;
mod ws_connect;
mod ws_disconnect;
mod ws_message;

pub use create_chat::CreateChatConfig;
pub use create_ticket::CreateTicketConfig;
pub use delete_chat::DeleteChatConfig;
pub use environment::Environment;
pub use error::{ConfigError, Problem};
pub use fallback::FallbackConfig;
pub use get_chat::GetChatConfig;
pub use list_messages::ListMessagesConfig;
pub use list_user_chats::ListUserChatsConfig;
pub use maintenance::MaintenanceConfig;
pub use runtime::RuntimeConfig;
pub use update_chat::UpdateChatConfig;
pub use ws_connect::WsConnectConfig;
pub use ws_disconnect::WsDisconnectConfig;
pub use ws_message::{OpenAiConfig, WsMessageConfig};

use variables::Variable;

/// The configuration of one function.
pub trait FunctionConfig: Sized {
    /// The function's name in `template.yaml`, which is its crate's.
    const FUNCTION: &'static str;

    /// Reads every variable, then builds the configuration if all of them are fine. A missing or invalid variable must
    /// not end the reading: the error names all of them, and [`variables`](Self::variables) lists what was read.
    fn read(environment: &mut Environment) -> Option<Self>;

    /// Reads the environment of this process.
    ///
    /// # Errors
    ///
    /// Every variable that is missing or invalid.
    fn from_env() -> Result<Self, ConfigError> {
        Self::from_environment(Environment::of_process())
    }

    /// Reads a given environment.
    ///
    /// # Errors
    ///
    /// Every variable that is missing or invalid.
    fn from_environment(mut environment: Environment) -> Result<Self, ConfigError> {
        let config = Self::read(&mut environment);
        environment.finish(config)
    }

    /// The variables that the function reads, beside those of every function ([`RuntimeConfig::variables`]).
    #[must_use]
    fn variables() -> Vec<&'static Variable> {
        let mut environment = Environment::default();
        let _ = Self::read(&mut environment);
        environment.into_variables()
    }
}

/// The configuration of a function that serves tenants over REST, each of which is found in the tenants table.
pub trait RestConfig: FunctionConfig {
    /// The name of the tenants table.
    fn tenants_table(&self) -> &str;
}

/// A function and the variables that it reads.
#[derive(Clone, Copy, Debug)]
pub struct FunctionVariables {
    /// The function's name.
    pub function: &'static str,
    /// The variables, beside those of every function.
    pub variables: fn() -> Vec<&'static Variable>,
}

const fn of<C: FunctionConfig>() -> FunctionVariables {
    FunctionVariables { function: C::FUNCTION, variables: C::variables }
}

/// Every function of the template.
pub const FUNCTIONS: [FunctionVariables; 12] = [
    of::<CreateChatConfig>(),
    of::<CreateTicketConfig>(),
    of::<DeleteChatConfig>(),
    of::<FallbackConfig>(),
    of::<GetChatConfig>(),
    of::<ListMessagesConfig>(),
    of::<ListUserChatsConfig>(),
    of::<MaintenanceConfig>(),
    of::<UpdateChatConfig>(),
    of::<WsConnectConfig>(),
    of::<WsDisconnectConfig>(),
    of::<WsMessageConfig>(),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_names_every_missing_variable() {
        let error = CreateTicketConfig::from_environment(Environment::default()).err().expect("nothing is set");
        let names: Vec<&str> = error.problems().iter().map(|problem| problem.variable().name).collect();
        assert_eq!(names, ["TENANTS_TABLE", "CHATS_TABLE", "CONNECTIONS_TABLE", "WEBSOCKET_URL"]);
    }

    #[test]
    fn error_names_missing_and_invalid_variables_together() {
        let environment = Environment::from_iter([("CHATS_TABLE", "chats"), ("DEFAULT_AGENT", "no-agent")]);
        let error = CreateChatConfig::from_environment(environment).err().expect("two variables are wrong");
        assert_eq!(
            error.to_string(),
            "failed to read the environment: TENANTS_TABLE is not set (template.yaml sets it to the name of the tenants \
             table); DEFAULT_AGENT is not the name of an agent"
        );
    }

    #[test]
    fn every_function_is_listed_once() {
        let names: std::collections::BTreeSet<&str> = FUNCTIONS.iter().map(|listed| listed.function).collect();
        assert_eq!(names.len(), FUNCTIONS.len());
    }

    #[test]
    fn complete_environment_is_read_by_every_function_with_tables() {
        let complete = || {
            Environment::from_iter([
                ("TENANTS_TABLE", "tenants"),
                ("CHATS_TABLE", "chats"),
                ("CONNECTIONS_TABLE", "connections"),
                ("MANAGEMENT_ENDPOINT", "https://api.example.com/live"),
                ("WEBSOCKET_URL", "wss://ws.example.com"),
                ("DEFAULT_AGENT", "echo"),
            ])
        };
        assert!(CreateChatConfig::from_environment(complete()).is_ok());
        assert!(CreateTicketConfig::from_environment(complete()).is_ok());
        assert!(DeleteChatConfig::from_environment(complete()).is_ok());
        assert!(FallbackConfig::from_environment(Environment::default()).is_ok());
        assert!(GetChatConfig::from_environment(complete()).is_ok());
        assert!(ListMessagesConfig::from_environment(complete()).is_ok());
        assert!(ListUserChatsConfig::from_environment(complete()).is_ok());
        assert!(MaintenanceConfig::from_environment(complete()).is_ok());
        assert!(UpdateChatConfig::from_environment(complete()).is_ok());
        assert!(WsConnectConfig::from_environment(complete()).is_ok());
        assert!(WsDisconnectConfig::from_environment(complete()).is_ok());
    }
}
