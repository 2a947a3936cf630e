//! The configuration of `delete-chat`.

use super::{
    environment::Environment,
    function::{FunctionConfig, RestConfig},
    variables::{CHATS_TABLE, CONNECTIONS_TABLE, MANAGEMENT_ENDPOINT, TENANTS_TABLE},
};

/// The configuration of `delete-chat`.
pub struct DeleteChatConfig {
    /// The tenants table.
    pub tenants_table: String,
    /// The chats table.
    pub chats_table: String,
    /// The connections table.
    pub connections_table: String,
    /// The address of the management API.
    pub management_endpoint: String,
}

impl FunctionConfig for DeleteChatConfig {
    const FUNCTION: &'static str = "delete-chat";

    fn read(environment: &mut Environment) -> Option<Self> {
        let tenants_table = environment.text(&TENANTS_TABLE);
        let chats_table = environment.text(&CHATS_TABLE);
        let connections_table = environment.text(&CONNECTIONS_TABLE);
        let management_endpoint = environment.text(&MANAGEMENT_ENDPOINT);
        Some(Self {
            tenants_table: tenants_table?,
            chats_table: chats_table?,
            connections_table: connections_table?,
            management_endpoint: management_endpoint?,
        })
    }
}

impl RestConfig for DeleteChatConfig {
    fn tenants_table(&self) -> &str {
        &self.tenants_table
    }
}
