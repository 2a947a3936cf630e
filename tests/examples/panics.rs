//! A function whose handler panics after it has started work, for the test of what becomes of that work.

use std::{error::Error, time::Duration};

use shared::{
    domain::{error::ApiError, id::ChatId, time::Timestamp},
    runtime::{
        after_response,
        bootstrap::Clients,
        config::{Environment, FunctionConfig, variables::MANAGEMENT_ENDPOINT},
    },
    websocket::{self, Body, Event, Publisher, SocketEvent},
};

struct Config {
    management_endpoint: String,
}

impl FunctionConfig for Config {
    const FUNCTION: &'static str = "panics";

    fn read(environment: &mut Environment) -> Option<Self> {
        Some(Self { management_endpoint: environment.text(&MANAGEMENT_ENDPOINT)? })
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    websocket::run(env!("CARGO_CRATE_NAME"), publisher, handle).await
}

async fn publisher(config: Config, clients: Clients) -> Result<Publisher, Box<dyn Error + Send + Sync>> {
    Ok(Publisher::new(clients.management_api(config.management_endpoint)))
}

async fn handle(publisher: Publisher, event: SocketEvent) -> Result<(), ApiError> {
    after_response::spawn(async move {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let chat_id = ChatId::generate();
        let pong = Event { body: Body::Pong, chat_id: Some(&chat_id), timestamp: Timestamp::now() };
        publisher.post(&event.connection_id, &pong).await.expect("the test accepts the post");
    });
    panic!("as the test expects");
}
