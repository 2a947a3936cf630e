//! `GET /api/v1/chats/user/{user_id}`: lists the chats of a user.

mod handler;

use lambda_http::Error;
use shared::rest::{self, RestFunction};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let function = RestFunction::new(env!("CARGO_CRATE_NAME"), handler::App::from_config);
    function.run_with_read(rest::user_id, handler::total, handler::handle).await
}
