//! `message`: stores a message of the user, and generates the agent's answer.

use shared::{
    agents::Conversation,
    domain::{
        connection::{Connection, ConnectionGrant},
        error::{ApiError, Code},
        generation::GenerationRequest,
        id::ClientMessageId,
        time::Timestamp,
        tokens::estimated_tokens,
    },
    generation::{self, context_window, input_tokens},
    storage::{AppendResult, Exchange, NewMessage},
    websocket::{Body, Content, SocketEvent},
};
use tokio::join;

use crate::app::{App, NewGeneration};

/// Stores the message; the generation runs after the response. The agent is asked while the message is stored. If that
/// fails, or the message is a duplicate that the chat's newest messages do not show, the agent's text is dropped before
/// any of it is posted, and the tenant's budget is charged for the request.
pub(crate) async fn send_message(
    app: &App,
    event: &SocketEvent,
    connection: Connection,
    content: Content,
    client_id: Option<ClientMessageId>,
) -> Result<(), ApiError> {
    let received_at = Timestamp::now();
    let ConnectionGrant { tenant_id, chat_id, .. } = &connection.grant;
    let not_found = || ApiError::chat_not_found(chat_id.as_str());
    let read =
        async { Ok::<_, ApiError>(app.conversation(&connection.grant, Some(content.as_str()), received_at).await?) };
    let worst_case = app.worst_case_tokens(estimated_tokens(content.as_str()));
    // All three are awaited, so that a reservation is settled if another one fails.
    let reads = Box::pin(async {
        join!(read, app.recheck(&connection.grant), app.reserve(&connection.grant, worst_case, event))
    });
    let (chat, access, reserved) = reads.await;
    let tenant_models = access?;
    let mut chat = chat?.ok_or_else(not_found)?;
    let ended = generation::take_over_expired(&app.generations, (tenant_id, chat_id), &mut chat, received_at).await?;
    app.announce_takeovers(ended, &connection.grant, event);
    // A repeated message is acknowledged also if the tenant has reached a limit meanwhile.
    if let Some(stored) = client_id.as_ref().and_then(|id| chat.find_client_id(id, received_at)) {
        app.post(
            &event.connection_id,
            Some(chat_id),
            Body::received_again(stored, chat.answer_of(stored)),
            &event.request_id,
        )
        .await;
        return Ok(());
    }

    let (agent, config) = app.agent(chat.config, &tenant_models)?;
    let model = agent.model(&config);
    let turns = context_window(chat.recent, Some(content.as_str()), &config, app.context_tokens);
    let input_tokens = input_tokens(&turns, &config);
    let exact = app.exact_tokens(input_tokens, &config);
    let mut reserved = app.retry_with_fewer(reserved, &connection.grant, exact, event).await?;
    let mut deltas = agent.respond(Conversation { turns, config });
    if !chat.position.is_busy() {
        deltas = generation::prefetch(deltas);
        reserved.note_request(input_tokens);
    }
    let generations_in_chat = chat.position.running_count() + 1;
    let request = GenerationRequest { model: &model, input_tokens, reservation: Some(reserved.reservation()) };
    let new = NewMessage { content: content.as_str(), client_id: client_id.as_ref(), generation: request };
    // The lease starts at this time, not when the frame arrived.
    let Exchange { message, generation } =
        match app.messages.append(tenant_id, chat_id, chat.position, new, Timestamp::now()).await? {
            AppendResult::Stored(exchange) => *exchange,
            AppendResult::Duplicate { message, answer } => {
                // The model stops before a slow client delays this function.
                drop(deltas);
                let received = Body::received_again(&message, answer.as_ref());
                app.post(&event.connection_id, Some(chat_id), received, &event.request_id).await;
                return Ok(());
            }
            AppendResult::NoChat => return Err(not_found()),
            AppendResult::Busy => return Err(too_many_generations()),
        };
    reserved.hand_over();
    app.start(
        deltas,
        NewGeneration { connection, message: Some(message), generation, generations_in_chat, received_at },
        event,
    );
    Ok(())
}

fn too_many_generations() -> ApiError {
    ApiError::new(
        Code::GenerationInProgress,
        "Four answers are being streamed in this chat.",
        "Wait for one to end, then send the message again.",
    )
}
