//! Purges deleted chats and takes over generations whose owners died.

use super::sweep::{Sweep, SweepResult};
use crate::{
    domain::{
        error::ApiError,
        id::{ChatId, TenantId},
        time::Timestamp,
    },
    generation,
    storage::{PendingWork, PurgeStep, QueueEntry, StorageError},
};

pub(super) async fn sweep(sweep: &Sweep<'_>) -> Result<(), StorageError> {
    sweep.process(&sweep.maintenance.chats.maintenance_queue(), async |entry| process_chat(sweep, entry).await).await
}

async fn process_chat(sweep: &Sweep<'_>, entry: &QueueEntry<(TenantId, ChatId)>) -> Result<SweepResult, StorageError> {
    let (tenant, chat) = &entry.id;
    match sweep.maintenance.chats.pending_work(tenant, chat).await? {
        PendingWork::None => Ok(SweepResult::Complete),
        PendingWork::Purge => {
            let result = purge(sweep, tenant, chat).await?;
            if result == SweepResult::Complete {
                sweep.counter.update(|report| report.chats_purged += 1);
            }
            Ok(result)
        }
        PendingWork::Generations(generations) => {
            for message_id in generations {
                if sweep.must_stop() {
                    return Ok(SweepResult::Partial);
                }
                let Sweep { maintenance, now, request_id, .. } = sweep;
                let backends = (&maintenance.generations, &maintenance.sockets);
                if generation::take_over_lost(backends, (tenant, chat), &message_id, *now, request_id).await? {
                    sweep.counter.update(|report| report.generations_taken_over += 1);
                }
            }
            sweep.maintenance.chats.dequeue_or_postpone(entry, sweep.now).await?;
            Ok(SweepResult::Complete)
        }
    }
}

/// Closes the connections of a deleted chat and purges its items, as far as there is time. If a socket may still be open,
/// the chat stays in the queue.
pub(super) async fn purge(sweep: &Sweep<'_>, tenant: &TenantId, chat: &ChatId) -> Result<SweepResult, StorageError> {
    let Sweep { maintenance, request_id, .. } = sweep;
    let connections = maintenance.sockets.connections.list_by_chat(tenant, chat, Timestamp::now()).await?;
    let reason = ApiError::chat_not_found(chat.as_str());
    if !maintenance.sockets.publisher.close_all(&connections, &reason, request_id).await {
        return Ok(SweepResult::Partial);
    }
    loop {
        match maintenance.chats.purge_step(tenant, chat, sweep.now).await? {
            PurgeStep::Purged if !sweep.must_stop() => {}
            PurgeStep::Purged | PurgeStep::GenerationsEnding => return Ok(SweepResult::Partial),
            PurgeStep::Complete => return Ok(SweepResult::Complete),
        }
    }
}
