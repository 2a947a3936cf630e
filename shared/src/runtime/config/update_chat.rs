//! The configuration of `update-chat`.

use super::{
    allowed_models,
    environment::Environment,
    function::{FunctionConfig, RestConfig},
    variables::{CHATS_TABLE, TENANTS_TABLE},
};
use crate::domain::allowed_models::AllowedModels;

/// The configuration of `update-chat`.
pub struct UpdateChatConfig {
    /// The tenants table.
    pub tenants_table: String,
    /// The chats table.
    pub chats_table: String,
    /// What chats may use.
    pub allowed: AllowedModels,
}

impl FunctionConfig for UpdateChatConfig {
    const FUNCTION: &'static str = "update-chat";

    fn read(environment: &mut Environment) -> Option<Self> {
        let tenants_table = environment.text(&TENANTS_TABLE);
        let chats_table = environment.text(&CHATS_TABLE);
        let allowed = allowed_models::read(environment);
        Some(Self { tenants_table: tenants_table?, chats_table: chats_table?, allowed: allowed? })
    }
}

impl RestConfig for UpdateChatConfig {
    fn tenants_table(&self) -> &str {
        &self.tenants_table
    }
}
