//! Every function and the variables that it reads.

use super::{
    create_chat::CreateChatConfig, create_ticket::CreateTicketConfig, delete_chat::DeleteChatConfig,
    fallback::FallbackConfig, function::FunctionConfig, get_chat::GetChatConfig, get_usage::GetUsageConfig,
    list_messages::ListMessagesConfig, list_user_chats::ListUserChatsConfig, maintenance::MaintenanceConfig,
    update_chat::UpdateChatConfig, variables::Variable, ws_connect::WsConnectConfig, ws_disconnect::WsDisconnectConfig,
    ws_message::WsMessageConfig,
};

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
pub const FUNCTIONS: [FunctionVariables; 13] = [
    of::<CreateChatConfig>(),
    of::<CreateTicketConfig>(),
    of::<DeleteChatConfig>(),
    of::<FallbackConfig>(),
    of::<GetChatConfig>(),
    of::<GetUsageConfig>(),
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
    use super::{super::environment::Environment, *};

    #[test]
    fn error_names_every_missing_variable() {
        let error = CreateTicketConfig::from_environment(Environment::default()).err().expect("nothing is set");
        let names: Vec<&str> = error.problems().iter().map(|problem| problem.variable().name).collect();
        assert_eq!(names, ["TENANTS_TABLE", "CHATS_TABLE", "CONNECTIONS_TABLE", "WEBSOCKET_URL"]);
    }

    #[test]
    fn error_names_missing_and_invalid_variables_together() {
        let environment = Environment::from_iter([
            ("CHATS_TABLE", "chats"),
            ("DEFAULT_AGENT", "no-agent"),
            ("CONFIGURED_AGENTS", "echo"),
            ("MAX_TOKENS", "4096"),
        ]);
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
                ("CONFIGURED_AGENTS", "echo"),
                ("MAX_TOKENS", "4096"),
                ("CONNECTS_PER_MINUTE", "300"),
                ("CONNECTIONS_PER_CHAT", "10"),
            ])
        };
        assert!(CreateChatConfig::from_environment(complete()).is_ok());
        assert!(CreateTicketConfig::from_environment(complete()).is_ok());
        assert!(DeleteChatConfig::from_environment(complete()).is_ok());
        assert!(FallbackConfig::from_environment(Environment::default()).is_ok());
        assert!(GetChatConfig::from_environment(complete()).is_ok());
        assert!(GetUsageConfig::from_environment(complete()).is_ok());
        assert!(ListMessagesConfig::from_environment(complete()).is_ok());
        assert!(ListUserChatsConfig::from_environment(complete()).is_ok());
        assert!(MaintenanceConfig::from_environment(complete()).is_ok());
        assert!(UpdateChatConfig::from_environment(complete()).is_ok());
        assert!(WsConnectConfig::from_environment(complete()).is_ok());
        assert!(WsDisconnectConfig::from_environment(complete()).is_ok());
    }
}
