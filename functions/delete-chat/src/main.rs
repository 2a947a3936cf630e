//! `DELETE /api/v1/chats/{chat_id}`: deletes a chat.

mod handler;

use lambda_http::Error;
use shared::rest::{self, RestFunction};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let function = RestFunction::new(env!("CARGO_CRATE_NAME"), handler::App::from_config);
    function.run_with_read(rest::chat_id, handler::owner, handler::handle).await
}
