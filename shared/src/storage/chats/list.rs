//! The chats of a user, by last activity.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes};
use futures_util::future::try_join_all;

use super::{Chats, Head, Item, PROFILE, STATE, StorageError, assemble, chat_of, owner, transaction::next_attempt};
use crate::{
    domain::{
        chat::Chat,
        id::{ChatId, TenantId, UserId},
        pagination::{Order, PageRequest, fitting_items},
    },
    storage::maintenance_queue::After,
};

/// What one `BatchGetItem` takes.
const BATCH: usize = 100;

/// A part of a user's chats.
#[derive(Clone, Debug, Default)]
pub struct Listed {
    /// The chats, in the order that was asked for.
    pub chats: Vec<Chat>,
    /// Whether the list goes on after them.
    pub has_more: bool,
}

/// A part of all chats of a user.
#[derive(Debug)]
pub struct UserChats {
    /// The chats, the longest unused first.
    pub ids: Vec<ChatId>,
    /// Where to go on.
    pub next: Option<After>,
}

impl Chats {
    /// The chats of a user by their ids, for whoever wants them all. The index follows the table a moment later.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when the table does not answer.
    pub async fn ids_of_user(
        &self,
        tenant: &TenantId,
        user: &UserId,
        after: Option<After>,
    ) -> Result<UserChats, StorageError> {
        let output = self
            .client
            .query()
            .table_name(&self.table)
            .index_name("by_owner")
            .key_condition_expression("#owner = :owner")
            .expression_attribute_names("#owner", "owner")
            .expression_attribute_values(":owner", AttributeValue::S(owner(tenant, user)))
            .limit(i32::try_from(BATCH).unwrap_or(i32::MAX))
            .set_exclusive_start_key(after.map(|after| after.0))
            .send()
            .await?;
        let ids = output.items.unwrap_or_default().iter().filter_map(|item| chat_of(tenant, item)).collect();
        Ok(UserChats { ids, next: output.last_evaluated_key.map(After) })
    }

    /// A page of a user's chats.
    ///
    /// The index is read from its end up to the page, so the cost grows with the offset: 1,000 chats to skip are about
    /// 16 read units. It follows the table within a moment: a chat that was just made, or just used, may not have
    /// moved yet. One that was just deleted may still hold its place, but is not shown.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when the table does not answer.
    pub async fn of_user(&self, tenant: &TenantId, user: &UserId, page: PageRequest) -> Result<Listed, StorageError> {
        let mut keys = self.keys_by_activity(tenant, user, page).await?;
        let goes_on = keys.len() > page.limit as usize;
        keys.truncate(page.limit as usize);
        let read = try_join_all(keys.chunks(BATCH / 2).map(|keys| self.read_chats(tenant, keys))).await?;
        let mut chats: Vec<Chat> = read.into_iter().flatten().collect();
        let read = chats.len();
        let fitting_items = fitting_items(&chats);
        chats.truncate(fitting_items);
        Ok(Listed { chats, has_more: goes_on || fitting_items < read })
    }

    /// The chats of a page by the index, and the one after it if there is one.
    async fn keys_by_activity(
        &self,
        tenant: &TenantId,
        user: &UserId,
        page: PageRequest,
    ) -> Result<Vec<ChatId>, StorageError> {
        let wanted = page.limit as usize + 1;
        let mut skip = page.offset as usize;
        let mut chats = Vec::new();
        let mut after = None;
        loop {
            let limit = skip.saturating_add(wanted - chats.len());
            let output = self
                .client
                .query()
                .table_name(&self.table)
                .index_name("by_owner")
                .key_condition_expression("#owner = :owner")
                .expression_attribute_names("#owner", "owner")
                .expression_attribute_values(":owner", AttributeValue::S(owner(tenant, user)))
                .projection_expression("pk")
                .scan_index_forward(page.order == Order::Asc)
                .limit(i32::try_from(limit).unwrap_or(i32::MAX))
                .set_exclusive_start_key(after)
                .send()
                .await?;
            let items = output.items.unwrap_or_default();
            let skipped = skip.min(items.len());
            skip -= skipped;
            chats.extend(items.iter().skip(skipped).filter_map(|item| chat_of(tenant, item)));
            after = output.last_evaluated_key;
            if after.is_none() || chats.len() >= wanted {
                return Ok(chats);
            }
        }
    }

    /// Reads chats in the order of `ids`; one that was deleted meanwhile is left out.
    async fn read_chats(&self, tenant: &TenantId, ids: &[ChatId]) -> Result<Vec<Chat>, StorageError> {
        let keys = ids.iter().flat_map(|id| [PROFILE, STATE].map(|sk| super::chat_key(tenant, id, sk))).collect();
        let request = KeysAndAttributes::builder().set_keys(Some(keys)).consistent_read(true).build();
        let mut pending = Some(HashMap::from([(self.table.clone(), request.expect("the keys are set"))]));
        let mut items: HashMap<String, Vec<Item>> = HashMap::new();
        let mut attempt = 0;
        while let Some(request) = pending.take().filter(|request| !request.is_empty()) {
            attempt = next_attempt(attempt).await?;
            let output = self.client.batch_get_item().set_request_items(Some(request)).send().await?;
            for item in output.responses.into_iter().flat_map(HashMap::into_values).flatten() {
                if let Some(id) = chat_of(tenant, &item) {
                    items.entry(id.to_string()).or_default().push(item);
                }
            }
            pending = output.unprocessed_keys;
        }
        let mut chats = Vec::with_capacity(ids.len());
        for id in ids {
            let Some(mut items) = items.remove(id.as_str()) else {
                continue;
            };
            if let Some(head) = Head::take(&mut items)? {
                chats.push(assemble(id.clone(), head.profile, &head.state)?);
            }
        }
        Ok(chats)
    }
}
