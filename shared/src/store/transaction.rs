//! Transactions: all items or none, tried again when another transaction held one of them.

use std::{collections::HashMap, time::Duration};

use aws_sdk_dynamodb::{
    Client,
    error::SdkError,
    operation::transact_write_items::TransactWriteItemsError,
    types::{AttributeValue, CancellationReason, TransactWriteItem},
};

use super::StoreError;

/// How often a transaction, or a decision that led to one, is tried.
pub(super) const ATTEMPTS: u32 = 5;

/// What became of a transaction.
pub(super) enum Written {
    /// All of it is written.
    Committed,
    /// Nothing is written, because the condition of one item did not hold.
    Refused {
        /// That item as it is, when the transaction asked for it and there is one.
        item: Option<HashMap<String, AttributeValue>>,
    },
}

/// Writes all items or none. Not for a transaction that must not be sent twice: what the SDK tries again on its own
/// carries the same client token, so DynamoDB takes it once.
pub(super) async fn write(client: &Client, items: Vec<TransactWriteItem>) -> Result<Written, StoreError> {
    for attempt in 1..=ATTEMPTS {
        let error = match client.transact_write_items().set_transact_items(Some(items.clone())).send().await {
            Ok(_) => return Ok(Written::Committed),
            Err(error) => error,
        };
        let reasons = cancellation_reasons(&error);
        if let Some(refusal) = reasons.iter().find(|reason| reason.code() == Some("ConditionalCheckFailed")) {
            return Ok(Written::Refused { item: refusal.item().cloned() });
        }
        if !reasons.iter().any(|reason| reason.code() == Some("TransactionConflict")) {
            return Err(error.into());
        }
        back_off(attempt).await;
    }
    Err(StoreError::Contended { attempts: ATTEMPTS })
}

fn cancellation_reasons<R>(error: &SdkError<TransactWriteItemsError, R>) -> &[CancellationReason] {
    match error.as_service_error() {
        Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) => cancelled.cancellation_reasons(),
        _ => &[],
    }
}

/// Waits before the next attempt: longer each time, and never as long as the others that wait.
pub(super) async fn back_off(attempt: u32) {
    let longest = Duration::from_millis(10 << attempt.min(6));
    tokio::time::sleep(longest.mul_f64(rand::random())).await;
}
