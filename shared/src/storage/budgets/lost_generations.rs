//! Lost generations: their owners died, and they keep their slots until they are taken over. The next message of their
//! chat takes them over, or maintenance 15 minutes later; a tenant at its limit does not wait so long.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::types::ReturnValue;

use super::{
    record::BudgetRecord,
    repository::{BudgetRepository, key},
};
use crate::{
    domain::{
        id::{ChatId, TenantId},
        time::Timestamp,
    },
    storage::{conditional::unless_refused, error::StorageError, item::text, records::lease::TAKEOVER_AFTER},
};

impl BudgetRepository {
    /// Claims the search for a tenant's lost generations, so that one process at a time searches, at most once in as long as
    /// a lease lasts. Returns the chats with generations that are older; none when another process has claimed it.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails.
    pub async fn claim_search(&self, tenant: &TenantId, now: Timestamp) -> Result<BTreeSet<ChatId>, StorageError> {
        let latest = now.minus(TAKEOVER_AFTER);
        let update = self
            .table
            .update(key(tenant))
            .update_expression("SET searched_at = :now")
            .condition_expression(
                "attribute_exists(running) AND (attribute_not_exists(searched_at) OR searched_at <= :latest)",
            )
            .expression_attribute_values(":now", text(now))
            .expression_attribute_values(":latest", text(latest))
            .return_values(ReturnValue::AllNew);
        let Some(output) = unless_refused(update.send().await)? else { return Ok(BTreeSet::new()) };
        let record = BudgetRecord::of(output.attributes)?;
        let old = record.slots().filter(|running| running.slot.taken_at() <= latest);
        Ok(old.map(|running| running.chat).collect())
    }
}
