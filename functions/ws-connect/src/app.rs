//! What `$connect` works with.

use lambda_runtime::Error;
use shared::{
    auth::Authenticator,
    domain::limits::InstallationLimits,
    runtime::{bootstrap::Clients, config::WsConnectConfig},
    storage::{
        ChatRepository, ConnectionRepository, GenerationRepository, TenantRepository, TicketRepository, UserRepository,
    },
    websocket::{Publisher, connection_slots::ConnectionSlots},
};

#[derive(Clone, Debug)]
pub(crate) struct App {
    pub(crate) authenticator: Authenticator,
    pub(crate) limits: InstallationLimits,
    pub(crate) slots: ConnectionSlots,
    pub(crate) chats: ChatRepository,
    pub(crate) generations: GenerationRepository,
    pub(crate) users: UserRepository,
    pub(crate) connections: ConnectionRepository,
    pub(crate) tickets: TicketRepository,
    pub(crate) publisher: Publisher,
}

impl App {
    pub(crate) async fn from_config(config: WsConnectConfig, clients: Clients) -> Result<Self, Error> {
        let tenants = TenantRepository::new(clients.dynamodb(), config.tenants_table);
        let connections = ConnectionRepository::new(clients.dynamodb(), config.connections_table.clone());
        let publisher = Publisher::new(clients.management_api(config.management_endpoint));
        Ok(Self {
            authenticator: Authenticator::new(tenants),
            limits: config.limits,
            slots: ConnectionSlots::new(connections.clone(), publisher.clone()),
            chats: ChatRepository::new(clients.dynamodb(), config.chats_table.clone()),
            generations: GenerationRepository::new(clients.dynamodb(), config.chats_table.clone()),
            users: UserRepository::new(clients.dynamodb(), config.chats_table),
            tickets: TicketRepository::new(clients.dynamodb(), config.connections_table),
            connections,
            publisher,
        })
    }
}
