//! `message` and `$default`: hears what a socket says.

mod attend;
mod context;
mod converse;
mod handler;
mod regenerate;

use std::sync::Arc;

use lambda_runtime::Error;
use shared::{
    agent::{Bedrock, Echo, OpenAi},
    answer::Sockets,
    auth::Doorkeeper,
    aws,
    config::Config,
    store::{Chats, Connections, Tenants},
    telemetry,
    ws::{self, Publisher},
};

use crate::handler::App;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let config = Config::from_env();
    telemetry::init(&config, env!("CARGO_CRATE_NAME"));
    let sdk = aws::sdk_config().await;
    let dynamodb = aws::dynamodb(&sdk);
    let tenants = Tenants::new(dynamodb.clone(), config.tenants_table()?);
    let connections = Connections::new(dynamodb.clone(), config.connections_table()?);
    let publisher = Publisher::new(aws::management_api(&sdk, config.management_endpoint()?));
    let mut openai = config.openai()?;
    if let Some(name) = config.openai_secret_name() {
        openai.key = Some(aws::secret(&sdk, name).await?);
    }
    let app = Arc::new(App {
        doorkeeper: Doorkeeper::new(tenants),
        chats: Chats::new(dynamodb, config.chats_table()?),
        sockets: Sockets { connections, publisher },
        echo: Echo::new(config.echo_pace()?),
        openai: OpenAi::new(openai),
        bedrock: Bedrock::new(aws::bedrock(&sdk), config.bedrock_model()?),
        default_agent: config.default_agent()?,
        context_tokens: config.context_tokens()?,
    });
    ws::serve(&config, move |event| handler::handle(app.clone(), event)).await
}
