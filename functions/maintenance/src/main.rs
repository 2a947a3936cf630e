//! On a schedule: finishes interrupted work, and deletes what is past its retention.

mod handler;

use lambda_runtime::Error;
use shared::schedule;

#[tokio::main]
async fn main() -> Result<(), Error> {
    schedule::run(env!("CARGO_CRATE_NAME"), handler::App::from_config, handler::handle).await
}
