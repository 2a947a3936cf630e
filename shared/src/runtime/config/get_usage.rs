//! The configuration of `get-usage`.

use super::{
    environment::Environment,
    function::{FunctionConfig, RestConfig},
    variables::{CHATS_TABLE, TENANTS_TABLE},
};

/// The configuration of `get-usage`.
pub struct GetUsageConfig {
    /// The tenants table.
    pub tenants_table: String,
    /// The chats table.
    pub chats_table: String,
}

impl FunctionConfig for GetUsageConfig {
    const FUNCTION: &'static str = "get-usage";

    fn read(environment: &mut Environment) -> Option<Self> {
        let tenants_table = environment.text(&TENANTS_TABLE);
        let chats_table = environment.text(&CHATS_TABLE);
        Some(Self { tenants_table: tenants_table?, chats_table: chats_table? })
    }
}

impl RestConfig for GetUsageConfig {
    fn tenants_table(&self) -> &str {
        &self.tenants_table
    }
}
