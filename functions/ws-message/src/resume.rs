//! `resume`: sends a socket what it missed of a generation, and what is still to come.

use std::sync::Arc;

use shared::{
    domain::{
        connection::{Connection, ConnectionGrant},
        error::ApiError,
        message::Status,
    },
    generation::JoinAt,
    runtime::{after_response, telemetry},
    storage::ResumeCommand,
    websocket::{MessageReference, Offset, SocketEvent},
};

use crate::{
    app::App,
    stream_command::{CommandResult, StreamCommand},
};

pub(crate) async fn resume(
    app: &Arc<App>,
    event: &SocketEvent,
    connection: Connection,
    name: &MessageReference,
    Offset(offset): Offset,
) -> Result<(), ApiError> {
    let id = name.id()?;
    let ConnectionGrant { tenant_id, chat_id, .. } = &connection.grant;
    let resume = ResumeCommand::new(connection.connection_id.clone(), offset);
    let is_running = app.generations.request_resume(tenant_id, chat_id, &id, &resume).await?;
    let command = StreamCommand { app: app.clone(), id, connection, request_id: event.request_id.clone() };
    if is_running {
        after_response::spawn(telemetry::background_task(
            "resume",
            async move { wait_for_owner(&command, &resume).await },
        ));
        return Ok(());
    }
    let (lease, finished) = command.begin_replay_of_ended().await?;
    after_response::spawn(telemetry::background_task("replay", async move {
        command.replay(lease, finished, JoinAt::Offset(offset)).await
    }));
    Ok(())
}

/// Waits until the owner has acknowledged the command. If the generation has ended instead, replays it here.
async fn wait_for_owner(command: &StreamCommand, resume: &ResumeCommand) {
    let start = JoinAt::Offset(resume.offset);
    match command.wait(Status::Interrupted, |running| !running.is_pending(resume)).await {
        CommandResult::Acknowledged => {}
        CommandResult::AlreadyEnded => match command.begin_replay_of_ended().await {
            Ok((lease, finished)) => command.replay(lease, finished, start).await,
            Err(error) => command.report(&error).await,
        },
        CommandResult::TakenOver(finished, running) => {
            let replay = async {
                match command.begin_replay().await {
                    Ok(lease) => command.replay(lease, (*finished).clone(), start).await,
                    Err(error) => command.report(&error).await,
                }
            };
            tokio::join!(command.announce_end((*finished).clone(), running), replay);
        }
    }
}
