//! `message` and `$default`: hears what a socket says.

mod handler;

use std::sync::Arc;

use lambda_runtime::Error;
use shared::{
    agent::Echo,
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
    telemetry::init(&config, env!("CARGO_CRATE_NAME"));
    let sdk = aws::sdk_config().await;
    let dynamodb = aws::dynamodb(&sdk);
    let app = Arc::new(App {
        doorkeeper: Doorkeeper::new(Tenants::new(dynamodb.clone(), config.tenants_table()?)),
        chats: Chats::new(dynamodb.clone(), config.chats_table()?),
        connections: Connections::new(dynamodb, config.connections_table()?),
        publisher: Publisher::new(aws::management_api(&sdk, config.management_endpoint()?)),
        echo: Echo::new(config.echo_pace()?),
        default_agent: config.default_agent()?,
    });
    ws::serve(&config, move |event| handler::handle(app.clone(), event)).await
}
