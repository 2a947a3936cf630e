//! Creates a chat on the local stack, and prints an answer while it streams.
#![expect(clippy::print_stdout, reason = "it is an example")]

use std::{
    env::args,
    io::{Write, stdout},
};

use chat_api_client::{Chat, ChatApi, ChatError, NewChat, Source};

#[tokio::main]
async fn main() -> Result<(), ChatError> {
    let url = args().nth(1).unwrap_or_else(|| "http://localhost:8000".to_owned());
    let api = ChatApi::new(&url, "your-tenant-api-key")?;
    let chat_id = api.create_chat(&NewChat::of_user("alice")).await?.chat_id;

    // A connection that is lost is replaced, with another ticket.
    let chat = Chat::connect(Source::tickets(move || {
        let (api, chat_id) = (api.clone(), chat_id.clone());
        async move { Ok::<_, ChatError>(api.create_ticket(&chat_id).await?.url) }
    }));
    let mut answer = chat.send("Hello, are you there?");
    while let Some(part) = answer.next().await? {
        print!("{part}");
        let _ = stdout().flush();
    }
    println!();
    Ok(())
}
