//! The chats of a user, by last activity.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes};
use futures_util::future::{try_join, try_join_all};

use super::{Chats, Head, Item, PROFILE, STATE, StoreError, assemble, owner, transaction::next_attempt};
use crate::{
    chat::Chat,
    id::{ChatId, TenantId, UserId},
    page::{Order, PageRequest},
};

/// What one `BatchGetItem` takes.
const BATCH: usize = 100;

impl Chats {
    /// A page of a user's chats and how many there are in all.
    ///
    /// The index is read from its end up to the page, so the cost grows with the offset: 1,000 chats to skip are about
    /// 16 read units. It follows the table within a moment: a chat that was just made, or just used, may not have
    /// moved yet.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the table does not answer.
    pub async fn of_user(
        &self,
        tenant: &TenantId,
        user: &UserId,
        page: PageRequest,
    ) -> Result<(Vec<Chat>, u32), StoreError> {
        let page = async {
            let keys = self.keys_by_activity(tenant, user, page).await?;
            try_join_all(keys.chunks(BATCH / 2).map(|keys| self.read_chats(tenant, keys))).await
        };
        let (chats, total) = try_join(page, self.chat_count(tenant, user)).await?;
        Ok((chats.into_iter().flatten().collect(), total))
    }

    async fn keys_by_activity(
        &self,
        tenant: &TenantId,
        user: &UserId,
        page: PageRequest,
    ) -> Result<Vec<ChatId>, StoreError> {
        let mut skip = page.offset as usize;
        let mut chats = Vec::new();
        let mut after = None;
        loop {
            let wanted = skip.saturating_add(page.limit as usize - chats.len());
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
                .limit(i32::try_from(wanted).unwrap_or(i32::MAX))
                .set_exclusive_start_key(after)
                .send()
                .await?;
            let items = output.items.unwrap_or_default();
            let skipped = skip.min(items.len());
            skip -= skipped;
            chats.extend(items.iter().skip(skipped).filter_map(|item| chat_of(tenant, item)));
            after = output.last_evaluated_key;
            if after.is_none() || chats.len() >= page.limit as usize {
                return Ok(chats);
            }
        }
    }

    /// Reads chats in the order of `ids`; one that was deleted meanwhile is left out.
    async fn read_chats(&self, tenant: &TenantId, ids: &[ChatId]) -> Result<Vec<Chat>, StoreError> {
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

fn chat_of(tenant: &TenantId, item: &Item) -> Option<ChatId> {
    let pk = item.get("pk")?.as_s().ok()?;
    ChatId::parse(pk.strip_prefix(tenant.as_str())?.strip_prefix('#')?)
}
