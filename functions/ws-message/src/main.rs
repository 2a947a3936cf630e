//! `message` and `$default`: handles the frames of a socket.

mod app;
mod cancel;
mod dispatch;
mod ping;
mod regenerate;
mod reservation;
mod resume;
mod send_message;
mod stream_command;

#[tokio::main]
async fn main() -> Result<(), lambda_runtime::Error> {
    shared::websocket::run(env!("CARGO_CRATE_NAME"), app::App::from_config, dispatch::handle).await
}
