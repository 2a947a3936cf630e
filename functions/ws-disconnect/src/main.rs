//! `$disconnect`: forgets a socket.

mod handler;

use lambda_runtime::Error;
use shared::{
    runtime::{aws, config::Config, deadline::within_deadline, telemetry},
    storage::ConnectionRepository,
    websocket,
};

use crate::handler::App;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let config = Config::from_env();
    telemetry::init(&config, env!("CARGO_CRATE_NAME"));
    let dynamodb = aws::dynamodb(&aws::sdk_config().await);
    let app = App { connections: ConnectionRepository::new(dynamodb, config.connections_table()?) };
    websocket::serve(&config, move |event| within_deadline(handler::handle(app.clone(), event))).await
}
