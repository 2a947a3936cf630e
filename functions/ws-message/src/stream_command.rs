//! What `cancel` and `resume` share: commands about a generation that another invocation owns.
//!
//! Only the owner posts to sockets about its generation, so a command is written into the chat's state, which the owner
//! polls at least once a second. The sender waits until the command is carried out: the owner may be gone, and then the
//! sender takes over once the lease has expired.

use std::{sync::Arc, time::Duration};

use shared::{
    domain::{
        connection::{Connection, ConnectionGrant},
        error::ApiError,
        generation::FinishedGeneration,
        id::MessageId,
        limits,
        message::Status,
        time::Timestamp,
    },
    generation::{self, JoinAt, TakeoverResult},
    runtime::{retry::Backoff, telemetry},
    storage::{ReplayLease, RunningGeneration, StorageError},
    websocket::{Body, ErrorReport},
};
use tokio::time::timeout;

use crate::app::App;

/// How often the sender of a command reads whether it was carried out.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// The pauses before a socket's replay is refused because it has another one. A client that has just received the end
/// of one replay may ask for the next before the first process has noted it. 350 ms in all: each of ten frames a second
/// may hold a process for as long.
const TURN_BACKOFF: Backoff = Backoff::exact(Duration::from_millis(50), Duration::from_millis(200));
const TURN_RETRIES: u32 = 3;

/// How long a replay lasts at most. With the read of the answer and the wait of a `cancel` it is less than the lease.
const REPLAY_TIME: Duration = Duration::from_secs(15);

/// A command about one generation.
pub(crate) struct StreamCommand {
    pub(crate) app: Arc<App>,
    /// The assistant message.
    pub(crate) id: MessageId,
    /// The connection that sent the command.
    pub(crate) connection: Connection,
    pub(crate) request_id: String,
}

/// What became of a command.
pub(crate) enum CommandResult {
    /// The owner has carried it out.
    Acknowledged,
    /// The generation had ended before.
    AlreadyEnded,
    /// The owner is gone, and the generation was ended here. Its record comes to the one invocation that removed it.
    TakenOver(Box<FinishedGeneration>, Option<RunningGeneration>),
}

impl StreamCommand {
    /// Waits until the owner has carried out the command, or takes over and ends the generation as `status`. A failed
    /// read is repeated.
    pub(crate) async fn wait(
        &self,
        status: Status,
        is_acknowledged: impl Fn(&RunningGeneration) -> bool,
    ) -> CommandResult {
        loop {
            tokio::time::sleep(POLL_INTERVAL).await;
            match self.poll(status, &is_acknowledged).await {
                Ok(Some(result)) => return result,
                Ok(None) => {}
                Err(error) => telemetry::log_attempt(&error.into(), &self.request_id),
            }
        }
    }

    async fn poll(
        &self,
        status: Status,
        is_acknowledged: impl Fn(&RunningGeneration) -> bool,
    ) -> Result<Option<CommandResult>, StorageError> {
        let ConnectionGrant { tenant_id, chat_id, .. } = &self.connection.grant;
        let generations = &self.app.generations;
        let Some(running) = generations.find_running(tenant_id, chat_id, &self.id).await? else {
            return Ok(Some(CommandResult::AlreadyEnded));
        };
        if is_acknowledged(&running) {
            return Ok(Some(CommandResult::Acknowledged));
        }
        let now = Timestamp::now();
        if !running.may_have_expired(now) {
            return Ok(None);
        }
        Ok(match generation::take_over(generations, (tenant_id, chat_id), &self.id, status, now).await? {
            TakeoverResult::StillOwned => None,
            TakeoverResult::Ended { generation, record } => Some(CommandResult::TakenOver(generation, record)),
            TakeoverResult::Unknown => Some(CommandResult::AlreadyEnded),
        })
    }

    /// Announces a generation that was ended here to the chat's sockets, except those that wait for commands of their
    /// own: their senders replay it.
    pub(crate) async fn announce_end(&self, finished: FinishedGeneration, running: Option<RunningGeneration>) {
        let Some(running) = running else { return };
        let Self { app, connection, request_id, .. } = self;
        let ConnectionGrant { tenant_id, chat_id, .. } = &connection.grant;
        generation::announce_end(&app.sockets, (tenant_id, chat_id), finished, &running.pending_resumes(), request_id)
            .await;
    }

    /// Begins a replay to the command's socket. Many at once would each hold a process and read a whole answer.
    ///
    /// # Errors
    ///
    /// `RATE_LIMIT_EXCEEDED` while the socket has another one.
    pub(crate) async fn begin_replay(&self) -> Result<ReplayLease, ApiError> {
        let Self { app, connection, id, .. } = self;
        for retry in 0.. {
            let begun = app.sockets.connections.begin_replay(&connection.connection_id, Timestamp::now()).await?;
            if let Some(lease) = begun {
                return Ok(lease);
            }
            if retry == TURN_RETRIES {
                break;
            }
            TURN_BACKOFF.wait(retry).await;
        }
        Err(limits::replay_in_progress().with_detail("message_id", id.as_str()))
    }

    /// Begins a replay, and reads its generation, which is not running.
    ///
    /// # Errors
    ///
    /// `RATE_LIMIT_EXCEEDED` while the socket has another replay; `CHAT_NOT_FOUND`, `MESSAGE_NOT_FOUND`.
    pub(crate) async fn begin_replay_of_ended(&self) -> Result<(ReplayLease, FinishedGeneration), ApiError> {
        let lease = self.begin_replay().await?;
        match self.finished_generation().await {
            Ok(finished) => Ok((lease, finished)),
            Err(error) => {
                self.end_replay(&lease).await;
                Err(error)
            }
        }
    }

    async fn end_replay(&self, lease: &ReplayLease) {
        let Self { app, connection, request_id, .. } = self;
        if let Err(error) = app.sockets.connections.end_replay(&connection.connection_id, lease).await {
            telemetry::log_attempt(&error.into(), request_id);
        }
    }

    /// The generation, which is not running.
    ///
    /// # Errors
    ///
    /// `CHAT_NOT_FOUND`, `MESSAGE_NOT_FOUND`.
    async fn finished_generation(&self) -> Result<FinishedGeneration, ApiError> {
        let ConnectionGrant { tenant_id, chat_id, .. } = &self.connection.grant;
        let chats = &self.app.chats;
        let finished = self.app.generations.find(tenant_id, chat_id, &self.id, Timestamp::now());
        let reads = Box::pin(async { tokio::try_join!(chats.owner_of(tenant_id, chat_id), finished) });
        let (owner, finished) = reads.await?;
        owner.ok_or_else(|| ApiError::chat_not_found(chat_id.as_str()))?;
        finished.ok_or_else(|| ApiError::message_not_found(self.id.as_str()))
    }

    /// Sends a generation that has ended to the command's socket, then ends the replay. A client that reads too slowly
    /// asks for the rest.
    pub(crate) async fn replay(&self, lease: ReplayLease, finished: FinishedGeneration, start: JoinAt) {
        let replay = generation::replay(&self.app.sockets, self.connection.clone(), finished, start, &self.request_id);
        if timeout(REPLAY_TIME, replay).await.is_err() {
            tracing::warn!(request_id = self.request_id, "replay took too long");
        }
        self.end_replay(&lease).await;
    }

    /// Posts the error of a command that cannot be carried out.
    pub(crate) async fn report(&self, error: &ApiError) {
        telemetry::log_cause(error, &self.request_id);
        let report = Body::Error(ErrorReport::new(error, &self.request_id, None));
        let ConnectionGrant { chat_id, .. } = &self.connection.grant;
        self.app.post(&self.connection.connection_id, Some(chat_id), report, &self.request_id).await;
    }
}
