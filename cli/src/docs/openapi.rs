//! The REST API, as OpenAPI 3.1.

use serde_json::{Map, Value, json};
use shared::domain::{
    chat::{Chat, ChatChange, NewChat},
    error::Code,
    id::{ChatId, IdempotencyKey, UserId},
    pagination::{ChatPage, MessagePage, Order, PageRequest},
    schema::ErrorResponse,
    ticket::Ticket,
};

use super::{
    codes, examples,
    schemas::{Schemas, keep_codes},
};

/// What any answer to a request with a key can be.
const ALWAYS: [Code; 6] = [
    Code::MissingApiKey,
    Code::InvalidApiKey,
    Code::TenantSuspended,
    Code::RateLimitExceeded,
    Code::Internal,
    Code::Unavailable,
];

/// What a body can be refused with, whatever is in it.
const BODY: [Code; 4] = [Code::InvalidJson, Code::UnknownField, Code::PayloadTooLarge, Code::UnsupportedMediaType];

const DESCRIPTION: &str = "\
Chats between users and AI agents. Chats are made and read here; messages are sent and answered on a WebSocket, which \
`docs/asyncapi.json` describes.

**Authentication.** Every request carries the tenant's API key in the header `X-API-Key`. All data is the tenant's own: \
what belongs to another tenant is answered as if it did not exist.

**Errors** have one shape, `ErrorResponse`. `details.suggestion` is always there. A path that does not exist is answered \
with 404 `ROUTE_NOT_FOUND`, a method that a path does not have with 405 `METHOD_NOT_ALLOWED` and the header `Allow`; \
neither needs a key, but for a `POST` below `/api/v1/chats/`, which is counted too. Unknown fields of a body and unknown query parameters are refused with their name.

**What API Gateway says itself** has not this shape, but `{\"message\": …}`, and no `X-Request-Id`: 413 for a body above \
10 MB, 429 when the account's own rate_limit is used up, 502, 503 and 504 when a function cannot be reached or does not answer \
within 29 seconds. Treat each as `UNAVAILABLE`.

**Rate limits.** 100 requests a minute for each tenant, and 600 tickets a minute beside them; a tenant may have its own \
figures. A minute begins with the first request in it. Answers say how much is left, as `X-RateLimit-*` and as \
`RateLimit-Policy` and `RateLimit`; 429 carries `Retry-After`.";

struct Operation {
    method: &'static str,
    path: &'static str,
    id: &'static str,
    tag: &'static str,
    summary: &'static str,
    description: &'static str,
    parameters: Vec<Value>,
    body: Option<Value>,
    success: Success,
    errors: Vec<Code>,
}

struct Success {
    status: &'static str,
    description: &'static str,
    body: Option<(Value, Value)>,
    location: bool,
}

pub(super) fn document() -> Value {
    let mut schemas = Schemas::new();
    let error = schemas.sent::<ErrorResponse>();
    let mut paths = Map::new();
    for operation in operations(&mut schemas) {
        let (path, method) = (operation.path, operation.method);
        let methods = paths.entry(path).or_insert_with(|| json!({}));
        methods[method] = describe(operation, &error);
    }
    let mut schemas = schemas.finish();
    keep_codes(&mut schemas, |code| codes::seen(code).rest);
    without_retryable(&mut schemas);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Chat API",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "Chats between users and AI agents.",
            "description": DESCRIPTION,
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [
            { "url": "http://localhost:8000", "description": "The local stack, `cargo chat dev`." },
            {
                "url": "https://{api}.execute-api.{region}.amazonaws.com",
                "description": "A deployed stack: its output `RestUrl`.",
                "variables": {
                    "api": { "default": "abcdefghij", "description": "The HTTP API's id." },
                    "region": { "default": "us-east-1" },
                },
            },
        ],
        "security": [{ "ApiKey": [] }],
        "tags": [
            { "name": "Chats", "description": "Make, find, change and delete chats." },
            { "name": "Messages", "description": "Read what was said." },
            { "name": "Tickets", "description": "Let browsers connect without an API key." },
        ],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "ApiKey": {
                    "type": "apiKey", "in": "header", "name": "X-API-Key",
                    "description": "The tenant's API key. Keep it on servers; browsers connect with tickets.",
                },
            },
            "headers": headers(),
            "responses": {
                "ROUTE_NOT_FOUND": unrouted(Code::RouteNotFound, "There is nothing at this path."),
                "METHOD_NOT_ALLOWED": unrouted(Code::MethodNotAllowed, "The path exists, but not with this method."),
            },
            "schemas": schemas,
        },
    })
}

fn operations(schemas: &mut Schemas) -> Vec<Operation> {
    let chat_id = parameter("path", "chat_id", "The chat's id.", schemas.received::<ChatId>(), CHAT_EXAMPLE);
    let user_id = parameter("path", "user_id", "The user's id.", schemas.received::<UserId>(), examples::USER);
    let idempotency_key = parameter(
        "header",
        "Idempotency-Key",
        "Makes the request run once, however often it is sent within 24 hours: the same body gets the same answer, \
         another body `IDEMPOTENCY_MISMATCH`. Counts for this tenant and this route.",
        schemas.received::<IdempotencyKey>(),
        "7c1e2f0a-6a1d-4c0e-9d55-1f6f3b7f8a10",
    );
    let chat = schemas.sent::<Chat>();
    let new_chat = body(
        schemas.received::<NewChat>(),
        &[("The least", examples::new_chat_least()), ("With all that it may have", examples::new_chat())],
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
            parameter("query", "offset", "How many items to skip.", offset, 0),
            parameter("query", "limit", "How many items to return at most.", limit, 50),
            parameter("query", "order", "From which end: the oldest or the newest.", order, default),
        ]
    };
    let [chats_offset, chats_limit, chats_order] = page(schemas, "desc");
    let [messages_offset, messages_limit, messages_order] = page(schemas, "asc");
    vec![
        Operation {
            method: "post",
            path: "/api/v1/chats/",
            id: "createChat",
            tag: "Chats",
            summary: "Create a chat",
            description: "Works without the slash at its end too. What `config` leaves open is filled from the tenant's \
                          defaults. The body may have 64 KiB.",
            parameters: vec![idempotency_key],
            body: Some(new_chat),
            success: Success {
                status: "201",
                description: "The chat.",
                body: Some((chat.clone(), examples::chat_made())),
                location: true,
            },
            errors: [&BODY[..], &[Code::InvalidParameter, Code::MissingParameter, Code::IdempotencyMismatch]].concat(),
        },
        Operation {
            method: "get",
            path: "/api/v1/chats/user/{user_id}",
            id: "listUserChats",
            tag: "Chats",
            summary: "List the chats of a user",
            description: "Most recently active first. A user who has no chats, or whom nobody knows, has an empty list.",
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
            method: "get",
            path: "/api/v1/chats/{chat_id}",
            id: "getChat",
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
            method: "patch",
            path: "/api/v1/chats/{chat_id}",
            id: "updateChat",
            tag: "Chats",
            summary: "Change a chat",
            description: "What is left out stays; `null` clears. `metadata` is replaced whole, `config` field by field.",
            parameters: vec![chat_id.clone()],
            body: Some(change),
            success: Success {
                status: "200",
                description: "The chat as it is now.",
                body: Some((chat, examples::chat_changed())),
                location: false,
            },
            errors: [&BODY[..], &[Code::InvalidParameter, Code::ChatNotFound]].concat(),
        },
        Operation {
            method: "delete",
            path: "/api/v1/chats/{chat_id}",
            id: "deleteChat",
            tag: "Chats",
            summary: "Delete a chat",
            description: "At once, however long it is. An answer that is being streamed ends; sockets on the chat get \
                          `CHAT_NOT_FOUND` and are closed.",
            parameters: vec![chat_id.clone()],
            body: None,
            success: Success { status: "204", description: "It is gone.", body: None, location: false },
            errors: vec![Code::UnknownField, Code::ChatNotFound],
        },
        Operation {
            method: "get",
            path: "/api/v1/chats/{chat_id}/messages",
            id: "listMessages",
            tag: "Messages",
            summary: "List the messages of a chat",
            description: "Oldest first. `seq` has no holes, so `offset` k in ascending order is the message with `seq` k. \
                          A page also ends at 5 MiB; `has_more` then says that more follows.",
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
            method: "post",
            path: "/api/v1/chats/{chat_id}/tickets",
            id: "createTicket",
            tag: "Tickets",
            summary: "Create a ticket",
            description: "A grant that opens one socket, of the chat's user on this chat, within 60 seconds. Tickets have \
                          a rate limit of their own.",
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
    ]
}

const CHAT_EXAMPLE: &str = examples::CHAT;

fn describe(operation: Operation, error: &Value) -> Value {
    let Success { status, description, body, location } = operation.success;
    let mut success = json!({ "description": description, "headers": answer_headers(true, &[]) });
    if location {
        success["headers"]["Location"] = header("Location");
    }
    if operation.id == "createChat" {
        success["links"] = links();
    }
    if let Some((schema, example)) = body {
        success["content"] = json!({ "application/json": {
            "schema": schema, "examples": { "Example": { "value": example } },
        } });
    }
    let mut responses = Map::from_iter([(status.to_owned(), success)]);
    let mut codes = [&operation.errors[..], &ALWAYS].concat();
    codes.sort_by_key(|code| Code::ALL.iter().position(|known| known == code));
    for code in &codes {
        let status = code.status();
        if responses.contains_key(&status.to_string()) {
            continue;
        }
        let of_status: Vec<Code> = codes.iter().copied().filter(|code| code.status() == status).collect();
        responses.insert(status.to_string(), refusal(&of_status, error));
    }
    let mut described = json!({
        "operationId": operation.id,
        "tags": [operation.tag],
        "summary": operation.summary,
        "parameters": operation.parameters,
        "responses": responses,
    });
    if !operation.description.is_empty() {
        described["description"] = operation.description.into();
    }
    if let Some(body) = operation.body {
        described["requestBody"] = body;
    }
    described
}

/// What can be done with a chat once it is made.
fn links() -> Value {
    let link = |id: &str, parameter: &str| {
        let value = format!("$response.body#/{parameter}");
        json!({ "operationId": id, "parameters": { parameter: value } })
    };
    json!({
        "get": link("getChat", "chat_id"),
        "update": link("updateChat", "chat_id"),
        "delete": link("deleteChat", "chat_id"),
        "messages": link("listMessages", "chat_id"),
        "ticket": link("createTicket", "chat_id"),
        "chats of its user": link("listUserChats", "user_id"),
    })
}

/// The answer for errors of one status.
fn refusal(codes: &[Code], error: &Value) -> Value {
    let names: Vec<&str> = codes.iter().map(|code| code.as_str()).collect();
    let examples: Map<String, Value> = codes
        .iter()
        .map(|code| (code.as_str().to_owned(), json!({ "value": examples::error_answer(*code) })))
        .collect();
    json!({
        "description": format!("`{}`", names.join("`, `")),
        "headers": answer_headers(counted(codes), codes),
        "content": { "application/json": {
            "schema": { "allOf": [
                error,
                { "properties": { "error": { "properties": { "code": { "enum": names } } } } },
            ] },
            "examples": examples,
        } },
    })
}

/// Whether these errors come only after the request was counted.
fn counted(codes: &[Code]) -> bool {
    !codes.iter().any(|code| ALWAYS.contains(code) && *code != Code::RateLimitExceeded)
}

/// The answer where no operation is found.
fn unrouted(code: Code, description: &str) -> Value {
    let mut answer = refusal(&[code], &super::schemas::reference("ErrorResponse"));
    answer["description"] = description.into();
    let mut headers = json!({ "X-Request-Id": header("X-Request-Id") });
    if code == Code::MethodNotAllowed {
        headers["Allow"] = header("Allow");
    }
    add_counters_if_counted(&mut headers);
    answer["headers"] = headers;
    answer
}

const COUNTERS: [&str; 5] =
    ["X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "RateLimit-Policy", "RateLimit"];

fn answer_headers(counted: bool, codes: &[Code]) -> Value {
    let mut headers = json!({ "X-Request-Id": header("X-Request-Id") });
    let status = codes.first().map(|code| code.status());
    // Who is not let in is not counted. What broke may have broken before the count.
    if counted {
        for name in COUNTERS {
            headers[name] = header(name);
        }
    } else if status.is_some_and(|status| status >= 500) {
        add_counters_if_counted(&mut headers);
    }
    if status == Some(429) {
        headers["Retry-After"] = header("Retry-After");
    }
    headers
}

fn add_counters_if_counted(headers: &mut Value) {
    for name in COUNTERS {
        headers[name] = header(&format!("{name}-If-Counted"));
    }
}

fn header(name: &str) -> Value {
    json!({ "$ref": format!("#/components/headers/{name}") })
}

fn headers() -> Value {
    let header = |description: &str, schema: Value, example: Value| json!({ "description": description, "required": true, "schema": schema, "example": example });
    let count = || json!({ "type": "integer", "minimum": 0 });
    let mut headers = json!({
        "X-Request-Id": header(
            "What to name when reporting a problem; errors have it in their body too.",
            json!({ "type": "string", "minLength": 1 }),
            examples::REQUEST_ID.into(),
        ),
        "Location": header(
            "Where the chat is.",
            json!({ "type": "string", "pattern": "^/api/v1/chats/chat_" }),
            format!("/api/v1/chats/{CHAT_EXAMPLE}").into(),
        ),
        "Allow": header(
            "The methods that the path has.",
            json!({ "type": "string", "pattern": "^[A-Z]+(, [A-Z]+)*$" }),
            "DELETE, GET, PATCH".into(),
        ),
        "Retry-After": header(
            "After how many seconds to try again.",
            json!({ "type": "integer", "minimum": 1 }),
            42.into(),
        ),
        "X-RateLimit-Limit": header("How many requests a minute takes.", count(), 100.into()),
        "X-RateLimit-Remaining": header("How many are left of this minute.", count(), 99.into()),
        "X-RateLimit-Reset": header("When the next minute may begin, in seconds since 1970.", count(), 1_795_409_944.into()),
        "RateLimit-Policy": header(
            "The same limit as of draft-ietf-httpapi-ratelimit-headers-10: `rest` or `tickets`, requests, seconds.",
            json!({ "type": "string", "pattern": "^\"(rest|tickets)\";q=\\d+;w=60$" }),
            "\"rest\";q=100;w=60".into(),
        ),
        "RateLimit": header(
            "What is left of it, and for how many seconds.",
            json!({ "type": "string", "pattern": "^\"(rest|tickets)\";r=\\d+;t=\\d+$" }),
            "\"rest\";r=99;t=42".into(),
        ),
    });
    for name in COUNTERS {
        let mut optional = headers[name].clone();
        optional["required"] = false.into();
        headers[format!("{name}-If-Counted")] = optional;
    }
    headers
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

/// Whether to try again is said on sockets only; here the status says it.
fn without_retryable(schemas: &mut Map<String, Value>) {
    if let Some(details) = schemas.get_mut("ErrorDetails").and_then(|schema| schema["properties"].as_object_mut()) {
        details.remove("retryable");
    }
}
