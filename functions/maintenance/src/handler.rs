//! The handler of the schedule.

use shared::{
    domain::{error::ApiError, time::Timestamp},
    generation::ChatConnections,
    maintenance::Maintenance,
    runtime::{bootstrap::Clients, config::MaintenanceConfig},
    schedule::ScheduledRun,
    storage::{ChatRepository, ConnectionRepository, GenerationRepository, TenantRepository},
    websocket::Publisher,
};

#[derive(Clone, Debug)]
pub(crate) struct App {
    maintenance: Maintenance,
}

impl App {
    pub(crate) fn from_config(config: MaintenanceConfig, clients: &Clients) -> Self {
        let maintenance = Maintenance {
            tenants: TenantRepository::new(clients.dynamodb(), config.tenants_table),
            chats: ChatRepository::new(clients.dynamodb(), config.chats_table.clone()),
            generations: GenerationRepository::new(clients.dynamodb(), config.chats_table),
            sockets: ChatConnections {
                connections: ConnectionRepository::new(clients.dynamodb(), config.connections_table),
                publisher: Publisher::new(clients.management_api(config.management_endpoint)),
            },
        };
        Self { maintenance }
    }
}

/// Runs all sweeps and logs the report. Fails when the maintenance queue cannot be read; a single item that fails is
/// logged, counted, and retried by a later run.
pub(crate) async fn handle(app: App, run: ScheduledRun) -> Result<(), ApiError> {
    let ScheduledRun { request_id, until } = run;
    let (report, result) = app.maintenance.run(Timestamp::now(), until, &request_id).await;
    report.log(&request_id);
    Ok(result?)
}
