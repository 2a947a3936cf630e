//! `$connect`: opens a connection, or refuses the handshake.

mod app;
mod grant;
mod greeting;
mod handler;
mod query;

use lambda_runtime::Error;
use shared::websocket;

#[tokio::main]
async fn main() -> Result<(), Error> {
    websocket::run(env!("CARGO_CRATE_NAME"), app::App::from_config, handler::handle).await
}
