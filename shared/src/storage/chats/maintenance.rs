//! Work that is left in a chat when a process dies: its purge, or generations without an owner.

use super::repository::ChatRepository;
use crate::{
    domain::{
        id::{ChatId, MessageId, TenantId},
        time::Timestamp,
    },
    storage::{
        chat_state::CHECK_GENERATIONS_AFTER,
        error::StorageError,
        item::number,
        keys::tenant_and_chat_of,
        maintenance_queue::{MaintenanceQueue, QueueEntry},
    },
};

/// The work that is left in a chat.
#[derive(Clone, Debug)]
pub enum PendingWork {
    /// None: nothing of the chat exists.
    None,
    /// The chat is deleted and has to be purged.
    Purge,
    /// The generations that are listed as running; their owners may be gone. The list may be empty.
    Generations(Vec<MessageId>),
}

impl ChatRepository {
    /// The chats that are queued for maintenance.
    #[must_use]
    pub fn maintenance_queue(&self) -> MaintenanceQueue<(TenantId, ChatId)> {
        MaintenanceQueue::new(&self.table, tenant_and_chat_of)
    }

    /// Reads which work is left in a chat. Counts usage that is left, if the chat exists.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails.
    pub async fn pending_work(&self, tenant: &TenantId, chat: &ChatId) -> Result<PendingWork, StorageError> {
        Ok(match self.states.get_deleted_too(tenant, chat).await? {
            None => PendingWork::None,
            Some(state) if state.is_deleted() => PendingWork::Purge,
            Some(state) => {
                self.settlement.count_left((tenant, chat), &state).await?;
                let running = state.generations.into_values();
                PendingWork::Generations(running.map(|generation| generation.message_id).collect())
            }
        })
    }

    /// Dequeues a chat if no generation runs in it; otherwise postpones it.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails.
    pub async fn dequeue_or_postpone(
        &self,
        entry: &QueueEntry<(TenantId, ChatId)>,
        now: Timestamp,
    ) -> Result<(), StorageError> {
        const NO_WORK: &str =
            "attribute_not_exists(deleted_at) AND size(generations) = :none AND attribute_not_exists(uncounted)";
        let queue = self.maintenance_queue();
        if !queue.dequeue_if(entry, NO_WORK, Some((":none", number(0)))).await? {
            queue.postpone(entry, now.plus(CHECK_GENERATIONS_AFTER)).await?;
        }
        Ok(())
    }
}
