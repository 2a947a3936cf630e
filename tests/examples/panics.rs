//! A function that panics after it has spawned work, for a test in resilience/after_response.rs.

use std::{error::Error, time::Duration};

use shared::{
    domain::{error::ApiError, id::ChatId, time::Timestamp},
    runtime::{after_response, aws, config::Config},
    websocket::{self, Body, Event, Publisher, SocketEvent},
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let config = Config::from_env();
    let publisher = Publisher::new(aws::management_api(&aws::sdk_config().await, config.management_endpoint()?));
    websocket::serve(&config, move |event| handle(publisher.clone(), event)).await
}

async fn handle(publisher: Publisher, event: SocketEvent) -> Result<(), ApiError> {
    after_response::spawn(async move {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let chat_id = ChatId::generate();
        let pong = Event { body: Body::Pong, chat_id: Some(&chat_id), timestamp: Timestamp::now() };
        publisher.post(&event.connection_id, &pong).await.expect("the test accepts the post");
    });
    panic!("for the test");
}
