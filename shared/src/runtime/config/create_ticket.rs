//! The configuration of `create-ticket`.

use super::{
    environment::Environment,
    function::{FunctionConfig, RestConfig},
    variables::{CHATS_TABLE, CONNECTIONS_TABLE, TENANTS_TABLE, WEBSOCKET_URL},
};

/// The configuration of `create-ticket`.
pub struct CreateTicketConfig {
    /// The tenants table.
    pub tenants_table: String,
    /// The chats table.
    pub chats_table: String,
    /// The connections table.
    pub connections_table: String,
    /// Where clients open WebSockets, without a query.
    pub websocket_url: String,
}

impl FunctionConfig for CreateTicketConfig {
    const FUNCTION: &'static str = "create-ticket";

    fn read(environment: &mut Environment) -> Option<Self> {
        let tenants_table = environment.text(&TENANTS_TABLE);
        let chats_table = environment.text(&CHATS_TABLE);
        let connections_table = environment.text(&CONNECTIONS_TABLE);
        let websocket_url = environment.text(&WEBSOCKET_URL);
        Some(Self {
            tenants_table: tenants_table?,
            chats_table: chats_table?,
            connections_table: connections_table?,
            websocket_url: websocket_url?,
        })
    }
}

impl RestConfig for CreateTicketConfig {
    fn tenants_table(&self) -> &str {
        &self.tenants_table
    }
}
