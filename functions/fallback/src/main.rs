//! `$default`: responds to requests that match no route.

mod handler;

use lambda_http::Error;
use shared::rest;

#[tokio::main]
async fn main() -> Result<(), Error> {
    rest::run_public(env!("CARGO_CRATE_NAME"), handler::handle).await
}
