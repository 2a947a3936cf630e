//! `GET /api/v1/chats/user/{user_id}`: lists the chats of a user.

mod handler;

use lambda_http::Error;
use shared::{
    auth::Doorkeeper,
    aws,
    config::Config,
    http,
    limits::Meter,
    store::{Chats, Tenants},
    telemetry,
};

use crate::handler::App;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let config = Config::from_env();
    telemetry::init(&config, env!("CARGO_CRATE_NAME"));
    let dynamodb = aws::dynamodb(&aws::sdk_config().await);
    let doorkeeper = Doorkeeper::new(Tenants::new(dynamodb.clone(), config.tenants_table()?));
    let app = App { chats: Chats::new(dynamodb, config.chats_table()?) };
    let reader = app.clone();
    http::serve_reading(
        &config,
        doorkeeper,
        Meter::Rest,
        move |tenant, request| handler::total(reader.clone(), tenant, http::path_parameter(request, "user_id")),
        move |tenant, request, total| handler::handle(app.clone(), tenant, request, total),
    )
    .await
}
