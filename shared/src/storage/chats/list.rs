//! The chats of a user, by last activity.

use std::collections::HashMap;

use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use futures_util::future::try_join_all;

use super::repository::ChatRepository;
use crate::{
    domain::{
        chat::Chat,
        id::{ChatId, TenantId, UserId},
        pagination::{Order, PageRequest, fitting_items},
    },
    storage::{
        error::StorageError,
        item::{Item, text},
        keys::{PROFILE, STATE, chat_key, chat_of, owner},
        records::chat::ChatRecord,
        table::{IndexCursor, READ_BATCH},
        transaction::next_attempt,
    },
};

/// The index of a user's chats by last activity.
const INDEX: &str = "by_owner";

/// A page of a user's chats.
#[derive(Clone, Debug, Default)]
pub struct ChatList {
    /// The chats, in the requested order.
    pub chats: Vec<Chat>,
    /// Whether more chats follow.
    pub has_more: bool,
}

/// A page of the ids of a user's chats.
#[derive(Debug)]
pub struct ChatIdPage {
    /// The ids, by last activity, oldest first.
    pub ids: Vec<ChatId>,
    /// Where the next page starts.
    pub next: Option<IndexCursor>,
}

impl ChatRepository {
    /// Lists the ids of all chats of a user, page by page. The index follows the table a moment later.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails.
    pub async fn list_ids(
        &self,
        tenant: &TenantId,
        user: &UserId,
        after: Option<IndexCursor>,
    ) -> Result<ChatIdPage, StorageError> {
        let output = self
            .query_by_owner(tenant, user)
            .limit(i32::try_from(READ_BATCH).unwrap_or(i32::MAX))
            .set_exclusive_start_key(IndexCursor::into_start_key(after))
            .send()
            .await?;
        let ids = output.items.unwrap_or_default().iter().filter_map(|item| chat_of(tenant, item)).collect();
        Ok(ChatIdPage { ids, next: IndexCursor::after(output.last_evaluated_key) })
    }

    /// Lists a page of a user's chats.
    ///
    /// The index is read from its start up to the page, so the cost grows with the offset: 1,000 chats before it take
    /// about 16 read units. The index follows the table a moment later: a new chat may be missing, and one with a new
    /// message may be out of order. A deleted chat is never listed, though it may shorten the page.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails.
    pub async fn list(&self, tenant: &TenantId, user: &UserId, page: PageRequest) -> Result<ChatList, StorageError> {
        let limit = page.limit as usize;
        let mut ids = self.ids_by_activity(tenant, user, page).await?;
        let has_next = ids.len() > limit;
        ids.truncate(limit);
        let read = try_join_all(ids.chunks(READ_BATCH / 2).map(|ids| self.get_all(tenant, ids))).await?;
        let mut chats: Vec<Chat> = read.into_iter().flatten().collect();
        let read = chats.len();
        let fitting = fitting_items(&chats);
        chats.truncate(fitting);
        Ok(ChatList { chats, has_more: has_next || fitting < read })
    }

    /// The ids of a page, and the first id after it.
    async fn ids_by_activity(
        &self,
        tenant: &TenantId,
        user: &UserId,
        page: PageRequest,
    ) -> Result<Vec<ChatId>, StorageError> {
        let wanted = page.limit as usize + 1;
        let mut skip = page.offset as usize;
        let mut ids = Vec::new();
        let mut after = None;
        loop {
            let limit = skip.saturating_add(wanted - ids.len());
            let output = self
                .query_by_owner(tenant, user)
                .projection_expression("pk")
                .scan_index_forward(page.order == Order::Asc)
                .limit(i32::try_from(limit).unwrap_or(i32::MAX))
                .set_exclusive_start_key(after)
                .send()
                .await?;
            let items = output.items.unwrap_or_default();
            let skipped = skip.min(items.len());
            skip -= skipped;
            ids.extend(items.iter().skip(skipped).filter_map(|item| chat_of(tenant, item)));
            after = output.last_evaluated_key;
            if after.is_none() || ids.len() >= wanted {
                return Ok(ids);
            }
        }
    }

    fn query_by_owner(&self, tenant: &TenantId, user: &UserId) -> QueryFluentBuilder {
        self.table
            .query_index(INDEX)
            // `owner` is a reserved word in expressions.
            .key_condition_expression("#owner = :owner")
            .expression_attribute_names("#owner", "owner")
            .expression_attribute_values(":owner", text(owner(tenant, user)))
    }

    /// Reads chats in the order of their ids; a chat that was deleted meanwhile is left out.
    async fn get_all(&self, tenant: &TenantId, ids: &[ChatId]) -> Result<Vec<Chat>, StorageError> {
        let mut keys: Vec<_> = ids.iter().flat_map(|id| [PROFILE, STATE].map(|sk| chat_key(tenant, id, sk))).collect();
        let mut items: HashMap<ChatId, Vec<Item>> = HashMap::new();
        let mut attempt = 0;
        while !keys.is_empty() {
            attempt = next_attempt(attempt).await?;
            let (found, left) = self.table.read_batch(keys).await?;
            for item in found {
                if let Some(id) = chat_of(tenant, &item) {
                    items.entry(id).or_default().push(item);
                }
            }
            keys = left;
        }
        let mut chats = Vec::with_capacity(ids.len());
        for id in ids {
            let Some(mut items) = items.remove(id) else { continue };
            if let Some(record) = ChatRecord::take(&mut items)? {
                chats.push(record.into_chat(id.clone())?);
            }
        }
        Ok(chats)
    }
}
