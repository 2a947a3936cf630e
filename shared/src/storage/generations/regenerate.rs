//! Starting a regeneration.

use super::repository::GenerationRepository;
use crate::{
    domain::{
        generation::GenerationRequest,
        id::{ChatId, TenantId},
        message::Message,
        time::Timestamp,
    },
    storage::{
        error::StorageError,
        item,
        keys::chat_key,
        records::{generation::Generation, message::MessageRecord},
        transaction::{Transaction, TransactionPart, TransactionResult},
    },
};

/// The outcome of a command to regenerate.
#[derive(Debug)]
pub enum RegenerateResult {
    /// The draft is stored, and the caller owns its generation.
    Started(Box<Generation>),
    /// A generation runs in the chat, or another message was appended meanwhile.
    Busy,
    /// The chat does not exist.
    NoChat,
}

impl GenerationRepository {
    /// Starts a draft that is to replace the chat's last assistant message, if no generation runs in the chat.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails.
    pub async fn regenerate(
        &self,
        tenant: &TenantId,
        chat: &ChatId,
        old: &Message,
        request: GenerationRequest<'_>,
        now: Timestamp,
    ) -> Result<RegenerateResult, StorageError> {
        let draft = MessageRecord::draft_of(old, request, now);
        let key = chat_key(tenant, chat, &draft.sk());
        let transaction = Transaction::new()
            .with(self.states.start_regeneration(tenant, chat, &draft, now)?)
            .with(TransactionPart::create(&self.table, key, item::to_item(&draft)?));
        Ok(match transaction.commit(self.table.client()).await? {
            TransactionResult::Committed => {
                RegenerateResult::Started(Box::new(Generation::of(&draft).expect("a new draft has a lease")))
            }
            TransactionResult::Refused { item: Some(state) } if !state.contains_key("deleted_at") => {
                RegenerateResult::Busy
            }
            TransactionResult::Refused { .. } => RegenerateResult::NoChat,
        })
    }
}
