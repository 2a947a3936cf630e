//! `DELETE /api/v1/chats/{chat_id}`: deletes a chat.

mod handler;

use lambda_http::Error;
use shared::{
    auth::Authenticator,
    domain::limits::RateLimitBucket,
    rest,
    runtime::{aws, config::Config, telemetry},
    storage::{ChatRepository, ConnectionRepository, TenantRepository},
    websocket::Publisher,
};

use crate::handler::App;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let config = Config::from_env();
    telemetry::init(&config, env!("CARGO_CRATE_NAME"));
    let sdk = aws::sdk_config().await;
    let dynamodb = aws::dynamodb(&sdk);
    let authenticator = Authenticator::new(TenantRepository::new(dynamodb.clone(), config.tenants_table()?));
    let app = App {
        chats: ChatRepository::new(dynamodb.clone(), config.chats_table()?),
        connections: ConnectionRepository::new(dynamodb, config.connections_table()?),
        publisher: Publisher::new(aws::management_api(&sdk, config.management_endpoint()?)),
    };
    let reader = app.clone();
    rest::serve_reading(
        &config,
        authenticator,
        RateLimitBucket::Rest,
        move |tenant, request| handler::owner(reader.clone(), tenant, rest::chat_id(request)),
        move |tenant, request, owner| handler::handle(app.clone(), tenant, request, owner),
    )
    .await
}
