//! Takeover: ending a generation whose owner is gone, with its metric.

use std::time::Duration;

use tokio::time::timeout;

use super::{replay::announce_end, sockets::ChatConnections};
use crate::{
    domain::{
        generation::FinishedGeneration,
        id::{ChatId, MessageId, TenantId},
        message::Status,
        time::Timestamp,
    },
    runtime::telemetry,
    storage::{Conversation, EndedGeneration, GenerationRepository, RunningGeneration, StorageError, Takeover},
};

/// How long the sockets of a chat are notified of an end: less than the time a run of maintenance leaves before its
/// deadline.
const ANNOUNCEMENT_TIMEOUT: Duration = Duration::from_secs(30);

/// The outcome of a takeover that was cleaned up.
#[derive(Debug)]
pub enum TakeoverResult {
    /// The owner has the lease, or had it until a moment ago.
    StillOwned,
    /// The generation has ended, now or before.
    Ended {
        /// The assistant message.
        generation: Box<FinishedGeneration>,
        /// The generation's record, for the one caller that removed it: that one posts the end to the chat's connections,
        /// except those with pending commands to resume, whose own invocations do.
        record: Option<RunningGeneration>,
    },
    /// The chat has no such message.
    Unknown,
}

/// Ends a generation with this status if its lease has expired, logs a new end, and cleans up.
///
/// # Errors
///
/// [`StorageError`] when DynamoDB fails.
pub async fn take_over(
    generations: &GenerationRepository,
    (tenant, chat): (&TenantId, &ChatId),
    message: &MessageId,
    status: Status,
    now: Timestamp,
) -> Result<TakeoverResult, StorageError> {
    let ended = match generations.take_over(tenant, chat, message, status, now).await? {
        Takeover::StillOwned => return Ok(TakeoverResult::StillOwned),
        Takeover::Unknown => return Ok(TakeoverResult::Unknown),
        Takeover::Ended(ended) => ended,
    };
    if ended.newly_ended {
        telemetry::interrupted(tenant, ended.generation.message.usage.unwrap_or_default());
    }
    let record = generations.clean_up(tenant, chat, &ended).await?;
    let EndedGeneration { generation, .. } = *ended;
    Ok(TakeoverResult::Ended { generation: Box::new(generation), record })
}

/// Ends a generation if its lease has expired, and announces the end to the chat's sockets. Returns whether this call has
/// ended it.
///
/// # Errors
///
/// [`StorageError`] when DynamoDB fails.
pub async fn take_over_lost(
    (generations, sockets): (&GenerationRepository, &ChatConnections),
    (tenant, chat): (&TenantId, &ChatId),
    message: &MessageId,
    now: Timestamp,
    request_id: &str,
) -> Result<bool, StorageError> {
    let takeover = take_over(generations, (tenant, chat), message, Status::Interrupted, now).await?;
    let TakeoverResult::Ended { generation, record: Some(record) } = takeover else { return Ok(false) };
    let pending = record.pending_resumes();
    let announcement = announce_end(sockets, (tenant, chat), *generation, &pending, request_id);
    // A client that is not notified in time resumes, or reads the message over REST.
    if timeout(ANNOUNCEMENT_TIMEOUT, announcement).await.is_err() {
        tracing::warn!(request_id, "end notification timed out");
    }
    Ok(true)
}

/// Ends the generations of a conversation whose leases have expired, so that their text is part of it. Returns those whose
/// end has to be posted, with their records.
///
/// # Errors
///
/// [`StorageError`] when DynamoDB fails.
pub async fn take_over_expired(
    generations: &GenerationRepository,
    (tenant, chat): (&TenantId, &ChatId),
    conversation: &mut Conversation,
    now: Timestamp,
) -> Result<Vec<(FinishedGeneration, RunningGeneration)>, StorageError> {
    let mut ended = Vec::new();
    for message_id in conversation.expired_generations(now) {
        match take_over(generations, (tenant, chat), &message_id, Status::Interrupted, now).await? {
            TakeoverResult::StillOwned => {}
            TakeoverResult::Unknown => conversation.remove_generation(&message_id, None),
            TakeoverResult::Ended { generation, record } => {
                conversation.remove_generation(&message_id, Some(&generation.message));
                ended.extend(record.map(|record| (*generation, record)));
            }
        }
    }
    Ok(ended)
}
