//! The WebSocket API, as AsyncAPI 3.0.

use serde_json::{Map, Value, json};
use shared::{
    domain::{
        error::Code,
        id::{ChatId, UserId},
    },
    websocket::{Event, Frame},
};

use super::{
    codes, examples,
    schemas::{Schemas, keep_codes, reference, referred},
};

const DESCRIPTION: &str = "\
Messages of users and the answers of agents, streamed. A socket belongs to one user and one chat; chats are made over \
REST, which `docs/openapi.json` describes.

**Connecting.** A client sends an API key, in the header `X-API-Key` or the query parameter `api_key`, with `user_id` and \
`chat_id`; or a `ticket` alone, so that no API key reaches a browser. A refused handshake has the HTTP status of the \
error; `x-refusals` lists them.

**Events** have `type`, `chat_id` and `timestamp`. Every connection to a chat gets all of its messages and answers. \
The tokens of an answer, joined from offset 0, are exactly its `content`.

**Frames** are JSON in text frames. `type` is optional in a frame with `content`; `action` is an alias of `type`. \
A frame has at most 28 KiB. API Gateway closes the socket with 1009 for a frame above 32 KB, and with 1003 for a binary \
frame.

**Limits.** A connection may send 10 frames of any type in any second; the eleventh gets `RATE_LIMIT_EXCEEDED`, and the \
connection stays open. It is told so at most once a second, and closed when 100 of its frames are refused within 10 s. \
A tenant has 50 connections. API Gateway closes a connection after two hours (`expires_at`) and \
after ten minutes without a frame.";

pub(super) fn document() -> Value {
    let mut schemas = Schemas::new();
    schemas.sent::<Event<'_>>();
    schemas.received::<Frame>();
    let (user_id, chat_id) = (schemas.received::<UserId>(), schemas.received::<ChatId>());
    let mut schemas = schemas.finish();
    keep_codes(&mut schemas, |code| codes::places(code).event);
    with_retryable(&mut schemas);

    let events = take_events(&mut schemas);
    let frames = take_frames(&mut schemas);
    let (mut messages, mut operations) = (Map::new(), Map::new());
    let events = events.into_iter().map(|event| ("send", event));
    for (action, (kind, schema)) in events.chain(frames.into_iter().map(|frame| ("receive", frame))) {
        let sent = action == "send";
        let examples = if sent { examples::events(&kind) } else { examples::frames(&kind) };
        let name = camel_case(&kind) + if sent { "Event" } else { "Frame" };
        messages.insert(name.clone(), message(&kind, &name, schema["description"].clone(), &examples));
        operations.insert(
            format!("{action}{name}"),
            json!({
                "action": action,
                "channel": { "$ref": "#/channels/chat" },
                "summary": schema["description"],
                "messages": [{ "$ref": format!("#/channels/chat/messages/{name}") }],
            }),
        );
        schemas.insert(name, schema);
    }
    let of_channel: Map<String, Value> = messages
        .keys()
        .map(|name| (name.clone(), json!({ "$ref": format!("#/components/messages/{name}") })))
        .collect();
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Chat API: WebSocket",
            "version": env!("CARGO_PKG_VERSION"),
            "description": DESCRIPTION,
            "license": { "name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0" },
        },
        "defaultContentType": "application/json",
        "servers": {
            "local": {
                "host": "localhost:8000", "pathname": "/ws/chat", "protocol": "ws",
                "description": "The local stack, `cargo chat dev`.",
                "security": security(),
            },
            "aws": {
                "host": "{api}.execute-api.{region}.amazonaws.com", "pathname": "/live", "protocol": "wss",
                "description": "A deployed stack: its output `WebSocketUrl`.",
                "variables": {
                    "api": { "default": "abcdefghij", "description": "The WebSocket API's id." },
                    "region": { "default": "us-east-1" },
                },
                "security": security(),
            },
        },
        "channels": {
            "chat": {
                "address": "/",
                "title": "A chat",
                "description": "One connection of a user to a chat. Its address is the server's.",
                "messages": of_channel,
                "bindings": { "ws": handshake(&user_id, &chat_id) },
                "x-refusals": refusals(),
            },
        },
        "operations": operations,
        "components": {
            "messages": messages,
            "schemas": schemas,
            "securitySchemes": {
                "header": {
                    "type": "httpApiKey", "in": "header", "name": "X-API-Key", "description": "The tenant's API key.",
                },
                "query": {
                    "type": "httpApiKey", "in": "query", "name": "api_key",
                    "description": "The tenant's API key, for clients that cannot set a header. Keep it out of browsers.",
                },
                "ticket": {
                    "type": "httpApiKey", "in": "query", "name": "ticket",
                    "description": "A single-use ticket, from `POST /api/v1/chats/{chat_id}/tickets`.",
                },
            },
        },
    })
}

fn security() -> Value {
    let scheme = |name: &str| json!({ "$ref": format!("#/components/securitySchemes/{name}") });
    json!([scheme("header"), scheme("query"), scheme("ticket")])
}

/// The events by type, each with the fields common to all.
fn take_events(schemas: &mut Map<String, Value>) -> Vec<(String, Value)> {
    let event = schemas.remove("Event").unwrap_or_default();
    let variants = event["oneOf"].as_array().cloned().unwrap_or_default();
    let mut events = Vec::new();
    for mut variant in variants {
        if let Some(inner) = referred(&variant).and_then(|name| schemas.get(name)).cloned() {
            variant.as_object_mut().map(|variant| variant.remove("$ref"));
            add_fields(&mut variant, &inner);
        }
        let kind = kind(&variant);
        add_fields(&mut variant, &event);
        // Only an error event on an unknown connection has no chat.
        if kind != "error"
            && let Some(required) = variant["required"].as_array_mut()
        {
            required.push("chat_id".into());
            variant["properties"]["chat_id"]["description"] = "The chat of the socket.".into();
        }
        events.push((kind, variant));
    }
    schemas.remove("ErrorReport");
    events
}

/// The frames by type, each with `type` and its other name, `action`.
fn take_frames(schemas: &mut Map<String, Value>) -> Vec<(String, Value)> {
    let frame = schemas.remove("Frame").unwrap_or_default();
    let variants = frame["oneOf"].as_array().cloned().unwrap_or_default();
    let mut frames = Vec::new();
    for mut variant in variants {
        let kind = kind(&variant);
        variant["properties"]["action"] = json!({
            "type": "string", "const": kind, "description": "An alias of `type`; `type` wins.",
        });
        if let Some(required) = variant["required"].as_array_mut() {
            required.retain(|name| name != "type");
        }
        if kind != "message" {
            variant["anyOf"] = json!([{ "required": ["type"] }, { "required": ["action"] }]);
        }
        frames.push((kind, variant));
    }
    frames
}

fn kind(variant: &Value) -> String {
    variant["properties"]["type"]["const"].as_str().unwrap_or_default().to_owned()
}

fn add_fields(to: &mut Value, from: &Value) {
    if let (Some(to), Some(from)) = (to["properties"].as_object_mut(), from["properties"].as_object()) {
        to.extend(from.clone());
    }
    if let (Some(to), Some(from)) = (to["required"].as_array_mut(), from["required"].as_array()) {
        to.extend(from.iter().cloned());
    }
}

fn message(kind: &str, name: &str, summary: Value, examples: &[(&str, Value)]) -> Value {
    let examples: Vec<Value> =
        examples.iter().map(|(name, payload)| json!({ "name": name, "payload": payload })).collect();
    json!({
        "name": kind, "title": kind, "summary": summary, "payload": reference(name), "examples": examples,
    })
}

/// What a client sends in the handshake.
fn handshake(user_id: &Value, chat_id: &Value) -> Value {
    json!({
        "method": "GET",
        "query": {
            "type": "object",
            "properties": {
                "api_key": { "type": "string", "description": "The tenant's API key, unless it is in the header." },
                "user_id": user_id,
                "chat_id": chat_id,
                "ticket": {
                    "type": "string", "pattern": "^tk_[0-9A-Za-z]{28}$",
                    "description": "Replaces all other parameters.",
                },
            },
            "anyOf": [{ "required": ["user_id", "chat_id"] }, { "required": ["ticket"] }],
        },
        "headers": {
            "type": "object",
            "properties": { "X-API-Key": { "type": "string", "description": "The tenant's API key." } },
        },
        "bindingVersion": "0.1.0",
    })
}

/// The errors that refuse a handshake: status, code, suggestion.
fn refusals() -> Value {
    let refusals = Code::ALL.into_iter().filter(|code| codes::places(*code).handshake).map(|code| {
        let error = examples::error_response(code)["error"].take();
        json!({ "status": code.status(), "code": code.as_str(), "suggestion": error["details"]["suggestion"] })
    });
    refusals.collect()
}

/// A socket has no HTTP status, so each error has `retryable`.
fn with_retryable(schemas: &mut Map<String, Value>) {
    if let Some(required) = schemas.get_mut("ErrorDetails").and_then(|schema| schema["required"].as_array_mut()) {
        required.push("retryable".into());
    }
}

fn camel_case(kind: &str) -> String {
    kind.split('_')
        .map(|word| word.split_at_checked(1).map(|(first, rest)| first.to_uppercase() + rest).unwrap_or_default())
        .collect()
}
