//! Stream commands: what other invocations ask of a generation's owner. They write into the chat's state, which the owner
//! polls at least once a second.

use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;

use super::repository::GenerationRepository;
use crate::{
    domain::id::{ChatId, ConnectionId, MessageId, TenantId},
    storage::{
        conditional::unless_refused,
        error::StorageError,
        item::{text, to_value},
        keys::state_key,
        records::generation::ResumeCommand,
        transaction::update_with_retry,
    },
};

impl GenerationRepository {
    /// Asks the owner to cancel. Returns false when the generation does not run.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails.
    pub async fn request_cancel(
        &self,
        tenant: &TenantId,
        chat: &ChatId,
        message: &MessageId,
        by: &ConnectionId,
    ) -> Result<bool, StorageError> {
        let update = self
            .update_running(tenant, chat, message)
            .update_expression("SET generations.#message.cancelled_by = :by")
            .expression_attribute_values(":by", text(by));
        Ok(unless_refused(update_with_retry(update).await)?.is_some())
    }

    /// Asks the owner to resume for a connection. Returns false when the generation does not run.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails.
    pub async fn request_resume(
        &self,
        tenant: &TenantId,
        chat: &ChatId,
        message: &MessageId,
        resume: &ResumeCommand,
    ) -> Result<bool, StorageError> {
        let update = self
            .update_running(tenant, chat, message)
            .update_expression("SET generations.#message.resumes.#connection = :resume")
            .expression_attribute_names("#connection", resume.connection_id.as_str())
            .expression_attribute_values(":resume", to_value(resume)?);
        Ok(unless_refused(update_with_retry(update).await)?.is_some())
    }

    fn update_running(&self, tenant: &TenantId, chat: &ChatId, message: &MessageId) -> UpdateItemFluentBuilder {
        self.table
            .update(state_key(tenant, chat))
            .condition_expression("attribute_exists(generations.#message) AND attribute_not_exists(deleted_at)")
            .expression_attribute_names("#message", message.as_str())
    }
}
