//! Purges deleted chats and takes over generations whose owners died.

use std::time::Duration;

use super::sweep::{Sweep, SweepResult};
use crate::{
    domain::{
        error::ApiError,
        id::{ChatId, MessageId, TenantId},
        message::Status,
        time::Timestamp,
    },
    generation,
    storage::{QueueEntry, Remains, StorageError, Takeover},
};

/// How long the connections of a chat are notified of an end: less than the time a run leaves before its deadline.
const NOTIFICATION_TIMEOUT: Duration = Duration::from_secs(30);

pub(super) async fn sweep(sweep: &Sweep<'_>) -> Result<(), StorageError> {
    sweep.process(&sweep.maintenance.chats.agenda(), async |entry| process_chat(sweep, entry).await).await
}

async fn process_chat(sweep: &Sweep<'_>, entry: &QueueEntry<(TenantId, ChatId)>) -> Result<SweepResult, StorageError> {
    let (tenant, chat) = &entry.what;
    match sweep.maintenance.chats.remains(tenant, chat).await? {
        Remains::Nothing => Ok(SweepResult::Complete),
        Remains::Deleted => {
            let result = purge(sweep, tenant, chat).await?;
            if result == SweepResult::Complete {
                sweep.counter.update(|report| report.chats_purged += 1);
            }
            Ok(result)
        }
        Remains::Answers(generations) => {
            for message_id in generations {
                if sweep.must_stop() {
                    return Ok(SweepResult::Partial);
                }
                take_over(sweep, tenant, chat, &message_id).await?;
            }
            sweep.maintenance.chats.settle(entry, sweep.now).await?;
            Ok(SweepResult::Complete)
        }
    }
}

/// Closes the connections of a deleted chat and purges its items, as far as there is time.
pub(super) async fn purge(sweep: &Sweep<'_>, tenant: &TenantId, chat: &ChatId) -> Result<SweepResult, StorageError> {
    let Sweep { maintenance, request_id, .. } = sweep;
    let connections = maintenance.sockets.connections.of_chat(tenant, chat, Timestamp::now()).await?;
    let reason = ApiError::chat_not_found(chat.as_str());
    maintenance.sockets.publisher.close_all(&connections, &reason, request_id).await;
    while maintenance.chats.purge_some(tenant, chat).await? {
        if sweep.must_stop() {
            return Ok(SweepResult::Partial);
        }
    }
    Ok(SweepResult::Complete)
}

/// Ends a generation whose owner is gone, and notifies the chat's connections.
async fn take_over(
    sweep: &Sweep<'_>,
    tenant: &TenantId,
    chat: &ChatId,
    message_id: &MessageId,
) -> Result<(), StorageError> {
    let Sweep { maintenance, request_id, .. } = sweep;
    let takeover = maintenance.chats.take_over(tenant, chat, message_id, Status::Interrupted, sweep.now).await?;
    if let Takeover::Ended { answer, record: Some(record) } = takeover {
        sweep.counter.update(|report| report.generations_taken_over += 1);
        let waiting = record.waiting();
        let notification =
            generation::announce_end(&maintenance.sockets, (tenant, chat), *answer, &waiting, request_id);
        // A client that is not notified in time resumes, or reads the message over REST.
        if tokio::time::timeout(NOTIFICATION_TIMEOUT, notification).await.is_err() {
            tracing::warn!(request_id, "end notification timed out");
        }
    }
    Ok(())
}
