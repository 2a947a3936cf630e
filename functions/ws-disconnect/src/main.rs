//! `$disconnect`: removes a connection.

mod handler;

use lambda_runtime::Error;
use shared::websocket;

#[tokio::main]
async fn main() -> Result<(), Error> {
    websocket::run(env!("CARGO_CRATE_NAME"), handler::App::from_config, handler::handle).await
}
