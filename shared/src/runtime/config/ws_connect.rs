//! The configuration of `ws-connect`.

use super::{
    environment::Environment,
    function::FunctionConfig,
    variables::{
        CHATS_TABLE, CONNECTIONS_PER_CHAT, CONNECTIONS_TABLE, CONNECTS_PER_MINUTE, MANAGEMENT_ENDPOINT, TENANTS_TABLE,
    },
};
use crate::domain::limits::InstallationLimits;

/// The configuration of `ws-connect`.
pub struct WsConnectConfig {
    /// The tenants table.
    pub tenants_table: String,
    /// The chats table.
    pub chats_table: String,
    /// The connections table.
    pub connections_table: String,
    /// The address of the management API.
    pub management_endpoint: String,
    /// The limits of connections of a tenant without its own.
    pub limits: InstallationLimits,
}

impl FunctionConfig for WsConnectConfig {
    const FUNCTION: &'static str = "ws-connect";

    fn read(environment: &mut Environment) -> Option<Self> {
        let tenants_table = environment.text(&TENANTS_TABLE);
        let chats_table = environment.text(&CHATS_TABLE);
        let connections_table = environment.text(&CONNECTIONS_TABLE);
        let management_endpoint = environment.text(&MANAGEMENT_ENDPOINT);
        let connects_per_minute = environment.required(&CONNECTS_PER_MINUTE, |text| text.parse().ok());
        let connections_per_chat = environment.required(&CONNECTIONS_PER_CHAT, |text| text.parse().ok());
        Some(Self {
            tenants_table: tenants_table?,
            chats_table: chats_table?,
            connections_table: connections_table?,
            management_endpoint: management_endpoint?,
            limits: InstallationLimits {
                connects_per_minute: connects_per_minute?,
                connections_per_chat: connections_per_chat?,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_whole_numbers() {
        let read = |connects: &'static str, of_chat: &'static str| {
            let variables = [
                ("TENANTS_TABLE", "tenants"),
                ("CHATS_TABLE", "chats"),
                ("CONNECTIONS_TABLE", "connections"),
                ("MANAGEMENT_ENDPOINT", "https://api.example.com/live"),
                ("CONNECTS_PER_MINUTE", connects),
                ("CONNECTIONS_PER_CHAT", of_chat),
            ];
            WsConnectConfig::from_environment(variables.into_iter().collect()).map(|config| config.limits).ok()
        };
        let limits = InstallationLimits { connects_per_minute: 300, connections_per_chat: 10 };
        assert_eq!(read("300", "10"), Some(limits));
        assert_eq!((read("-1", "10"), read("300", "many")), (None, None));
    }
}
