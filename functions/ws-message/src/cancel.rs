//! `cancel`: ends a running generation. If the generation has ended, sends its end again.

use std::{sync::Arc, time::Duration};

use shared::{
    domain::{
        connection::{Connection, ConnectionGrant},
        error::ApiError,
        generation::FinishedGeneration,
        message::Status,
        time::Timestamp,
    },
    generation::JoinAt,
    runtime::{after_response, telemetry},
    websocket::{MessageReference, SocketEvent},
};

use crate::{
    app::App,
    stream_command::{CommandResult, StreamCommand},
};

/// How long the owner of a generation has to send its end to the sockets itself.
const OWNER_ANNOUNCES: Duration = Duration::from_secs(2);

pub(crate) async fn cancel(
    app: &Arc<App>,
    event: &SocketEvent,
    connection: Connection,
    name: &MessageReference,
) -> Result<(), ApiError> {
    let id = name.id()?;
    let ConnectionGrant { tenant_id, chat_id, .. } = &connection.grant;
    let is_running = app.generations.request_cancel(tenant_id, chat_id, &id, &connection.connection_id).await?;
    let command = StreamCommand { app: app.clone(), id, connection, request_id: event.request_id.clone() };
    if is_running {
        after_response::spawn(telemetry::background_task("cancel", async move { wait_for_owner(&command).await }));
        return Ok(());
    }
    let (lease, finished) = command.begin_replay_of_ended().await?;
    after_response::spawn(telemetry::background_task("replay", async move {
        tokio::time::sleep(until_announced(&finished, Timestamp::now())).await;
        command.replay(lease, finished, JoinAt::End).await;
    }));
    Ok(())
}

/// Waits until the generation has ended, which its owner announces; announces the end if the owner is gone.
async fn wait_for_owner(command: &StreamCommand) {
    if let CommandResult::TakenOver(finished, running) = command.wait(Status::Cancelled, |_| false).await {
        command.announce_end(*finished, running).await;
    }
}

/// The time until the owner has announced the end: a replay before that would overtake it.
fn until_announced(finished: &FinishedGeneration, now: Timestamp) -> Duration {
    let announced_at = finished.message.completed_at.map(|ended| ended.plus(OWNER_ANNOUNCES));
    Duration::from_millis(announced_at.map_or(0, |announced_at| announced_at.millis_since(now)))
}

#[cfg(test)]
mod tests {
    use shared::domain::{
        id::{ChatId, MessageId},
        message::{Message, Role},
    };

    use super::*;

    fn finished(completed_at: Option<Timestamp>) -> FinishedGeneration {
        let message = Message {
            message_id: MessageId::at(1),
            chat_id: ChatId::generate(),
            role: Role::Assistant,
            content: String::new(),
            status: Status::Complete,
            seq: 1,
            created_at: Timestamp::from_millis(0),
            completed_at,
            in_reply_to: None,
            client_message_id: None,
            finish_reason: None,
            usage: None,
        };
        FinishedGeneration { message, replaces: None, model: "echo".to_owned(), first_token_ms: None }
    }

    #[test]
    fn owner_has_two_seconds_to_announce_the_end() {
        let ended = Timestamp::from_millis(10_000);
        let wait = |now| until_announced(&finished(Some(ended)), Timestamp::from_millis(now));
        assert_eq!(wait(10_000), OWNER_ANNOUNCES);
        assert_eq!(wait(11_500), Duration::from_millis(500));
        assert_eq!(wait(60_000), Duration::ZERO);
    }

    #[test]
    fn unknown_end_is_not_waited_for() {
        assert_eq!(until_announced(&finished(None), Timestamp::from_millis(0)), Duration::ZERO);
    }
}
