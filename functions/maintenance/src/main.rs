//! On a schedule: finishes what was left half done, and deletes what nobody wants to keep.

mod handler;

use lambda_runtime::Error;
use shared::{
    generation::ChatConnections,
    maintenance::Maintenance,
    runtime::{aws, config::Config, telemetry},
    schedule,
    storage::{ChatRepository, ConnectionRepository, GenerationRepository, TenantRepository},
    websocket::Publisher,
};

use crate::handler::App;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let config = Config::from_env();
    telemetry::init(&config, env!("CARGO_CRATE_NAME"));
    let sdk = aws::sdk_config().await;
    let dynamodb = aws::dynamodb(&sdk);
    let house = Maintenance {
        tenants: TenantRepository::new(dynamodb.clone(), config.tenants_table()?),
        chats: ChatRepository::new(dynamodb.clone(), config.chats_table()?),
        generations: GenerationRepository::new(dynamodb.clone(), config.chats_table()?),
        sockets: ChatConnections {
            connections: ConnectionRepository::new(dynamodb, config.connections_table()?),
            publisher: Publisher::new(aws::management_api(&sdk, config.management_endpoint()?)),
        },
    };
    let app = App { house };
    schedule::serve(move |occasion| handler::handle(app.clone(), occasion)).await
}
