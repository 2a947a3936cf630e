//! The configuration of `ws-disconnect`.

use super::{environment::Environment, function::FunctionConfig, variables::CONNECTIONS_TABLE};

/// The configuration of `ws-disconnect`.
pub struct WsDisconnectConfig {
    /// The connections table.
    pub connections_table: String,
}

impl FunctionConfig for WsDisconnectConfig {
    const FUNCTION: &'static str = "ws-disconnect";

    fn read(environment: &mut Environment) -> Option<Self> {
        let connections_table = environment.text(&CONNECTIONS_TABLE);
        Some(Self { connections_table: connections_table? })
    }
}
