//! The types have every field and every name of docs/asyncapi.json and docs/openapi.json.

use std::sync::LazyLock;

use chat_api_client::{
    Code, ErrorBody, Event, Frame,
    event::FinishReason,
    resources::{
        ChatChange, ChatConfig, ChatInfo, ChatPage, ConfigChange, Message, MessagePage, NewChat, Role, Status, Ticket,
    },
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, from_value, json, to_value};

static EVENTS: LazyLock<Value> = LazyLock::new(|| read(include_str!("../../../docs/asyncapi.json")));
static REST: LazyLock<Value> = LazyLock::new(|| read(include_str!("../../../docs/openapi.json")));

fn read(document: &str) -> Value {
    serde_json::from_str::<Value>(document).expect("JSON")["components"]["schemas"].take()
}

/// A value with everything that a schema allows at once.
fn whole(schemas: &Value, schema: &Value) -> Value {
    if let Some(name) = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
        return whole(schemas, &schemas[name]);
    }
    if let Some(constant) = schema.get("const") {
        // The temperature 0 is written with a fraction.
        return constant.as_f64().map_or_else(|| constant.clone(), Value::from);
    }
    if let Some(first) = schema["enum"].get(0).or_else(|| schema["oneOf"].get(0)).or_else(|| schema["anyOf"].get(0))
        && schema.get("properties").is_none()
    {
        return if schema.get("enum").is_some() { first.clone() } else { whole(schemas, first) };
    }
    let kind = schema["type"].as_str().or_else(|| schema["type"][0].as_str());
    match kind.unwrap_or("object") {
        "string" => json!("text"),
        "integer" => json!(1),
        "number" => json!(0.5),
        "boolean" => json!(true),
        "array" => json!([whole(schemas, &schema["items"])]),
        "object" => {
            let none = Map::new();
            let properties = schema["properties"].as_object().unwrap_or(&none);
            properties.iter().map(|(name, schema)| (name.clone(), whole(schemas, schema))).collect()
        }
        other => panic!("unexpected: {other}"),
    }
}

/// Reads a whole value, and writes the same.
fn keeps_all<T: Serialize + DeserializeOwned>(schemas: &Value, name: &str) {
    let value = whole(schemas, &schemas[name]);
    assert!(value.as_object().is_some_and(|value| !value.is_empty()), "{name} has no properties: {value}");
    let typed: T = from_value(value.clone()).unwrap_or_else(|error| panic!("{name}: {error}: {value}"));
    assert_eq!(to_value(typed).expect("JSON"), value, "{name}");
}

/// The names of an enumeration.
fn names(schema: &Value) -> Vec<Value> {
    let constants = schema["oneOf"].as_array().into_iter().flatten().map(|option| option["const"].clone());
    let names: Vec<_> = constants.chain(schema["enum"].as_array().into_iter().flatten().cloned()).collect();
    assert!(!names.is_empty(), "{schema}");
    names
}

fn knows_all<T: Serialize + DeserializeOwned>(schema: &Value) {
    for name in names(schema) {
        let known = from_value::<T>(name.clone()).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(to_value(known).expect("JSON"), name);
    }
}

#[test]
fn events_have_every_field() {
    let names: Vec<_> = EVENTS.as_object().expect("schemas").keys().filter(|name| name.ends_with("Event")).collect();
    assert_eq!(names.len(), 8, "{names:?}");
    for name in names {
        keeps_all::<Event>(&EVENTS, name);
        let event: Event = from_value(whole(&EVENTS, &EVENTS[name])).expect("an event");
        assert!(!matches!(event, Event::Unknown(_)), "{name}");
    }
}

#[test]
fn resources_have_every_field() {
    keeps_all::<ChatInfo>(&REST, "Chat");
    keeps_all::<ChatConfig>(&REST, "ChatConfig");
    keeps_all::<ChatPage>(&REST, "ChatPage");
    keeps_all::<Message>(&REST, "Message");
    keeps_all::<MessagePage>(&REST, "MessagePage");
    keeps_all::<Ticket>(&REST, "Ticket");
    keeps_all::<ErrorBody>(&REST, "Error");
}

#[test]
fn names_are_known() {
    for code in names(&EVENTS["Code"]).into_iter().chain(names(&REST["Code"])) {
        let known = from_value::<Code>(code.clone()).expect("a code");
        assert!(!matches!(known, Code::Other(_)), "{code}");
    }
    knows_all::<FinishReason>(&EVENTS["FinishReason"]);
    knows_all::<FinishReason>(&REST["FinishReason"]);
    knows_all::<Role>(&REST["Role"]);
    knows_all::<Status>(&REST["Status"]);
}

/// Whether a value has what its schema names, and nothing else.
fn is_whole(schemas: &Value, name: &str, value: &impl Serialize) {
    let sent = to_value(value).expect("JSON");
    let sent: Vec<_> = sent.as_object().expect("an object").keys().collect();
    let properties = schemas[name]["properties"].as_object().expect("properties");
    let described: Vec<_> = properties.keys().filter(|name| *name != "action").collect();
    assert_eq!(sent, described, "{name}");
}

#[test]
fn frames_and_requests_have_every_field() {
    let text = || "text".to_owned();
    is_whole(&EVENTS, "MessageFrame", &Frame::Message { content: text(), client_message_id: text() });
    is_whole(&EVENTS, "CancelFrame", &Frame::Cancel { message_id: text() });
    is_whole(&EVENTS, "ResumeFrame", &Frame::Resume { message_id: text(), offset: 1 });
    is_whole(&EVENTS, "RegenerateFrame", &Frame::Regenerate { message_id: text() });
    is_whole(&EVENTS, "PingFrame", &Frame::Ping);

    let config = ChatConfig {
        agent: Some(text()),
        model: Some(text()),
        temperature: Some(0.5),
        max_tokens: Some(1),
        system_prompt: Some(text()),
    };
    is_whole(&REST, "NewChatConfig", &config);
    let metadata = Some(Map::new());
    is_whole(&REST, "NewChat", &NewChat { user_id: text(), title: Some(text()), metadata, config: Some(config) });
    let config = ConfigChange {
        agent: Some(None),
        model: Some(None),
        temperature: Some(None),
        max_tokens: Some(None),
        system_prompt: Some(None),
    };
    is_whole(&REST, "ConfigChange", &config);
    is_whole(&REST, "ChatChange", &ChatChange { title: Some(None), metadata: Some(None), config: Some(config) });
}
