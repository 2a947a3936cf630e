//! The operations of the REST API: what a client sends to each route and what it receives.

use serde_json::{Map, Value, json};
use shared::{
    domain::{
        chat::{Chat, ChatChange, NewChat},
        day::Day,
        error::Code,
        id::{ChatId, IdempotencyKey, UserId},
        pagination::{ChatPage, MessagePage, Order, PageRequest},
        ticket::Ticket,
        usage::{GroupBy, UsageReport},
    },
    rest::{
        CREATE_CHAT, CREATE_TICKET, DELETE_CHAT, GET_CHAT, GET_USAGE, LIST_MESSAGES, LIST_USER_CHATS, Route,
        UPDATE_CHAT,
    },
};

use super::{examples, schemas::Schemas};

/// Errors of every operation with a body.
const BODY: [Code; 4] = [Code::InvalidJson, Code::UnknownField, Code::PayloadTooLarge, Code::UnsupportedMediaType];

/// An operation of the REST API.
pub(super) struct Operation {
    pub(super) route: Route,
    pub(super) tag: &'static str,
    pub(super) summary: &'static str,
    pub(super) description: &'static str,
    pub(super) parameters: Vec<Value>,
    pub(super) body: Option<Value>,
    pub(super) success: Success,
    pub(super) errors: Vec<Code>,
}

/// Its response, if it succeeds.
pub(super) struct Success {
    pub(super) status: &'static str,
    pub(super) description: &'static str,
    pub(super) body: Option<(Value, Value)>,
    pub(super) location: bool,
}

/// Every operation, in the order of the document.
pub(super) fn operations(schemas: &mut Schemas) -> Vec<Operation> {
    let chat_id = parameter("path", "chat_id", "The chat's id.", schemas.received::<ChatId>(), examples::CHAT);
    let user_id = parameter("path", "user_id", "The user's id.", schemas.received::<UserId>(), examples::USER);
    let idempotency_key = parameter(
        "header",
        "Idempotency-Key",
        "Within 24 hours, requests with the same key create one chat: the same body gets the same response, another body \
         `IDEMPOTENCY_MISMATCH`. The key is scoped to the tenant and this route.",
        schemas.received::<IdempotencyKey>(),
        "7c1e2f0a-6a1d-4c0e-9d55-1f6f3b7f8a10",
    );
    let chat = schemas.sent::<Chat>();
    let new_chat = body(
        schemas.received::<NewChat>(),
        &[("Required fields", examples::minimal_new_chat()), ("All fields", examples::new_chat())],
    );
    let change = body(schemas.received::<ChatChange>(), &[("Change and clear", examples::chat_change())]);
    let nothing = json!({
        "description": "Nothing, or an empty object.",
        "required": false,
        "content": { "application/json": {
            "schema": { "type": "object", "maxProperties": 0 },
            "examples": { "Nothing": { "value": {} } },
        } },
    });
    let page = |schemas: &mut Schemas, default: &str| {
        let mut order = schemas.received::<Order>();
        order["default"] = default.into();
        let offset = json!({ "type": "integer", "minimum": 0, "maximum": u32::MAX, "default": 0 });
        let limit = json!({
            "type": "integer", "minimum": 1, "maximum": PageRequest::MAX_LIMIT, "default": PageRequest::DEFAULT_LIMIT,
        });
        [
            parameter("query", "offset", "Items to skip.", offset, 0),
            parameter("query", "limit", "The most items to return.", limit, 50),
            parameter("query", "order", "Oldest first or newest first.", order, default),
        ]
    };
    let mut group_by = schemas.received::<GroupBy>();
    group_by["default"] = "day".into();
    let day = schemas.received::<Day>();
    let usage_parameters = vec![
        parameter(
            "query",
            "from",
            "The first day; by default the first of the month of `to`.",
            day.clone(),
            "2026-11-01",
        ),
        parameter(
            "query",
            "to",
            "The last day, at most 365 days after `from`; by default today in UTC.",
            day,
            "2026-11-23",
        ),
        parameter("query", "group_by", "By what the counts are grouped.", group_by, "day"),
    ];
    let [chats_offset, chats_limit, chats_order] = page(schemas, "desc");
    let [messages_offset, messages_limit, messages_order] = page(schemas, "asc");
    vec![
        Operation {
            route: CREATE_CHAT,
            tag: "Chats",
            summary: "Create a chat",
            description: "The trailing slash is optional. Absent settings of `config` take the tenant's defaults. The body \
                          has at most 64 KiB.",
            parameters: vec![idempotency_key],
            body: Some(new_chat),
            success: Success {
                status: "201",
                description: "The chat.",
                body: Some((chat.clone(), examples::created_chat())),
                location: true,
            },
            errors: [&BODY[..], &[Code::InvalidParameter, Code::MissingParameter, Code::IdempotencyMismatch]].concat(),
        },
        Operation {
            route: LIST_USER_CHATS,
            tag: "Chats",
            summary: "List the chats of a user",
            description: "Most recently active first. An unknown user has an empty list.",
            parameters: vec![user_id, chats_offset, chats_limit, chats_order],
            body: None,
            success: Success {
                status: "200",
                description: "A page of chats.",
                body: Some((schemas.sent::<ChatPage>(), examples::chat_page())),
                location: false,
            },
            errors: vec![Code::InvalidParameter, Code::UnknownField],
        },
        Operation {
            route: GET_CHAT,
            tag: "Chats",
            summary: "Get a chat",
            description: "",
            parameters: vec![chat_id.clone()],
            body: None,
            success: Success {
                status: "200",
                description: "The chat.",
                body: Some((chat.clone(), examples::chat())),
                location: false,
            },
            errors: vec![Code::UnknownField, Code::ChatNotFound],
        },
        Operation {
            route: UPDATE_CHAT,
            tag: "Chats",
            summary: "Update a chat",
            description: "An absent field stays; `null` clears it. `metadata` is replaced as a whole, `config` field by field.",
            parameters: vec![chat_id.clone()],
            body: Some(change),
            success: Success {
                status: "200",
                description: "The updated chat.",
                body: Some((chat, examples::changed_chat())),
                location: false,
            },
            errors: [&BODY[..], &[Code::InvalidParameter, Code::ChatNotFound]].concat(),
        },
        Operation {
            route: DELETE_CHAT,
            tag: "Chats",
            summary: "Delete a chat",
            description: "Takes effect immediately. A running generation ends; connections to the chat get `CHAT_NOT_FOUND` \
                          and are closed.",
            parameters: vec![chat_id.clone()],
            body: None,
            success: Success { status: "204", description: "The chat is deleted.", body: None, location: false },
            errors: vec![Code::UnknownField, Code::ChatNotFound],
        },
        Operation {
            route: LIST_MESSAGES,
            tag: "Messages",
            summary: "List the messages of a chat",
            description: "Oldest first. `seq` has no gaps, so `offset` k in ascending order is the message with `seq` k. A \
                          page also ends at 5 MiB; `has_more` is then true.",
            parameters: vec![chat_id.clone(), messages_offset, messages_limit, messages_order],
            body: None,
            success: Success {
                status: "200",
                description: "A page of messages.",
                body: Some((schemas.sent::<MessagePage>(), examples::message_page())),
                location: false,
            },
            errors: vec![Code::InvalidParameter, Code::UnknownField, Code::ChatNotFound],
        },
        Operation {
            route: CREATE_TICKET,
            tag: "Tickets",
            summary: "Create a ticket",
            description: "A ticket opens one connection for the chat's user to this chat, within 60 seconds. Tickets have a \
                          rate limit of their own.",
            parameters: vec![chat_id],
            body: Some(nothing),
            success: Success {
                status: "201",
                description: "The ticket.",
                body: Some((schemas.sent::<Ticket<'_>>(), examples::ticket())),
                location: false,
            },
            errors: [&BODY[..], &[Code::ChatNotFound]].concat(),
        },
        Operation {
            route: GET_USAGE,
            tag: "Usage",
            summary: "Get the usage",
            description: "What the tenant's generations have used, counted when they end. A day has the generations that \
                          ended on it. Counts are kept for 400 days. What is too much for one response is refused: ask for \
                          fewer days.",
            parameters: usage_parameters,
            body: None,
            success: Success {
                status: "200",
                description: "The usage.",
                body: Some((schemas.sent::<UsageReport>(), examples::usage_report())),
                location: false,
            },
            errors: vec![Code::InvalidParameter, Code::UnknownField],
        },
    ]
}

fn parameter(place: &str, name: &str, description: &str, schema: Value, example: impl Into<Value>) -> Value {
    json!({
        "in": place, "name": name, "description": description, "required": place == "path", "schema": schema,
        "example": example.into(),
    })
}

fn body(schema: Value, examples: &[(&str, Value)]) -> Value {
    let examples: Map<String, Value> =
        examples.iter().map(|(name, example)| ((*name).to_owned(), json!({ "value": example }))).collect();
    json!({ "required": true, "content": { "application/json": { "schema": schema, "examples": examples } } })
}
