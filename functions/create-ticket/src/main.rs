//! `POST /api/v1/chats/{chat_id}/tickets`: makes a pass for one connection.

mod handler;

use lambda_http::Error;
use shared::{
    auth::Doorkeeper,
    aws,
    config::Config,
    http,
    limits::Meter,
    store::{Chats, Connections, Tenants},
    telemetry,
};

use crate::handler::App;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let config = Config::from_env();
    telemetry::init(&config, env!("CARGO_CRATE_NAME"));
    let dynamodb = aws::dynamodb(&aws::sdk_config().await);
    let doorkeeper = Doorkeeper::new(Tenants::new(dynamodb.clone(), config.tenants_table()?));
    let app = App {
        chats: Chats::new(dynamodb.clone(), config.chats_table()?),
        connections: Connections::new(dynamodb, config.connections_table()?),
        websocket_url: config.websocket_url()?,
    };
    let reader = app.clone();
    http::serve_reading(
        &config,
        doorkeeper,
        Meter::Tickets,
        move |tenant, request| handler::owner(reader.clone(), tenant, http::chat_id(request)),
        move |tenant, request, owner| handler::handle(app.clone(), tenant, request, owner),
    )
    .await
}
