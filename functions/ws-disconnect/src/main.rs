//! `$disconnect`: forgets a socket.

mod handler;

use lambda_runtime::Error;
use shared::{aws, budget::in_time, config::Config, store::Connections, telemetry, ws};

use crate::handler::App;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let config = Config::from_env();
    telemetry::init(&config, env!("CARGO_CRATE_NAME"));
    let dynamodb = aws::dynamodb(&aws::sdk_config().await);
    let app = App { connections: Connections::new(dynamodb, config.connections_table()?) };
    ws::serve(&config, move |event| in_time(handler::handle(app.clone(), event))).await
}
