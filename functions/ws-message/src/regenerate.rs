//! `regenerate`: generates another answer in the place of the chat's last one. The old one stays until the new one is
//! complete.

use shared::{
    agents::Conversation,
    domain::{
        connection::{Connection, ConnectionGrant},
        error::{ApiError, Code},
        generation::GenerationRequest,
        id::MessageId,
        message::{Message, Status},
        time::Timestamp,
        tokens::most_tokens_of,
    },
    generation::{self, context_window, input_tokens},
    storage::RegenerateResult,
    websocket::{MAX_EVENT_BYTES, MessageReference, SocketEvent},
};
use tokio::join;

use crate::app::{App, NewGeneration};

pub(crate) async fn regenerate(
    app: &App,
    event: &SocketEvent,
    connection: Connection,
    name: &MessageReference,
) -> Result<(), ApiError> {
    let received_at = Timestamp::now();
    let id = name.id()?;
    let ConnectionGrant { tenant_id, chat_id, .. } = &connection.grant;
    let not_found = || ApiError::chat_not_found(chat_id.as_str());
    let worst_case = app.worst_case_tokens(most_tokens_of(MAX_EVENT_BYTES));
    // Both are awaited, so that the reservation is settled if the read fails.
    let read = app.conversation(&connection.grant, None, received_at);
    let reads = Box::pin(async { join!(read, app.reserve(&connection.grant, worst_case, event)) });
    let (chat, reserved) = reads.await;
    let mut chat = chat?.ok_or_else(not_found)?;
    let ended = generation::take_over_expired(&app.generations, (tenant_id, chat_id), &mut chat, received_at).await?;
    app.announce_takeovers(ended, &connection.grant, event);

    let Some(old) = last_if(&chat.recent, &id) else {
        // A tenant that has reached a limit does not get another read. Its quota may have been enough for this chat.
        if let Err(error) = reserved
            && error.code() != Code::QuotaExceeded
        {
            return Err(error);
        }
        let exists = app.generations.find(tenant_id, chat_id, &id, received_at).await?.is_some();
        return Err(if exists { not_the_last(&id) } else { ApiError::message_not_found(id.as_str()) });
    };
    if old.status == Status::Streaming {
        return Err(still_streaming());
    }
    // The key was rechecked for this frame, so this costs no round trip.
    let tenant_models = app.recheck(&connection.grant).await?;
    let (agent, config) = app.agent(chat.config, &tenant_models)?;
    let model = agent.model(&config);
    let turns = context_window(before(chat.recent, &old), None, &config, app.context_tokens);
    let input_tokens = input_tokens(&turns, &config);
    let exact = app.exact_tokens(input_tokens, &config);
    let reserved = app.retry_with_fewer(reserved, &connection.grant, exact, event).await?;
    let request = GenerationRequest { model: &model, input_tokens, reservation: Some(reserved.reservation()) };
    let started = app.generations.regenerate(tenant_id, chat_id, &old, request, Timestamp::now()).await?;
    let generation = match started {
        RegenerateResult::Started(generation) => *generation,
        RegenerateResult::Busy => return Err(still_streaming()),
        RegenerateResult::NoChat => return Err(not_found()),
    };
    let deltas = agent.respond(Conversation { turns, config });
    reserved.hand_over();
    app.start(
        deltas,
        NewGeneration { connection, message: None, generation, generations_in_chat: 1, received_at },
        event,
    );
    Ok(())
}

/// The chat's last message, if it is the one with this id.
fn last_if(recent: &[Message], id: &MessageId) -> Option<Message> {
    recent.last().filter(|last| last.message_id == *id).cloned()
}

fn before(recent: Vec<Message>, message: &Message) -> Vec<Message> {
    recent.into_iter().filter(|earlier| earlier.seq < message.seq).collect()
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

#[cfg(test)]
mod tests {
    use shared::domain::{id::ChatId, message::Role};

    use super::*;

    fn message(seq: u32) -> Message {
        Message {
            message_id: MessageId::at(seq),
            chat_id: ChatId::generate(),
            role: if seq.is_multiple_of(2) { Role::User } else { Role::Assistant },
            content: seq.to_string(),
            status: Status::Complete,
            seq,
            created_at: Timestamp::from_millis(0),
            completed_at: None,
            in_reply_to: None,
            client_message_id: None,
            finish_reason: None,
            usage: None,
        }
    }

    #[test]
    fn only_the_last_message_is_replaced() {
        let recent = [message(0), message(1), message(2), message(3)];
        assert_eq!(last_if(&recent, &recent[3].message_id).map(|last| last.seq), Some(3));
        assert!(last_if(&recent, &recent[1].message_id).is_none());
        assert!(last_if(&[], &recent[1].message_id).is_none());
    }

    #[test]
    fn agent_is_given_what_came_before_the_replaced_message() {
        let recent = vec![message(0), message(1), message(2), message(3)];
        let old = recent[3].clone();
        assert_eq!(before(recent, &old).iter().map(|message| message.seq).collect::<Vec<_>>(), [0, 1, 2]);
    }
}
