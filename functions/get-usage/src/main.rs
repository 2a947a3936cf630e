//! `GET /api/v1/usage`: returns what a tenant has used.

mod handler;

use lambda_http::Error;
use shared::rest::RestFunction;

#[tokio::main]
async fn main() -> Result<(), Error> {
    RestFunction::new(env!("CARGO_CRATE_NAME"), handler::App::from_config).run(handler::handle).await
}
