//! `Globals`, merged into the properties of resources.
//! <https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-specification-template-anatomy-globals.html>

use serde_json::{Map, Value};

use super::{document::Template, value::intrinsic};

impl Template {
    /// Unresolved properties, with the `Globals` of the resource type merged in.
    pub(super) fn merged_properties(&self, resource_type: &str, resource: &Value) -> Value {
        let own = resource.get("Properties").cloned().unwrap_or_else(|| Value::Object(Map::new()));
        match resource_type.strip_prefix("AWS::Serverless::").and_then(|kind| self.globals.get(kind)) {
            Some(globals) => merge(globals, own),
            None => own,
        }
    }
}

/// Merges as SAM does: maps recursively, lists by concatenation; of other values, the local one wins.
fn merge(global: &Value, local: Value) -> Value {
    match (global, local) {
        (Value::Object(global), Value::Object(local)) if intrinsic(global).is_none() && intrinsic(&local).is_none() => {
            let mut merged: Map<_, _> = global.clone();
            for (key, value) in local {
                let value = match global.get(&key) {
                    Some(global) => merge(global, value),
                    None => value,
                };
                merged.insert(key, value);
            }
            Value::Object(merged)
        }
        (Value::Array(global), Value::Array(local)) => global.iter().cloned().chain(local).collect(),
        (_, local) => local,
    }
}
