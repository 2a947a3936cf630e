//! A tenant's own limits, and its status for operators.

use aws_sdk_dynamodb::types::AttributeValue;

use super::repository::{BudgetRepository, key};
use crate::{
    domain::{budget::BudgetOverrides, id::TenantId, time::Timestamp},
    storage::{
        conditional::unless_refused,
        error::StorageError,
        item::{SET_VERSION, to_value, version},
        transaction::{ATTEMPTS, back_off},
    },
};

/// A tenant's budget, as operators see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BudgetStatus {
    /// The tenant's own limits.
    pub limits: BudgetOverrides,
    /// How many generations run.
    pub running: usize,
    /// The tokens of today and of this month, used or reserved.
    pub tokens_of_day: u64,
    /// As `tokens_of_day`.
    pub tokens_of_month: u64,
}

impl BudgetRepository {
    /// Reads a tenant's own limits, how many generations it runs, and its tokens.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails.
    pub async fn status(&self, tenant: &TenantId, now: Timestamp) -> Result<BudgetStatus, StorageError> {
        let record = self.record(tenant).await?;
        let running = record.live(now).len();
        let (tokens_of_day, tokens_of_month) = record.tokens_at(now);
        Ok(BudgetStatus { limits: record.limits.read, running, tokens_of_day, tokens_of_month })
    }

    /// Changes a tenant's own limits, from its next message on. Only the named limits are changed.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails, or when others change the limits at the same time.
    pub async fn set_limits(&self, tenant: &TenantId, change: BudgetOverrides) -> Result<(), StorageError> {
        if !change.is_some() {
            return Ok(());
        }
        for attempt in 1..=ATTEMPTS {
            let seen = self.record(tenant).await?.limits.stored;
            let mut limits = seen.clone().unwrap_or_default();
            limits.extend(to_value(change)?.as_m().cloned().unwrap_or_default());
            let update = self
                .table
                .update(key(tenant))
                .update_expression(format!("{SET_VERSION}, limits = :limits"))
                .expression_attribute_values(":v", version())
                .expression_attribute_values(":limits", AttributeValue::M(limits));
            let update = match seen {
                Some(seen) => update
                    .condition_expression("limits = :seen")
                    .expression_attribute_values(":seen", AttributeValue::M(seen)),
                None => update.condition_expression("attribute_not_exists(limits)"),
            };
            if unless_refused(update.send().await)?.is_some() {
                return Ok(());
            }
            back_off(attempt).await;
        }
        Err(StorageError::Contended { attempts: ATTEMPTS })
    }
}
