//! `cancel` and `resume`: wishes about an answer that another invocation streams.
//!
//! Only the streamer posts to sockets about its answer, so the wish is left in the chat's state, where the streamer looks
//! at least once a second. Whoever left it stays until it is seen to: the streamer may be gone, and then its lease
//! lapses and the wish is seen to here.

use std::{sync::Arc, time::Duration};

use shared::{
    domain::{error::ApiError, id::MessageId, message::Status, time::Timestamp},
    generation::{self, JoinAt},
    runtime::{after_response, telemetry},
    storage::{
        Connection, ConnectionGrant, FinishedGeneration, ResumeCommand, RunningGeneration, StorageError, Takeover,
    },
    websocket::{Body, ErrorReport, MessageReference, Offset, SocketEvent},
};

use crate::handler::App;

/// How often it is looked whether the streamer has seen to a wish.
const ATTEND_INTERVAL: Duration = Duration::from_millis(500);

/// How long a streamer is left to tell its sockets itself that its answer has ended.
const LAST_WORD: Duration = Duration::from_secs(2);

/// Ends a running answer; of one that has ended, says so again.
pub(crate) async fn cancel(
    app: &Arc<App>,
    event: &SocketEvent,
    connection: Connection,
    name: &MessageReference,
) -> Result<(), ApiError> {
    let id = name.id()?;
    let ConnectionGrant { tenant_id, chat_id, .. } = &connection.grant;
    let asked = app.chats.request_cancel(tenant_id, chat_id, &id, &connection.connection_id).await?;
    let wish = Wish { app: app.clone(), id, connection, request_id: event.request_id.clone() };
    if asked {
        after_response::spawn(telemetry::background_task("cancel", async move { wish.see_cancelled().await }));
        return Ok(());
    }
    let answer = wish.stored().await?;
    after_response::spawn(telemetry::background_task("replay", async move {
        let told_at = answer.message.completed_at.map(|ended| ended.plus(LAST_WORD));
        let wait = told_at.map_or(0, |told_at| told_at.millis_since(Timestamp::now()));
        tokio::time::sleep(Duration::from_millis(wait)).await;
        wish.replay(answer, JoinAt::End).await;
    }));
    Ok(())
}

/// Gives a socket what it missed of an answer, and what is still to come.
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
    let asked = app.chats.request_resume(tenant_id, chat_id, &id, &resume).await?;
    let wish = Wish { app: app.clone(), id, connection, request_id: event.request_id.clone() };
    if asked {
        after_response::spawn(telemetry::background_task("resume", async move { wish.see_resumed(&resume).await }));
        return Ok(());
    }
    let answer = wish.stored().await?;
    after_response::spawn(telemetry::background_task("replay", async move {
        wish.replay(answer, JoinAt::Offset(offset)).await
    }));
    Ok(())
}

/// What a socket wants of an answer.
struct Wish {
    app: Arc<App>,
    id: MessageId,
    connection: Connection,
    request_id: String,
}

/// What became of a wish that was left to a streamer.
enum Seen {
    /// The streamer has seen to it.
    To,
    /// The answer was over before.
    TooLate,
    /// The streamer is gone, and the answer ended here.
    Ended(Box<FinishedGeneration>, Option<RunningGeneration>),
}

impl Wish {
    /// Stays until the answer has ended, as its streamer tells all sockets, or until that is to be done here.
    async fn see_cancelled(&self) {
        if let Seen::Ended(answer, record) = self.wait(Status::Cancelled, |_| false).await {
            self.tell_others(*answer, record).await;
        }
    }

    /// Stays until the streamer has taken the socket on, or until that is to be done here.
    async fn see_resumed(&self, resume: &ResumeCommand) {
        let beginning = JoinAt::Offset(resume.offset);
        match self.wait(Status::Interrupted, |running| !running.has_pending(resume)).await {
            Seen::To => {}
            Seen::TooLate => match self.stored().await {
                Ok(answer) => self.replay(answer, beginning).await,
                Err(error) => self.report(&error).await,
            },
            Seen::Ended(answer, record) => {
                tokio::join!(self.tell_others((*answer).clone(), record), self.replay((*answer).clone(), beginning));
            }
        }
    }

    /// Waits until the streamer has seen to the wish, or is gone; then its answer is ended as `status`. What cannot be
    /// read is read again.
    async fn wait(&self, status: Status, is_seen_to: impl Fn(&RunningGeneration) -> bool) -> Seen {
        loop {
            tokio::time::sleep(ATTEND_INTERVAL).await;
            match self.look(status, &is_seen_to).await {
                Ok(Some(seen)) => return seen,
                Ok(None) => {}
                Err(error) => telemetry::log_cause(&error.into(), &self.request_id),
            }
        }
    }

    async fn look(
        &self,
        status: Status,
        is_seen_to: impl Fn(&RunningGeneration) -> bool,
    ) -> Result<Option<Seen>, StorageError> {
        let ConnectionGrant { tenant_id, chat_id, .. } = &self.connection.grant;
        let chats = &self.app.chats;
        let Some(running) = chats.running(tenant_id, chat_id, &self.id).await? else {
            return Ok(Some(Seen::TooLate));
        };
        if is_seen_to(&running) {
            return Ok(Some(Seen::To));
        }
        let now = Timestamp::now();
        if !running.may_have_expired(now) {
            return Ok(None);
        }
        Ok(match chats.take_over(tenant_id, chat_id, &self.id, status, now).await? {
            Takeover::StillOwned => None,
            Takeover::Ended { answer, record } => Some(Seen::Ended(answer, record)),
            Takeover::Unknown => Some(Seen::TooLate),
        })
    }

    /// Tells the chat's sockets of an answer that was ended here, but not those that wait for someone of their own.
    async fn tell_others(&self, answer: FinishedGeneration, record: Option<RunningGeneration>) {
        let Some(record) = record else { return };
        let Self { app, connection, request_id, .. } = self;
        let ConnectionGrant { tenant_id, chat_id, .. } = &connection.grant;
        generation::announce_end(&app.sockets, (tenant_id, chat_id), answer, &record.waiting(), request_id).await;
    }

    /// The answer, which does not run.
    async fn stored(&self) -> Result<FinishedGeneration, ApiError> {
        let ConnectionGrant { tenant_id, chat_id, .. } = &self.connection.grant;
        let chats = &self.app.chats;
        let answer = chats.answer(tenant_id, chat_id, &self.id, Timestamp::now());
        let (owner, answer) = Box::pin(async { tokio::try_join!(chats.owner_of(tenant_id, chat_id), answer) }).await?;
        owner.ok_or_else(|| ApiError::chat_not_found(chat_id.as_str()))?;
        answer.ok_or_else(|| ApiError::message_not_found(self.id.as_str()))
    }

    /// Tells the socket of an answer that does not run.
    async fn replay(&self, answer: FinishedGeneration, beginning: JoinAt) {
        generation::replay(&self.app.sockets, self.connection.clone(), answer, beginning, &self.request_id).await;
    }

    /// Tells the socket that its wish cannot be seen to.
    async fn report(&self, error: &ApiError) {
        telemetry::log_cause(error, &self.request_id);
        let report = Body::Error(ErrorReport::new(error, &self.request_id, None));
        let ConnectionGrant { chat_id, .. } = &self.connection.grant;
        self.app.post(&self.connection.connection_id, Some(chat_id), report, &self.request_id).await;
    }
}
