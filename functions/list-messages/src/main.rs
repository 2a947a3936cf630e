//! `GET /api/v1/chats/{chat_id}/messages`: lists the messages of a chat.

mod handler;

use lambda_http::Error;
use shared::rest::RestFunction;

#[tokio::main]
async fn main() -> Result<(), Error> {
    RestFunction::new(env!("CARGO_CRATE_NAME"), handler::App::from_config).run(handler::handle).await
}
