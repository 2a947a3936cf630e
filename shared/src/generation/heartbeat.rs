//! What a streamer does beside streaming: it saves what was said, keeps its lease, and looks what others want.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::{
    fan_out::FanOut,
    generate::{GenerationContext, GenerationEnd},
    socket_writer::StartAt,
};
use crate::{
    domain::{
        connection::{Connection, ConnectionGrant},
        error::{ApiError, Code},
        id::ConnectionId,
        time::Timestamp,
    },
    runtime::telemetry,
    storage::{GenerationLease, PendingCommands, ResumeCommand, StorageError},
};

/// How often what was said is saved. What comes between is lost with the process.
const SAVE_INTERVAL: Duration = Duration::from_secs(1);

/// How long a lease is left without renewal when there is nothing to save.
const RENEWAL_INTERVAL: Duration = Duration::from_secs(5);

/// How often the streamer looks what others want. They wait for it, so it has to be below a second.
const LOOK_INTERVAL: Duration = Duration::from_millis(800);

/// Saves what has been said and renews the lease, until that is not the streamer's right any more.
pub(super) async fn keep(context: &GenerationContext, lease: &GenerationLease, fan_out: &FanOut) -> GenerationEnd {
    let buffer = &fan_out.context().buffer;
    let mut saved = 0;
    let mut renewed = Instant::now();
    loop {
        tokio::time::sleep(SAVE_INTERVAL).await;
        let text = buffer.text_from(saved);
        let held = if !text.is_empty() {
            lease.save(&text, Timestamp::now()).await
        } else if renewed.elapsed() >= RENEWAL_INTERVAL {
            lease.renew(Timestamp::now()).await
        } else {
            continue;
        };
        match held {
            Ok(true) => {
                saved += text.len();
                renewed = Instant::now();
            }
            Ok(false) => return lost(context, lease).await,
            // The next try saves this piece too, if it comes in time.
            Err(error) if lease.expires_at() <= Timestamp::now() => return GenerationEnd::Failed(error.into()),
            Err(error) => telemetry::log_cause(&error.into(), &context.request_id),
        }
    }
}

/// Why a lease is not the streamer's any more.
async fn lost(context: &GenerationContext, lease: &GenerationLease) -> GenerationEnd {
    match lease.poll_commands().await {
        Ok(PendingCommands::ChatDeleted) => deleted(context),
        _ => GenerationEnd::Lost,
    }
}

fn deleted(context: &GenerationContext) -> GenerationEnd {
    GenerationEnd::Failed(ApiError::chat_not_found(context.connection.grant.chat_id.as_str()))
}

/// Looks what others want of the answer until one of them wants it to end, or it is `over`. Then a wish that is just
/// being taken on is still seen to: whoever had it believes that it was.
pub(super) async fn watch(
    context: &GenerationContext,
    lease: &GenerationLease,
    fan_out: &FanOut,
    over: &CancellationToken,
) -> Option<GenerationEnd> {
    let ConnectionGrant { tenant_id, key, .. } = &context.connection.grant;
    let mut taken_on = Vec::new();
    while over.run_until_cancelled(tokio::time::sleep(LOOK_INTERVAL)).await.is_some() {
        if let Err(denied) = context.authenticator.recheck(tenant_id, key, Timestamp::now()).await
            && denied.code() == Code::ConnectionClosing
        {
            return Some(GenerationEnd::Failed(unwelcome(denied)));
        }
        let (cancelled_by, resumes) = match lease.poll_commands().await {
            Ok(PendingCommands::Running { cancelled_by, resumes }) => (cancelled_by, resumes),
            Ok(PendingCommands::ChatDeleted) => return Some(deleted(context)),
            // A look that fails is made up for by the next one.
            Err(_) => continue,
        };
        for resume in resumes {
            if let Err(error) = acknowledge(context, lease, fan_out, resume, &mut taken_on).await {
                telemetry::log_cause(&error.into(), &context.request_id);
            }
        }
        if let Some(by) = cancelled_by {
            tell_end_too(context, fan_out, &by).await;
            return Some(GenerationEnd::Cancelled);
        }
    }
    None
}

/// Lets a socket hear the end that has no writer.
pub(super) async fn tell_end_too(context: &GenerationContext, fan_out: &FanOut, socket: &ConnectionId) {
    if !fan_out.has(socket)
        && let Ok(Some(socket)) = find(context, socket).await
    {
        fan_out.begin(socket, StartAt::End);
    }
}

/// Gives a socket a writer, then takes its wish away. If that fails, or is seen too late, the next look does the rest:
/// a wish that was `taken_on` does not get a second writer.
async fn acknowledge(
    context: &GenerationContext,
    lease: &GenerationLease,
    fan_out: &FanOut,
    resume: ResumeCommand,
    taken_on: &mut Vec<ResumeCommand>,
) -> Result<(), StorageError> {
    if !taken_on.contains(&resume) {
        if let Some(socket) = find(context, &resume.connection_id).await? {
            fan_out.begin(socket, StartAt::Offset(resume.offset));
        }
        taken_on.push(resume.clone());
    }
    lease.acknowledge(&resume).await
}

/// A socket of the chat; `None` when it is gone.
async fn find(context: &GenerationContext, socket: &ConnectionId) -> Result<Option<Connection>, StorageError> {
    let ConnectionGrant { tenant_id, chat_id, .. } = &context.connection.grant;
    let sockets = context.sockets.connections.list_by_chat(tenant_id, chat_id, Timestamp::now()).await?;
    Ok(sockets.into_iter().find(|connection| connection.connection_id == *socket))
}

/// What all sockets of the chat are told, also those that may stay.
fn unwelcome(denied: ApiError) -> ApiError {
    ApiError::new(
        Code::AgentError,
        "The answer was ended, since whoever asked for it may not any more.",
        "Ask for it again with `regenerate`, on a connection that another API key opened.",
    )
    .with_retryable(false)
    .with_cause(denied)
}
