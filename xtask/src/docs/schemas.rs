//! JSON Schemas of the types that the API sends and receives.

use schemars::{
    JsonSchema,
    generate::{SchemaGenerator, SchemaSettings},
};
use serde_json::{Map, Value, json};
use shared::domain::error::Code;

/// Where OpenAPI and AsyncAPI documents keep their schemas.
const PATH: &str = "#/components/schemas/";

/// Collects the schemas that a document refers to.
pub(super) struct Schemas {
    sent: SchemaGenerator,
    received: SchemaGenerator,
}

impl Schemas {
    pub(super) fn new() -> Self {
        let settings = SchemaSettings::draft2020_12().with(|settings| {
            settings.definitions_path = "/components/schemas".into();
            settings.meta_schema = None;
        });
        Self {
            sent: settings.clone().for_serialize().into_generator(),
            received: settings.for_deserialize().into_generator(),
        }
    }

    /// A reference to a type that the API sends.
    pub(super) fn sent<T: JsonSchema>(&mut self) -> Value {
        self.sent.subschema_for::<T>().into()
    }

    /// A reference to a type that clients send.
    pub(super) fn received<T: JsonSchema>(&mut self) -> Value {
        self.received.subschema_for::<T>().into()
    }

    /// All schemas that were referred to, by name. Objects allow no other fields. A type that deserializes from another
    /// shape than it serializes to appears twice, the second time as `New…`.
    pub(super) fn finish(mut self) -> Map<String, Value> {
        let mut all = self.sent.take_definitions(true);
        let received = self.received.take_definitions(true);
        let differs = |(name, schema): &(&String, &Value)| all.get(*name).is_some_and(|sent| sent != *schema);
        let renamed: Vec<String> = received.iter().filter(differs).map(|(name, _)| name.clone()).collect();
        all.values_mut().for_each(never_null);
        for (name, mut schema) in received {
            for other in &renamed {
                rename(&mut schema, other);
            }
            let name = if renamed.contains(&name) { format!("New{name}") } else { name };
            all.insert(name, schema);
        }
        all.values_mut().for_each(finish);
        all
    }
}

/// A reference to a schema of the document.
pub(super) fn reference(name: &str) -> Value {
    json!({ "$ref": format!("{PATH}{name}") })
}

/// The name of the schema that a reference points to.
pub(super) fn referred(reference: &Value) -> Option<&str> {
    reference["$ref"].as_str()?.strip_prefix(PATH)
}

/// Removes the codes from the schema of error codes that `keep` rejects.
pub(super) fn keep_codes(schemas: &mut Map<String, Value>, keep: impl Fn(Code) -> bool) {
    let kept: Vec<&str> = Code::ALL.into_iter().filter(|code| keep(*code)).map(Code::as_str).collect();
    if let Some(codes) = schemas.get_mut("Code").and_then(|schema| schema["oneOf"].as_array_mut()) {
        codes.retain(|code| code["const"].as_str().is_some_and(|code| kept.contains(&code)));
    }
}

fn rename(schema: &mut Value, name: &str) {
    match schema {
        Value::Object(object) => {
            if object.get("$ref").is_some_and(|to| to == &format!("{PATH}{name}")) {
                object.insert("$ref".to_owned(), format!("{PATH}New{name}").into());
            }
            object.values_mut().for_each(|schema| rename(schema, name));
        }
        Value::Array(array) => array.iter_mut().for_each(|schema| rename(schema, name)),
        _ => {}
    }
}

/// Optional fields that the API sends are omitted rather than null, so their schemas do not allow null.
fn never_null(schema: &mut Value) {
    if let Some(variants) = schema.get_mut("oneOf").and_then(Value::as_array_mut) {
        variants.iter_mut().for_each(never_null);
    }
    let required = schema.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
    let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) else { return };
    for (_, property) in properties.iter_mut().filter(|(name, _)| !required.contains(&Value::from(name.as_str()))) {
        let Some(property) = property.as_object_mut() else { continue };
        if let Some(Value::Array(choices)) = property.get("anyOf").cloned()
            && let [Value::Object(only), null] = &choices[..]
            && null["type"] == "null"
        {
            property.remove("anyOf");
            property.extend(only.clone().into_iter().filter(|(name, _)| name != "description"));
        }
        if let Some(Value::Array(kinds)) = property.get("type").cloned()
            && let [only, null] = &kinds[..]
            && null == "null"
        {
            property.insert("type".to_owned(), only.clone());
        }
    }
}

/// Forbids other fields in objects, and shortens descriptions to the first paragraph of the Rust documentation.
fn finish(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            object.values_mut().for_each(finish);
            if object.contains_key("properties") && object.get("type").is_some_and(|kind| kind == "object") {
                object.entry("additionalProperties").or_insert(Value::Bool(false));
            }
            if object.get("format").is_some_and(|format| format == "uint") {
                object.insert("format".to_owned(), "uint64".into());
            }
            if let Some(Value::String(description)) = object.get_mut("description") {
                let first = description.split("\n\n").next().unwrap_or_default();
                *description = first.to_owned();
            }
        }
        Value::Array(array) => array.iter_mut().for_each(finish),
        _ => {}
    }
}
