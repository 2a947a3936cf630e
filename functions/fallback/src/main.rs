//! `$default`: answers requests that no route takes.

mod handler;

use lambda_http::Error;
use shared::{
    rest,
    runtime::{config::Config, telemetry},
};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let config = Config::from_env();
    telemetry::init(&config, env!("CARGO_CRATE_NAME"));
    rest::serve_anybody(&config, handler::handle).await
}
