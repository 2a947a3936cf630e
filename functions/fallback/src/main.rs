//! `$default`: answers requests that no route takes.

mod handler;

use lambda_http::Error;
use shared::{config::Config, http, telemetry};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let config = Config::from_env();
    telemetry::init(&config);
    http::serve(&config, handler::handle).await
}
