//! What others want of a running answer. They write it into the chat's state; the streamer, who alone posts to sockets
//! about its answer, looks there at least once a second.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::{operation::update_item::builders::UpdateItemFluentBuilder, types::AttributeValue};
use serde::{Deserialize, Serialize};

use super::{Chats, GenerationLease, RunningGeneration, StorageError, item, state_key, transaction};
use crate::{
    domain::{
        id::{ChatId, ConnectionId, MessageId, TenantId},
        time::Timestamp,
    },
    storage::unless_refused,
};

/// A socket's wish to join a running answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResumeCommand {
    /// The socket.
    pub connection_id: ConnectionId,
    /// How much of the answer it has, in bytes of UTF-8.
    pub offset: usize,
    /// Tells this wish from an earlier one of the same socket.
    nonce: String,
}

/// What a streamer finds when it looks at its chat.
#[derive(Debug)]
pub enum CommandPoll {
    /// The chat was deleted.
    Deleted,
    /// The answer is to go on, unless a socket has had enough.
    Running {
        /// The socket that has had enough.
        cancelled_by: Option<ConnectionId>,
        /// The sockets that want to join.
        resumes: Vec<ResumeCommand>,
    },
}

#[derive(Deserialize)]
struct Glimpse {
    #[serde(default)]
    deleted_at: Option<Timestamp>,
    #[serde(default)]
    streams: BTreeMap<String, RunningGeneration>,
}

impl ResumeCommand {
    /// A socket's wish to have an answer from `offset` on.
    #[must_use]
    pub fn new(connection_id: ConnectionId, offset: usize) -> Self {
        Self { connection_id, offset, nonce: format!("{:016x}", rand::random::<u64>()) }
    }
}

impl Chats {
    /// Asks the streamer of an answer to end it. False when the answer does not run.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when the table does not answer.
    pub async fn request_cancel(
        &self,
        tenant: &TenantId,
        chat: &ChatId,
        answer: &MessageId,
        by: &ConnectionId,
    ) -> Result<bool, StorageError> {
        let ask = self
            .ask(tenant, chat, answer)
            .update_expression("SET streams.#answer.cancelled_by = :by")
            .expression_attribute_values(":by", AttributeValue::S(by.to_string()));
        Ok(unless_refused(transaction::update(ask).await)?.is_some())
    }

    /// Asks the streamer of an answer to take a socket on. False when the answer does not run.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when the table does not answer.
    pub async fn request_resume(
        &self,
        tenant: &TenantId,
        chat: &ChatId,
        answer: &MessageId,
        resume: &ResumeCommand,
    ) -> Result<bool, StorageError> {
        let ask = self
            .ask(tenant, chat, answer)
            .update_expression("SET streams.#answer.resumes.#socket = :resume")
            .expression_attribute_names("#socket", resume.connection_id.as_str())
            .expression_attribute_values(":resume", serde_dynamo::to_attribute_value(resume)?);
        Ok(unless_refused(transaction::update(ask).await)?.is_some())
    }

    fn ask(&self, tenant: &TenantId, chat: &ChatId, answer: &MessageId) -> UpdateItemFluentBuilder {
        self.client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(state_key(tenant, chat)))
            .condition_expression("attribute_exists(streams.#answer) AND attribute_not_exists(deleted_at)")
            .expression_attribute_names("#answer", answer.as_str())
    }

    /// The record of a running answer; `None` when it does not run (any more).
    ///
    /// # Errors
    ///
    /// [`StorageError`] when the table does not answer.
    pub async fn running(
        &self,
        tenant: &TenantId,
        chat: &ChatId,
        answer: &MessageId,
    ) -> Result<Option<RunningGeneration>, StorageError> {
        Ok(self.state(tenant, chat).await?.and_then(|mut state| state.streams.remove(answer.as_str())))
    }
}

impl RunningGeneration {
    /// Whether this wish still waits to be taken on.
    #[must_use]
    pub fn has_pending(&self, resume: &ResumeCommand) -> bool {
        self.resumes.get(resume.connection_id.as_str()) == Some(resume)
    }
}

impl GenerationLease {
    /// Looks what others want of the answer, by a read that costs half and may be a moment late.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when the table does not answer.
    pub async fn poll_commands(&self) -> Result<CommandPoll, StorageError> {
        let glimpse = match self.glimpse(false).await? {
            Some(glimpse) if glimpse.deleted_at.is_none() => Some(glimpse),
            // Perhaps the read was older than the chat.
            _ => self.glimpse(true).await?.filter(|glimpse| glimpse.deleted_at.is_none()),
        };
        let Some(mut glimpse) = glimpse else { return Ok(CommandPoll::Deleted) };
        let record = glimpse.streams.remove(self.generation.message_id.as_str());
        let (cancelled_by, resumes) = record.map(|record| (record.cancelled_by, record.resumes)).unwrap_or_default();
        Ok(CommandPoll::Running { cancelled_by, resumes: resumes.into_values().collect() })
    }

    /// Takes a wish off the chat's state, unless the socket has wished anew.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when the table does not answer.
    pub async fn acknowledge(&self, resume: &ResumeCommand) -> Result<(), StorageError> {
        let update = self
            .chats
            .client
            .update_item()
            .table_name(&self.chats.table)
            .set_key(Some(state_key(&self.tenant, &self.chat)))
            .update_expression("REMOVE streams.#answer.resumes.#socket")
            .condition_expression("streams.#answer.resumes.#socket.nonce = :nonce")
            .expression_attribute_names("#answer", self.generation.message_id.as_str())
            .expression_attribute_names("#socket", resume.connection_id.as_str())
            .expression_attribute_values(":nonce", AttributeValue::S(resume.nonce.clone()));
        unless_refused(transaction::update(update).await).map(drop)
    }

    async fn glimpse(&self, consistent: bool) -> Result<Option<Glimpse>, StorageError> {
        let output = self
            .chats
            .client
            .get_item()
            .table_name(&self.chats.table)
            .set_key(Some(state_key(&self.tenant, &self.chat)))
            .projection_expression("v, deleted_at, streams.#answer")
            .expression_attribute_names("#answer", self.generation.message_id.as_str())
            .consistent_read(consistent)
            .send()
            .await?;
        output.item.map(item::from_item).transpose()
    }
}
