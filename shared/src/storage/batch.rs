//! Writes of many items, none of which depends on another.

use aws_sdk_dynamodb::types::WriteRequest;

use super::{
    error::StorageError,
    table::{Table, WRITE_BATCH},
    transaction::next_attempt,
};

/// Sends puts and deletes, and again those that DynamoDB leaves out, because the table lacks capacity.
pub(super) async fn write_all(table: &Table, requests: &[WriteRequest]) -> Result<(), StorageError> {
    for batch in requests.chunks(WRITE_BATCH) {
        let mut left = batch.to_vec();
        let mut attempt = 0;
        while !left.is_empty() {
            attempt = next_attempt(attempt).await?;
            left = table.write_batch(left).await?;
        }
    }
    Ok(())
}
