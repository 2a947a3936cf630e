//! `GET /api/v1/chats/{chat_id}/messages`: lists the messages of a chat.

mod handler;

use lambda_http::Error;
use shared::{
    auth::Authenticator,
    domain::limits::RateLimitBucket,
    rest,
    runtime::{aws, config::Config, telemetry},
    storage::{MessageRepository, TenantRepository},
};

use crate::handler::App;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let config = Config::from_env();
    telemetry::init(&config, env!("CARGO_CRATE_NAME"));
    let dynamodb = aws::dynamodb(&aws::sdk_config().await);
    let authenticator = Authenticator::new(TenantRepository::new(dynamodb.clone(), config.tenants_table()?));
    let app = App { messages: MessageRepository::new(dynamodb, config.chats_table()?) };
    rest::serve(&config, authenticator, RateLimitBucket::Rest, move |tenant, request| {
        handler::handle(app.clone(), tenant, request)
    })
    .await
}
