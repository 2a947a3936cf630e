//! `regenerate`: a new answer in the place of the chat's last one, which stays until the new one has ended well.

use shared::{
    agents::Conversation,
    domain::{
        error::{ApiError, Code},
        id::MessageId,
        message::{Message, Status},
        time::Timestamp,
    },
    storage::{Connection, ConnectionGrant, RegenerateResult},
    websocket::{MessageReference, SocketEvent},
};

use crate::{
    context::{CONTEXT_MESSAGES, turns},
    handler::{App, NewGeneration},
};

pub(crate) async fn regenerate(
    app: &App,
    event: &SocketEvent,
    connection: Connection,
    name: &MessageReference,
) -> Result<(), ApiError> {
    let now = Timestamp::now();
    let ConnectionGrant { tenant_id, chat_id, .. } = &connection.grant;
    let gone = || ApiError::chat_not_found(chat_id.as_str());
    let read = app.chats.conversation(tenant_id, chat_id, CONTEXT_MESSAGES, now).await?;
    let mut chat = read.ok_or_else(gone)?;
    let ended = app.chats.take_over_all(tenant_id, chat_id, &mut chat, now).await?;
    app.tell_ends(ended, &connection.grant, event);

    let wanted = name.id()?;
    let old: Message = match chat.recent.last() {
        Some(last) if last.message_id == wanted => last.clone(),
        _ => {
            let exists = app.chats.answer(tenant_id, chat_id, &wanted, now).await?.is_some();
            return Err(if exists { not_the_last(&wanted) } else { ApiError::message_not_found(wanted.as_str()) });
        }
    };
    if old.status == Status::Streaming {
        return Err(still_streaming());
    }
    let agent = app.agent(chat.config.agent);
    let model = agent.model(&chat.config);
    let generation = match app.chats.regenerate(tenant_id, chat_id, &old, &model, Timestamp::now()).await? {
        RegenerateResult::Draft(generation) => *generation,
        RegenerateResult::Busy => return Err(still_streaming()),
        RegenerateResult::NoChat => return Err(gone()),
    };
    let before = chat.recent.into_iter().filter(|message| message.seq < old.seq).collect();
    let turns = turns(before, None, &chat.config, app.context_tokens);
    let answer = agent.respond(Conversation { turns, config: chat.config });
    app.stream(answer, NewGeneration { connection, message: None, generation, model, received_at: now }, event);
    Ok(())
}

fn still_streaming() -> ApiError {
    ApiError::new(
        Code::GenerationInProgress,
        "An answer is being streamed in this chat.",
        "Wait for its message_stream_ended, or cancel it, then ask again.",
    )
}

fn not_the_last(id: &MessageId) -> ApiError {
    ApiError::invalid_parameter("message_id", &id.as_str().into(), "the id of the chat's last answer")
}
