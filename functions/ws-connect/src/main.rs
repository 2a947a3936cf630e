//! `$connect`: lets a socket in.

mod handler;

use lambda_runtime::Error;
use shared::{
    auth::Doorkeeper,
    aws,
    config::Config,
    store::{Chats, Connections, Tenants},
    telemetry,
    ws::{self, Publisher},
};

use crate::handler::App;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let config = Config::from_env();
    telemetry::init(&config);
    let sdk = aws::sdk_config().await;
    let dynamodb = aws::dynamodb(&sdk);
    let app = App {
        doorkeeper: Doorkeeper::new(Tenants::new(dynamodb.clone(), config.tenants_table()?)),
        chats: Chats::new(dynamodb.clone(), config.chats_table()?),
        connections: Connections::new(dynamodb, config.connections_table()?),
        publisher: Publisher::new(aws::management_api(&sdk, config.management_endpoint()?)),
    };
    ws::serve(&config, move |event| handler::handle(app.clone(), event)).await
}
