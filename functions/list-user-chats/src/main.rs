//! `GET /api/v1/chats/user/{user_id}`: lists the chats of a user.

mod handler;

use lambda_http::Error;
use shared::{
    auth::Authenticator,
    domain::limits::RateLimitBucket,
    rest,
    runtime::{aws, config::Config, telemetry},
    storage::{ChatRepository, TenantRepository, UserRepository},
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
        users: UserRepository::new(dynamodb, config.chats_table()?),
    };
    let reader = app.clone();
    rest::serve_reading(
        &config,
        authenticator,
        RateLimitBucket::Rest,
        move |tenant, request| handler::total(reader.clone(), tenant, rest::path_parameter(request, "user_id")),
        move |tenant, request, total| handler::handle(app.clone(), tenant, request, total),
    )
    .await
}
