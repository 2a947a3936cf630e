//! The heartbeat of a running generation: it saves the text, renews the lease and polls stream commands.

use std::sync::atomic::Ordering;

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::{
    end::GenerationEnd,
    owned_generation::OwnedGeneration,
    stream_commands::{ResumedSockets, ensure_writer_for},
};
use crate::{
    domain::{
        connection::ConnectionGrant,
        error::{ApiError, Code},
    },
    storage::PendingCommands,
};

/// Saves new text and renews the lease until the lease is lost.
pub(super) async fn keep_lease(owned: &OwnedGeneration) -> GenerationEnd {
    let (buffer, timings) = (&owned.stream().buffer, owned.stream().timings);
    let mut saved = 0;
    let mut renewed = Instant::now();
    loop {
        sleep(timings.save).await;
        let text = buffer.text_from(saved);
        let result = if !text.is_empty() {
            owned.lease.save(&text, owned.now()).await
        } else if renewed.elapsed() >= timings.renew {
            owned.lease.renew(owned.now()).await
        } else {
            continue;
        };
        match result {
            Ok(true) => {
                saved += text.len();
                renewed = Instant::now();
            }
            Ok(false) => return lease_lost(owned).await,
            // The next attempt saves this text too, if it comes before the lease expires.
            Err(error) if owned.lease.lease_expires_at() <= owned.now() => return GenerationEnd::Failed(error.into()),
            Err(error) => owned.log(error),
        }
    }
}

/// Tells a deleted chat from a takeover.
async fn lease_lost(owned: &OwnedGeneration) -> GenerationEnd {
    match owned.lease.poll_commands().await {
        Ok(PendingCommands::ChatDeleted) => chat_deleted(owned),
        _ => GenerationEnd::LeaseLost,
    }
}

fn chat_deleted(owned: &OwnedGeneration) -> GenerationEnd {
    GenerationEnd::Failed(ApiError::chat_not_found(owned.grant.chat_id.as_str()))
}

/// Polls stream commands until one ends the generation, or the generation has `ended` otherwise. Commands of a poll that is
/// under way are carried out if the caller waits for it.
pub(super) async fn poll_commands(owned: &OwnedGeneration, ended: &CancellationToken) -> Option<GenerationEnd> {
    let ConnectionGrant { tenant_id, key, .. } = &owned.grant;
    let mut resumed = ResumedSockets::default();
    while ended.run_until_cancelled(sleep(owned.stream().timings.poll)).await.is_some() {
        if let Err(denied) = owned.authenticator.recheck(tenant_id, key, owned.now()).await
            && denied.code() == Code::ConnectionClosing
        {
            return Some(GenerationEnd::Failed(access_denied(denied)));
        }
        let (cancelled_by, resumes) = match owned.lease.poll_commands().await {
            Ok(PendingCommands::Running { cancelled_by, resumes, generations }) => {
                owned.stream().generations.store(generations, Ordering::Relaxed);
                (cancelled_by, resumes)
            }
            Ok(PendingCommands::ChatDeleted) => return Some(chat_deleted(owned)),
            // The next poll finds the same commands.
            Err(_) => continue,
        };
        for command in resumes {
            if let Err(error) = resumed.resume(owned, command).await {
                owned.log(error);
            }
        }
        if let Some(canceller) = cancelled_by {
            ensure_writer_for(owned, &canceller).await;
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
