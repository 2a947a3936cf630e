//! The configuration of `maintenance`.

use super::{
    environment::Environment,
    function::FunctionConfig,
    variables::{CHATS_TABLE, CONNECTIONS_TABLE, MANAGEMENT_ENDPOINT, TENANTS_TABLE},
};

/// The configuration of `maintenance`.
pub struct MaintenanceConfig {
    /// The tenants table.
    pub tenants_table: String,
    /// The chats table.
    pub chats_table: String,
    /// The connections table.
    pub connections_table: String,
    /// The address of the management API.
    pub management_endpoint: String,
}

impl FunctionConfig for MaintenanceConfig {
    const FUNCTION: &'static str = "maintenance";

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
