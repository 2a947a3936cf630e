//! Transactions: all items or none, tried again when another transaction held one of them.

use std::{collections::HashMap, time::Duration};

use aws_sdk_dynamodb::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    operation::{
        transact_write_items::TransactWriteItemsError,
        update_item::{UpdateItemError, UpdateItemOutput, builders::UpdateItemFluentBuilder},
    },
    types::{AttributeValue, CancellationReason, TransactWriteItem},
};
use ulid::Ulid;

use super::StorageError;

/// How often a transaction, or a decision that led to one, is tried.
pub(super) const ATTEMPTS: u32 = 5;

/// What became of a transaction.
pub(super) enum Written {
    /// All of it is written.
    Committed,
    /// Nothing is written, because the condition of one item did not hold.
    Refused {
        /// That item as it is, when the transaction asked for it and there is one; of several, the last.
        item: Option<HashMap<String, AttributeValue>>,
    },
}

/// Writes all items or none. When another transaction holds one of them, it is tried again.
///
/// All attempts, the SDK's as well, carry one token: an attempt that was carried out though its answer was lost is not
/// carried out a second time, nor does the next one fail on what it wrote itself.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html>
pub(super) async fn write(client: &Client, items: Vec<TransactWriteItem>) -> Result<Written, StorageError> {
    let request = client
        .transact_write_items()
        .set_transact_items(Some(items))
        .client_request_token(Ulid::generate().to_string());
    let mut attempt = 0;
    loop {
        attempt = next_attempt(attempt).await?;
        let error = match request.clone().send().await {
            Ok(_) => return Ok(Written::Committed),
            Err(error) => error,
        };
        // An attempt that was given up is still at work; the next one learns what came of it.
        if error.as_service_error().is_some_and(TransactWriteItemsError::is_transaction_in_progress_exception) {
            continue;
        }
        let reasons = cancellation_reasons(&error);
        let is = |code: &str| reasons.iter().any(|reason| reason.code() == Some(code));
        let refusals = reasons.iter().filter(|reason| reason.code() == Some("ConditionalCheckFailed"));
        let item = refusals.clone().filter_map(CancellationReason::item).next_back().cloned();
        // Beside a conflict a refusal without an item says nothing: the item that would tell is the one in conflict.
        if item.is_some() || (refusals.count() > 0 && !is("TransactionConflict")) {
            return Ok(Written::Refused { item });
        }
        if !is("TransactionConflict") && !is("ThrottlingError") && !is("ProvisionedThroughputExceeded") {
            return Err(error.into());
        }
    }
}

/// Sends an update of an item that transactions write too. A plain update that meets one fails; the SDK does not try it
/// again.
pub(super) async fn update(request: UpdateItemFluentBuilder) -> Result<UpdateItemOutput, SdkError<UpdateItemError>> {
    let mut attempt = 1;
    loop {
        match request.clone().send().await {
            Err(error) if attempt < ATTEMPTS && is_conflict(&error) => back_off(attempt).await,
            result => return result,
        }
        attempt += 1;
    }
}

fn is_conflict(error: &SdkError<UpdateItemError>) -> bool {
    error.as_service_error().and_then(ProvideErrorMetadata::code) == Some("TransactionConflictException")
}

fn cancellation_reasons<R>(error: &SdkError<TransactWriteItemsError, R>) -> &[CancellationReason] {
    match error.as_service_error() {
        Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) => cancelled.cancellation_reasons(),
        _ => &[],
    }
}

/// Begins the next attempt: the first at once, the others after a pause.
///
/// # Errors
///
/// [`StorageError::Contended`] when there were enough.
pub(super) async fn next_attempt(made: u32) -> Result<u32, StorageError> {
    match made {
        0 => {}
        ATTEMPTS.. => return Err(StorageError::Contended { attempts: made }),
        _ => back_off(made).await,
    }
    Ok(made + 1)
}

/// Waits before the next attempt: longer each time, and never as long as the others that wait.
pub(super) async fn back_off(attempt: u32) {
    let longest = Duration::from_millis(10 << attempt.min(6));
    tokio::time::sleep(longest.mul_f64(rand::random())).await;
}
