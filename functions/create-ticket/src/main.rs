//! `POST /api/v1/chats/{chat_id}/tickets`: makes a pass for one connection.

mod handler;

use lambda_http::Error;
use shared::{
    auth::Authenticator,
    domain::limits::RateLimitBucket,
    rest,
    runtime::{aws, config::Config, telemetry},
    storage::{ChatRepository, TenantRepository, TicketRepository},
};

use crate::handler::App;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let config = Config::from_env();
    telemetry::init(&config, env!("CARGO_CRATE_NAME"));
    let dynamodb = aws::dynamodb(&aws::sdk_config().await);
    let authenticator = Authenticator::new(TenantRepository::new(dynamodb.clone(), config.tenants_table()?));
    let app = App {
        chats: ChatRepository::new(dynamodb.clone(), config.chats_table()?),
        tickets: TicketRepository::new(dynamodb, config.connections_table()?),
        websocket_url: config.websocket_url()?,
    };
    let reader = app.clone();
    rest::serve_reading(
        &config,
        authenticator,
        RateLimitBucket::Tickets,
        move |tenant, request| handler::owner(reader.clone(), tenant, rest::chat_id(request)),
        move |tenant, request, owner| handler::handle(app.clone(), tenant, request, owner),
    )
    .await
}
