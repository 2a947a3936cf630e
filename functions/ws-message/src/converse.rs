//! `message`: the user says something, and an agent answers.

use shared::{
    agents::Conversation,
    domain::{
        error::{ApiError, Code},
        id::ClientMessageId,
        time::Timestamp,
    },
    generation,
    storage::{AppendResult, Connection, ConnectionGrant, Exchange, NewMessage},
    websocket::{Body, Content, SocketEvent},
};
use tokio::try_join;

use crate::{
    context::{CONTEXT_MESSAGES, turns},
    handler::{App, NewGeneration},
};

/// Stores what the user says; the answer is streamed after this function has answered. The agent is asked meanwhile: if
/// the message turns out to be stored already, or not to be, its answer is dropped before anyone has heard of it.
pub(crate) async fn converse(
    app: &App,
    event: &SocketEvent,
    connection: Connection,
    content: Content,
    client_id: Option<ClientMessageId>,
) -> Result<(), ApiError> {
    let now = Timestamp::now();
    let ConnectionGrant { tenant_id, chat_id, .. } = &connection.grant;
    let gone = || ApiError::chat_not_found(chat_id.as_str());
    let read = async { Ok(app.chats.conversation(tenant_id, chat_id, CONTEXT_MESSAGES, now).await?) };
    let (chat, ()) = try_join!(read, app.recheck(&connection.grant))?;
    let mut chat = chat.ok_or_else(gone)?;
    let ended = app.chats.take_over_all(tenant_id, chat_id, &mut chat, now).await?;
    app.tell_ends(ended, &connection.grant, event);

    let agent = app.agent(chat.config.agent);
    let model = agent.model(&chat.config);
    let turns = turns(chat.recent, Some(content.as_str()), &chat.config, app.context_tokens);
    let mut answer = agent.respond(Conversation { turns, config: chat.config });
    if !chat.seen.is_busy() {
        answer = generation::prefetch(answer);
    }
    let new = NewMessage { content: content.as_str(), client_id: client_id.as_ref(), model: &model };
    // The answer's lease begins when it is taken.
    let exchange = match app.chats.append(tenant_id, chat_id, chat.seen, new, Timestamp::now()).await? {
        AppendResult::Stored(exchange) => *exchange,
        AppendResult::Duplicate(message) => {
            app.post(&event.connection_id, Some(chat_id), Body::received(&message), &event.request_id).await;
            return Ok(());
        }
        AppendResult::NoChat => return Err(gone()),
        AppendResult::Busy => return Err(too_many_answers()),
    };
    let Exchange { message, generation } = exchange;
    let beginning = NewGeneration { connection, message: Some(message), generation, model, received_at: now };
    app.stream(answer, beginning, event);
    Ok(())
}

fn too_many_answers() -> ApiError {
    ApiError::new(
        Code::GenerationInProgress,
        "Four answers are being streamed in this chat.",
        "Wait for one to end, then send the message again.",
    )
}
