//! Changing title, metadata and configuration of a chat.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use futures_util::future::try_join;
use serde::Serialize;

use super::repository::ChatRepository;
use crate::{
    domain::{
        chat::{Chat, ChatChange},
        id::{ChatId, TenantId},
        time::Timestamp,
    },
    storage::{
        conditional::unless_refused,
        error::StorageError,
        item::{self, to_value},
        keys::{PROFILE, chat_key},
        records::chat::{ChatRecord, ProfileRecord},
        transaction::update_with_retry,
    },
};

impl ChatRepository {
    /// Changes a chat and returns it; `None` when the tenant has no such chat.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails.
    pub async fn update(
        &self,
        tenant: &TenantId,
        chat: &ChatId,
        change: ChatChange,
        now: Timestamp,
    ) -> Result<Option<Chat>, StorageError> {
        let assignments = Assignments::of(change, now)?;
        let update = self
            .table
            .update(chat_key(tenant, chat, PROFILE))
            .update_expression(assignments.expression())
            .condition_expression("attribute_exists(pk)")
            .set_expression_attribute_names(Some(assignments.names))
            .set_expression_attribute_values(Some(assignments.values))
            .return_values(ReturnValue::AllNew);
        let updated = async {
            let output = unless_refused(update_with_retry(update).await)?;
            output.and_then(|output| output.attributes).map(item::from_item::<ProfileRecord>).transpose()
        };
        let (profile, state) = try_join(updated, self.states.get(tenant, chat)).await?;
        let (Some(profile), Some(state)) = (profile, state) else { return Ok(None) };
        ChatRecord { profile, state }.into_chat(chat.clone()).map(Some)
    }
}

/// The assignments of an update expression, with a placeholder for each part of each path: many words are reserved.
#[derive(Default)]
struct Assignments {
    expressions: Vec<String>,
    names: HashMap<String, String>,
    values: HashMap<String, AttributeValue>,
}

impl Assignments {
    fn of(change: ChatChange, now: Timestamp) -> Result<Self, StorageError> {
        let config = change.config;
        let mut assignments = Self::default();
        assignments.set(&["updated_at"], Some(now))?;
        assignments.set(&["title"], change.title)?;
        assignments.set(&["metadata"], change.metadata.map(|metadata| metadata.to_json()).transpose()?)?;
        assignments.set(&["config", "agent"], config.agent)?;
        assignments.set(&["config", "model"], config.model)?;
        assignments.set(&["config", "system_prompt"], config.system_prompt)?;
        assignments.set(&["config", "temperature"], config.temperature)?;
        assignments.set(&["config", "max_tokens"], config.max_tokens)?;
        Ok(assignments)
    }

    fn expression(&self) -> String {
        format!("SET {}", self.expressions.join(", "))
    }

    /// Assigns a value, if there is one.
    fn set<T: Serialize>(&mut self, path: &[&str], value: Option<T>) -> Result<(), StorageError> {
        let Some(value) = value else { return Ok(()) };
        let placeholders: Vec<String> = path.iter().map(|part| format!("#{part}")).collect();
        self.names.extend(placeholders.iter().cloned().zip(path.iter().map(|part| (*part).to_owned())));
        let placeholder = format!(":{}", path.join("_"));
        self.expressions.push(format!("{} = {placeholder}", placeholders.join(".")));
        self.values.insert(placeholder, to_value(value)?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{agent_name::AgentName, chat::ConfigChange};

    #[test]
    fn only_changed_fields_are_assigned_and_null_clears() {
        let config = ConfigChange { agent: Some(Some(AgentName::Echo)), model: Some(None), ..ConfigChange::default() };
        let change = ChatChange { config, ..ChatChange::default() };
        let assignments = Assignments::of(change, Timestamp::from_millis(0)).expect("it fits");
        assert_eq!(
            assignments.expression(),
            "SET #updated_at = :updated_at, #config.#agent = :config_agent, #config.#model = :config_model"
        );
        assert_eq!(assignments.values[":config_agent"], AttributeValue::S("echo".to_owned()));
        assert_eq!(assignments.values[":config_model"], AttributeValue::Null(true));
    }
}
