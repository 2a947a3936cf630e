//! `POST /api/v1/chats/{chat_id}/tickets`: creates a ticket, which opens one connection.

mod handler;

use lambda_http::Error;
use shared::{
    domain::limits::RateLimitBucket,
    rest::{self, RestFunction},
};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let function = RestFunction::new(env!("CARGO_CRATE_NAME"), handler::App::from_config);
    function.counted_in(RateLimitBucket::Tickets).run_with_read(rest::chat_id, handler::owner, handler::handle).await
}
