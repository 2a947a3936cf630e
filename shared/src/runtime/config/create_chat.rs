//! The configuration of `create-chat`.

use super::{
    environment::Environment,
    function::{FunctionConfig, RestConfig},
    variables::{CHATS_TABLE, DEFAULT_AGENT, TENANTS_TABLE},
};
use crate::domain::agent_name::AgentName;

/// The configuration of `create-chat`.
pub struct CreateChatConfig {
    /// The tenants table.
    pub tenants_table: String,
    /// The chats table.
    pub chats_table: String,
    /// The agent of chats that name none.
    pub default_agent: AgentName,
}

impl FunctionConfig for CreateChatConfig {
    const FUNCTION: &'static str = "create-chat";

    fn read(environment: &mut Environment) -> Option<Self> {
        let tenants_table = environment.text(&TENANTS_TABLE);
        let chats_table = environment.text(&CHATS_TABLE);
        let default_agent = environment.required(&DEFAULT_AGENT, AgentName::parse);
        Some(Self { tenants_table: tenants_table?, chats_table: chats_table?, default_agent: default_agent? })
    }
}

impl RestConfig for CreateChatConfig {
    fn tenants_table(&self) -> &str {
        &self.tenants_table
    }
}
