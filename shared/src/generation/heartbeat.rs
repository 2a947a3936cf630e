//! The heartbeat of a running generation: it saves the text, renews the lease and polls stream commands.

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::{
    end::GenerationEnd,
    run::Run,
    stream_commands::{ResumedSockets, announce_end_to},
};
use crate::{
    domain::{
        connection::ConnectionGrant,
        error::{ApiError, Code},
    },
    storage::PendingCommands,
};

/// Saves new text and renews the lease until the lease is lost.
pub(super) async fn keep_lease(run: &Run) -> GenerationEnd {
    let (buffer, timings) = (&run.stream().buffer, run.stream().timings);
    let mut saved = 0;
    let mut renewed = Instant::now();
    loop {
        sleep(timings.save).await;
        let text = buffer.text_from(saved);
        let result = if !text.is_empty() {
            run.lease.save(&text, run.now()).await
        } else if renewed.elapsed() >= timings.renew {
            run.lease.renew(run.now()).await
        } else {
            continue;
        };
        match result {
            Ok(true) => {
                saved += text.len();
                renewed = Instant::now();
            }
            Ok(false) => return lease_lost(run).await,
            // The next attempt saves this text too, if it comes before the lease expires.
            Err(error) if run.lease.lease_expires_at() <= run.now() => return GenerationEnd::Failed(error.into()),
            Err(error) => run.log(error),
        }
    }
}

/// Tells a deleted chat from a takeover.
async fn lease_lost(run: &Run) -> GenerationEnd {
    match run.lease.poll_commands().await {
        Ok(PendingCommands::ChatDeleted) => chat_deleted(run),
        _ => GenerationEnd::LeaseLost,
    }
}

fn chat_deleted(run: &Run) -> GenerationEnd {
    GenerationEnd::Failed(ApiError::chat_not_found(run.grant.chat_id.as_str()))
}

/// Polls stream commands until one ends the generation, or the generation has `ended` otherwise. Commands of a poll that is
/// under way are still carried out: their senders have stopped waiting.
pub(super) async fn poll_commands(run: &Run, ended: &CancellationToken) -> Option<GenerationEnd> {
    let ConnectionGrant { tenant_id, key, .. } = &run.grant;
    let mut resumed = ResumedSockets::default();
    while ended.run_until_cancelled(sleep(run.stream().timings.poll)).await.is_some() {
        if let Err(denied) = run.authenticator.recheck(tenant_id, key, run.now()).await
            && denied.code() == Code::ConnectionClosing
        {
            return Some(GenerationEnd::Failed(access_denied(denied)));
        }
        let (cancelled_by, resumes) = match run.lease.poll_commands().await {
            Ok(PendingCommands::Running { cancelled_by, resumes }) => (cancelled_by, resumes),
            Ok(PendingCommands::ChatDeleted) => return Some(chat_deleted(run)),
            // The next poll finds the same commands.
            Err(_) => continue,
        };
        for command in resumes {
            if let Err(error) = resumed.resume(run, command).await {
                run.log(error);
            }
        }
        if let Some(canceller) = cancelled_by {
            announce_end_to(run, &canceller).await;
            return Some(GenerationEnd::Cancelled);
        }
    }
    None
}

/// The error for all sockets of the chat, also those whose own keys are valid.
fn access_denied(cause: ApiError) -> ApiError {
    ApiError::new(
        Code::AgentError,
        "The answer was ended, because the API key that asked for it is no longer valid.",
        "Ask for it again with `regenerate`, on a connection that another API key opened.",
    )
    .with_retryable(false)
    .with_cause(cause)
}
