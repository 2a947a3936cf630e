//! Counts calls on DynamoDB and the capacity units that DynamoDB reports for them.

use aws_sdk_dynamodb::{
    config::{
        ConfigBag, Intercept, RuntimeComponents,
        interceptors::{
            BeforeSerializationInterceptorContextMut, BeforeTransmitInterceptorContextRef,
            FinalizerInterceptorContextRef,
        },
    },
    error::{BoxError, ProvideErrorMetadata},
    operation::{
        batch_get_item::{BatchGetItemError, BatchGetItemInput, BatchGetItemOutput},
        batch_write_item::{BatchWriteItemError, BatchWriteItemInput, BatchWriteItemOutput},
        delete_item::{DeleteItemError, DeleteItemInput, DeleteItemOutput},
        get_item::{GetItemError, GetItemInput, GetItemOutput},
        put_item::{PutItemError, PutItemInput, PutItemOutput},
        query::{QueryError, QueryInput, QueryOutput},
        scan::{ScanError, ScanInput, ScanOutput},
        transact_write_items::{TransactWriteItemsError, TransactWriteItemsInput, TransactWriteItemsOutput},
        update_item::{UpdateItemError, UpdateItemInput, UpdateItemOutput},
    },
    types::{ConsumedCapacity, ReturnConsumedCapacity::Total},
};

use super::activity::count;

/// The error codes of throttled calls.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html>
const THROTTLED: [&str; 3] = ["ProvisionedThroughputExceededException", "RequestLimitExceeded", "ThrottlingException"];

/// The cancellation reasons of throttled transactions.
const THROTTLED_REASONS: [&str; 2] = ["ProvisionedThroughputExceeded", "ThrottlingError"];

/// Counts the operations, attempts and capacity units of a DynamoDB client in the current activity. DynamoDB reports no
/// units for a write whose condition failed, although it bills them.
#[derive(Debug)]
pub struct CountCapacity;

/// Requests the consumed capacity if the input has one of these types.
macro_rules! request_total {
    ($input:expr, $($kind:ty),+) => {
        $(if let Some(input) = $input.downcast_mut::<$kind>() {
            input.return_consumed_capacity = Some(Total);
        })+
    };
}

/// The capacity consumed, if the output has one of these types.
macro_rules! units {
    ($output:expr, $($kind:ty),+) => {
        0.0 $(+ $output.downcast_ref::<$kind>().map_or(0.0, |output| total(output.consumed_capacity())))+
    };
}

/// The error code, if the error has one of these types.
macro_rules! code {
    ($error:expr, $($kind:ty),+) => {
        None $(.or_else(|| $error.downcast_ref::<$kind>()?.code()))+
    };
}

impl Intercept for CountCapacity {
    fn name(&self) -> &'static str {
        "CountCapacity"
    }

    /// Called once per operation.
    fn modify_before_serialization(
        &self,
        context: &mut BeforeSerializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let input = context.input_mut();
        request_total!(input, BatchGetItemInput, GetItemInput, QueryInput, ScanInput);
        request_total!(
            input,
            BatchWriteItemInput,
            DeleteItemInput,
            PutItemInput,
            TransactWriteItemsInput,
            UpdateItemInput
        );
        count(|used| used.operations += 1);
        Ok(())
    }

    /// Called once per attempt.
    fn read_before_transmit(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        count(|used| used.calls += 1);
        Ok(())
    }

    /// Called once per attempt.
    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        match context.output_or_error() {
            Some(Ok(output)) => {
                let read = units!(output, BatchGetItemOutput, GetItemOutput, QueryOutput, ScanOutput);
                let written = units!(
                    output,
                    BatchWriteItemOutput,
                    DeleteItemOutput,
                    PutItemOutput,
                    TransactWriteItemsOutput,
                    UpdateItemOutput
                );
                count(|used| {
                    used.read_units += read;
                    used.write_units += written;
                });
            }
            Some(Err(error)) => {
                let Some(error) = error.as_operation_error() else { return Ok(()) };
                let code = code!(
                    error,
                    BatchGetItemError,
                    BatchWriteItemError,
                    DeleteItemError,
                    GetItemError,
                    PutItemError,
                    QueryError,
                    ScanError,
                    TransactWriteItemsError,
                    UpdateItemError
                );
                let throttled = code.is_some_and(|code| THROTTLED.contains(&code))
                    || error.downcast_ref().is_some_and(transaction_was_throttled);
                count(|used| used.throttles += u64::from(throttled));
            }
            None => {}
        }
        Ok(())
    }
}

fn total<'a>(consumed: impl IntoIterator<Item = &'a ConsumedCapacity>) -> f64 {
    consumed.into_iter().filter_map(ConsumedCapacity::capacity_units).sum()
}

fn transaction_was_throttled(error: &TransactWriteItemsError) -> bool {
    let TransactWriteItemsError::TransactionCanceledException(cancelled) = error else { return false };
    let codes = cancelled.cancellation_reasons().iter().filter_map(|reason| reason.code());
    codes.into_iter().any(|code| THROTTLED_REASONS.contains(&code))
}
