//! Transactions, composed of parts that each repository offers, and retries after conflicts.

use std::time::Duration;

use aws_sdk_dynamodb::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    operation::{
        transact_write_items::TransactWriteItemsError,
        update_item::{UpdateItemError, UpdateItemOutput, builders::UpdateItemFluentBuilder},
    },
    types::{
        CancellationReason, ReturnValuesOnConditionCheckFailure, TransactWriteItem,
        builders::{DeleteBuilder, PutBuilder, UpdateBuilder},
    },
};
use tokio::time::Instant;
use ulid::Ulid;

use super::{
    error::StorageError,
    item::{Item, number, text},
    table::{Key, Table},
};
use crate::{domain::time::Timestamp, runtime::retry::Backoff};

/// How often a transaction, or a decision that leads to one, is attempted.
pub(super) const ATTEMPTS: u32 = 5;

/// Writes that happen together or not at all.
#[derive(Debug, Default)]
pub(super) struct Transaction(Vec<TransactWriteItem>);

/// One write of a transaction.
#[derive(Debug)]
pub(super) struct TransactionPart(TransactWriteItem);

/// The outcome of a transaction.
#[derive(Debug)]
pub(super) enum TransactionResult {
    /// All parts are written.
    Committed,
    /// Nothing is written, because the condition of a part does not hold.
    Refused {
        /// The current item of that part, if the part asks for it and the item exists; of several parts, the last.
        item: Option<Item>,
    },
}

impl From<PutBuilder> for TransactionPart {
    fn from(put: PutBuilder) -> Self {
        Self(TransactWriteItem::builder().put(put.build().expect("table and item are set")).build())
    }
}

impl From<UpdateBuilder> for TransactionPart {
    fn from(update: UpdateBuilder) -> Self {
        Self(TransactWriteItem::builder().update(update.build().expect("table, key and expression are set")).build())
    }
}

impl From<DeleteBuilder> for TransactionPart {
    fn from(delete: DeleteBuilder) -> Self {
        Self(TransactWriteItem::builder().delete(delete.build().expect("table and key are set")).build())
    }
}

impl TransactionPart {
    /// Puts an item that must not exist yet.
    pub(super) fn create(table: &Table, key: Key, mut item: Item) -> Self {
        key.add_to(&mut item);
        table.transaction_put(item).condition_expression("attribute_not_exists(pk)").into()
    }

    /// Puts an item that lives for `lifetime`, unless an item with its key is still alive. A refusal returns that item.
    pub(super) fn create_for(table: &Table, key: Key, mut item: Item, lifetime: Duration, now: Timestamp) -> Self {
        let expires_at = now.plus(lifetime);
        key.add_to(&mut item);
        item.extend([("expires_at".to_owned(), text(expires_at)), ("ttl".to_owned(), number(expires_at.as_seconds()))]);
        table
            .transaction_put(item)
            // TTL deletes expired items days later.
            .condition_expression("attribute_not_exists(pk) OR expires_at <= :now")
            .expression_attribute_values(":now", text(now))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .into()
    }
}

impl Transaction {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Adds a part.
    #[must_use]
    pub(super) fn with(mut self, TransactionPart(part): TransactionPart) -> Self {
        self.0.push(part);
        self
    }

    /// Writes all parts or none, and retries while another transaction writes one of the items.
    ///
    /// All attempts, those of the SDK included, carry one token: an attempt that succeeded although its response was
    /// lost is not made a second time, nor does the next attempt fail on its own write.
    /// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html>
    pub(super) async fn commit(self, client: &Client) -> Result<TransactionResult, StorageError> {
        self.commit_with(client, Attempts::default()).await
    }

    /// As [`commit`](Self::commit), for an item that many requests of one user write at once: retries for as long as a
    /// request has time.
    pub(super) async fn commit_until_deadline(self, client: &Client) -> Result<TransactionResult, StorageError> {
        self.commit_with(client, Attempts::for_time(CONTENTION_TIME)).await
    }

    async fn commit_with(self, client: &Client, mut attempts: Attempts) -> Result<TransactionResult, StorageError> {
        let request = client
            .transact_write_items()
            .set_transact_items(Some(self.0))
            .client_request_token(Ulid::generate().to_string());
        loop {
            attempts.next().await?;
            let error = match request.clone().send().await {
                Ok(_) => return Ok(TransactionResult::Committed),
                Err(error) => error,
            };
            // An earlier attempt that timed out here still runs; the next attempt gets its result.
            if error.as_service_error().is_some_and(TransactWriteItemsError::is_transaction_in_progress_exception) {
                continue;
            }
            let reasons = cancellation_reasons(&error);
            let has = |code: &str| reasons.iter().any(|reason| reason.code() == Some(code));
            let refusals = reasons.iter().filter(|reason| reason.code() == Some("ConditionalCheckFailed"));
            let item = refusals.clone().filter_map(CancellationReason::item).next_back().cloned();
            // Beside a conflict, a refusal without an item decides nothing: the item in conflict may be the reason.
            if item.is_some() || (refusals.count() > 0 && !has("TransactionConflict")) {
                return Ok(TransactionResult::Refused { item });
            }
            if !has("TransactionConflict") && !has("ThrottlingError") && !has("ProvisionedThroughputExceeded") {
                return Err(error.into());
            }
        }
    }
}

/// Sends an update of an item that transactions write too. A plain update that meets a transaction fails, and the SDK
/// does not retry it.
pub(super) async fn update_with_retry(
    request: UpdateItemFluentBuilder,
) -> Result<UpdateItemOutput, SdkError<UpdateItemError>> {
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

/// Starts the next attempt: the first at once, the others after a backoff.
///
/// # Errors
///
/// [`StorageError::Contended`] after [`ATTEMPTS`].
pub(super) async fn next_attempt(made: u32) -> Result<u32, StorageError> {
    match made {
        0 => {}
        ATTEMPTS.. => return Err(StorageError::Contended { attempts: made }),
        _ => back_off(made).await,
    }
    Ok(made + 1)
}

/// How long the item of a user is fought for: as long as a request may take, less the last attempt.
/// [`RESPONSE_DEADLINE`](crate::runtime::deadline::RESPONSE_DEADLINE) cuts off what takes longer.
const CONTENTION_TIME: Duration = Duration::from_secs(8);

/// The attempts of one transaction.
#[derive(Debug, Default)]
struct Attempts {
    made: u32,
    /// Until when attempts are made; [`ATTEMPTS`] if there is no such time.
    until: Option<Instant>,
}

impl Attempts {
    fn for_time(time: Duration) -> Self {
        Self { made: 0, until: Some(Instant::now() + time) }
    }

    /// Starts the next attempt, after a backoff.
    ///
    /// # Errors
    ///
    /// [`StorageError::Contended`] when no attempt is left.
    async fn next(&mut self) -> Result<(), StorageError> {
        let Some(until) = self.until else {
            self.made = next_attempt(self.made).await?;
            return Ok(());
        };
        if self.made > 0 {
            back_off(self.made).await;
        }
        if Instant::now() >= until {
            return Err(StorageError::Contended { attempts: self.made });
        }
        self.made += 1;
        Ok(())
    }
}

/// The pause between two attempts of a transaction.
const CONFLICT_BACKOFF: Backoff = Backoff::full_jitter(Duration::from_millis(20), Duration::from_millis(640));

/// Waits before the next attempt.
pub(super) async fn back_off(attempt: u32) {
    CONFLICT_BACKOFF.wait(attempt - 1).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn attempts_for_a_time_end_with_it() {
        let started = Instant::now();
        let mut attempts = Attempts::for_time(CONTENTION_TIME);
        let mut made = 0;
        while attempts.next().await.is_ok() {
            made += 1;
        }
        assert!(made > 4 * ATTEMPTS, "{made}");
        assert!((8..9).contains(&started.elapsed().as_secs()), "{:?}", started.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn attempts_end_after_five() {
        let mut attempt = 0;
        for expected in 1..=ATTEMPTS {
            attempt = next_attempt(attempt).await.expect("an attempt is left");
            assert_eq!(attempt, expected);
        }
        let refused = next_attempt(attempt).await.expect_err("none is left");
        assert!(matches!(refused, StorageError::Contended { attempts: ATTEMPTS }), "{refused:?}");
    }
}
