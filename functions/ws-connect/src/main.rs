//! `$connect`: lets a socket in.

mod handler;

use lambda_runtime::Error;
use shared::{
    auth::Authenticator,
    runtime::{aws, config::Config, deadline::within_deadline, telemetry},
    storage::{
        ChatRepository, ConnectionRepository, GenerationRepository, TenantRepository, TicketRepository, UserRepository,
    },
    websocket::{self, Publisher, connection_slots::ConnectionSlots},
};

use crate::handler::App;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let config = Config::from_env();
    telemetry::init(&config, env!("CARGO_CRATE_NAME"));
    let sdk = aws::sdk_config().await;
    let dynamodb = aws::dynamodb(&sdk);
    let tenants = TenantRepository::new(dynamodb.clone(), config.tenants_table()?);
    let connections = ConnectionRepository::new(dynamodb.clone(), config.connections_table()?);
    let publisher = Publisher::new(aws::management_api(&sdk, config.management_endpoint()?));
    let app = App {
        authenticator: Authenticator::new(tenants),
        slots: ConnectionSlots::new(connections.clone(), publisher.clone()),
        chats: ChatRepository::new(dynamodb.clone(), config.chats_table()?),
        generations: GenerationRepository::new(dynamodb.clone(), config.chats_table()?),
        users: UserRepository::new(dynamodb.clone(), config.chats_table()?),
        tickets: TicketRepository::new(dynamodb, config.connections_table()?),
        connections,
        publisher,
    };
    websocket::serve(&config, move |event| within_deadline(handler::handle(app.clone(), event))).await
}
