//! What `$connect` works with.

use lambda_runtime::Error;
use shared::{
    auth::Authenticator,
    runtime::{bootstrap::Clients, config::WsConnectConfig},
    storage::{Chats, Connections, Tenants},
    websocket::{Publisher, connection_slots::ConnectionSlots},
};

#[derive(Clone, Debug)]
pub(crate) struct App {
    pub(crate) authenticator: Authenticator,
    pub(crate) slots: ConnectionSlots,
    pub(crate) chats: Chats,
    pub(crate) connections: Connections,
    pub(crate) publisher: Publisher,
}

impl App {
    pub(crate) async fn from_config(config: WsConnectConfig, clients: Clients) -> Result<Self, Error> {
        let tenants = Tenants::new(clients.dynamodb(), config.tenants_table);
        let connections = Connections::new(clients.dynamodb(), config.connections_table);
        let publisher = Publisher::new(clients.management_api(config.management_endpoint));
        Ok(Self {
            authenticator: Authenticator::new(tenants),
            slots: ConnectionSlots::new(connections.clone(), publisher.clone()),
            chats: Chats::new(clients.dynamodb(), config.chats_table),
            connections,
            publisher,
        })
    }
}
