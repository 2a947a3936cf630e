//! The configuration of `list-user-chats`.

use super::{
    environment::Environment,
    function::{FunctionConfig, RestConfig},
    variables::{CHATS_TABLE, TENANTS_TABLE},
};

/// The configuration of `list-user-chats`.
pub struct ListUserChatsConfig {
    /// The tenants table.
    pub tenants_table: String,
    /// The chats table.
    pub chats_table: String,
}

impl FunctionConfig for ListUserChatsConfig {
    const FUNCTION: &'static str = "list-user-chats";

    fn read(environment: &mut Environment) -> Option<Self> {
        let tenants_table = environment.text(&TENANTS_TABLE);
        let chats_table = environment.text(&CHATS_TABLE);
        Some(Self { tenants_table: tenants_table?, chats_table: chats_table? })
    }
}

impl RestConfig for ListUserChatsConfig {
    fn tenants_table(&self) -> &str {
        &self.tenants_table
    }
}
