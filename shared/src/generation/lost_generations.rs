//! The search for a tenant's lost generations, when it is refused for its limit of generations.

use futures_util::{StreamExt, stream};

use super::{sockets::ChatConnections, takeover::take_over_lost};
use crate::{
    domain::{
        id::{ChatId, TenantId},
        time::Timestamp,
    },
    storage::{BudgetRepository, ChatRepository, GenerationRepository, PendingWork, StorageError},
};

/// How many chats are searched at a time.
const CONCURRENT_CHATS: usize = 8;

/// Takes over generations whose owners died, so that they do not keep their tenant at its limit.
#[derive(Clone, Debug)]
pub struct LostGenerationSearch {
    /// The tenant's running generations.
    pub budgets: BudgetRepository,
    /// Their chats.
    pub chats: ChatRepository,
    /// Their owners.
    pub generations: GenerationRepository,
    /// The sockets that learn of the end.
    pub sockets: ChatConnections,
}

impl LostGenerationSearch {
    /// Searches the chats whose generations are older than a lease lasts, unless another process has done so in that time:
    /// two reads for each. A slot without a generation stays until it expires: its process may still store the message.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails.
    pub async fn run(&self, tenant: &TenantId, now: Timestamp, request_id: &str) -> Result<(), StorageError> {
        let chats = self.budgets.claim_search(tenant, now).await?;
        let mut searches = stream::iter(chats)
            .map(async |chat| self.search(tenant, &chat, now, request_id).await)
            .buffer_unordered(CONCURRENT_CHATS);
        while let Some(searched) = searches.next().await {
            searched?;
        }
        Ok(())
    }

    async fn search(
        &self,
        tenant: &TenantId,
        chat: &ChatId,
        now: Timestamp,
        request_id: &str,
    ) -> Result<(), StorageError> {
        // Maintenance purges a deleted chat, with its generations.
        let PendingWork::Generations(running) = self.chats.pending_work(tenant, chat).await? else { return Ok(()) };
        for message in running {
            take_over_lost((&self.generations, &self.sockets), (tenant, chat), &message, now, request_id).await?;
        }
        Ok(())
    }
}
