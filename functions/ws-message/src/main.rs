//! `message` and `$default`: hears what a socket says.

mod attend;
mod context;
mod converse;
mod handler;
mod regenerate;

use std::sync::Arc;

use lambda_runtime::Error;
use shared::{
    agents::{Bedrock, Echo, OpenAi},
    auth::Authenticator,
    generation::ChatConnections,
    runtime::{aws, config::Config, telemetry},
    storage::{ChatRepository, ConnectionRepository, GenerationRepository, MessageRepository, TenantRepository},
    websocket::{self, Publisher},
};

use crate::handler::App;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let config = Config::from_env();
    telemetry::init(&config, env!("CARGO_CRATE_NAME"));
    let sdk = aws::sdk_config().await;
    let dynamodb = aws::dynamodb(&sdk);
    let tenants = TenantRepository::new(dynamodb.clone(), config.tenants_table()?);
    let connections = ConnectionRepository::new(dynamodb.clone(), config.connections_table()?);
    let publisher = Publisher::new(aws::management_api(&sdk, config.management_endpoint()?));
    let mut openai = config.openai()?;
    if let Some(name) = config.openai_secret_name() {
        openai.key = Some(aws::secret(&sdk, name).await?);
    }
    let app = Arc::new(App {
        authenticator: Authenticator::new(tenants),
        chats: ChatRepository::new(dynamodb.clone(), config.chats_table()?),
        messages: MessageRepository::new(dynamodb.clone(), config.chats_table()?),
        generations: GenerationRepository::new(dynamodb, config.chats_table()?),
        sockets: ChatConnections { connections, publisher },
        echo: Echo::new(config.echo_pace()?),
        openai: OpenAi::new(openai),
        bedrock: Bedrock::new(aws::bedrock(&sdk), config.bedrock_model()?),
        default_agent: config.default_agent()?,
        context_tokens: config.context_tokens()?,
    });
    websocket::serve(&config, move |event| handler::handle(app.clone(), event)).await
}
