//! Changing what a caller may change of a chat.

use std::collections::HashMap;

use aws_sdk_dynamodb::{
    operation::update_item::UpdateItemError,
    types::{AttributeValue, ReturnValue},
};
use futures_util::future::try_join;
use serde::Serialize;

use super::{Chats, PROFILE, StorageError, assemble, chat_key, item, transaction};
use crate::domain::{
    chat::{Chat, ChatChange},
    id::{ChatId, TenantId},
    time::Timestamp,
};

impl Chats {
    /// Changes a chat; `None` when the tenant has no such chat.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when the table does not answer.
    pub async fn update(
        &self,
        tenant: &TenantId,
        chat: &ChatId,
        change: ChatChange,
        now: Timestamp,
    ) -> Result<Option<Chat>, StorageError> {
        let config = change.config;
        let mut assignments = Assignments::default();
        assignments.set(&["updated_at"], Some(now))?;
        assignments.set(&["title"], change.title)?;
        assignments.set(&["metadata"], change.metadata.map(|metadata| metadata.to_json()).transpose()?)?;
        assignments.set(&["config", "agent"], config.agent)?;
        assignments.set(&["config", "model"], config.model)?;
        assignments.set(&["config", "system_prompt"], config.system_prompt)?;
        assignments.set(&["config", "temperature"], config.temperature)?;
        assignments.set(&["config", "max_tokens"], config.max_tokens)?;
        let update = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(chat_key(tenant, chat, PROFILE)))
            .update_expression(format!("SET {}", assignments.expressions.join(", ")))
            .condition_expression("attribute_exists(pk)")
            .set_expression_attribute_names(Some(assignments.names))
            .set_expression_attribute_values(Some(assignments.values))
            .return_values(ReturnValue::AllNew);
        let updated = async {
            match transaction::update(update).await {
                Ok(output) => Ok(output.attributes),
                Err(error) => match error.as_service_error() {
                    Some(UpdateItemError::ConditionalCheckFailedException(_)) => Ok(None),
                    _ => Err(StorageError::from(error)),
                },
            }
        };
        let (Some(profile), Some(state)) = try_join(updated, self.state(tenant, chat)).await? else { return Ok(None) };
        assemble(chat.clone(), item::from_item(profile)?, &state).map(Some)
    }
}

/// The assignments of an update expression, each part of each path behind a placeholder: many words are reserved.
#[derive(Default)]
struct Assignments {
    expressions: Vec<String>,
    names: HashMap<String, String>,
    values: HashMap<String, AttributeValue>,
}

impl Assignments {
    /// Assigns a value, if there is one.
    fn set<T: Serialize>(&mut self, path: &[&str], value: Option<T>) -> Result<(), StorageError> {
        let Some(value) = value else { return Ok(()) };
        let placeholders: Vec<String> = path.iter().map(|part| format!("#{part}")).collect();
        self.names.extend(placeholders.iter().cloned().zip(path.iter().map(|part| (*part).to_owned())));
        let placeholder = format!(":{}", path.join("_"));
        self.expressions.push(format!("{} = {placeholder}", placeholders.join(".")));
        self.values.insert(placeholder, serde_dynamo::to_attribute_value(value)?);
        Ok(())
    }
}
