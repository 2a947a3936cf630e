//! The REST API, as OpenAPI 3.1.

use serde_json::{Map, Value, json};
use shared::{
    domain::{error::Code, schema::ErrorResponse},
    rest::{CREATE_CHAT, CREATE_TICKET, DELETE_CHAT, GET_CHAT, LIST_MESSAGES, LIST_USER_CHATS, Route, UPDATE_CHAT},
};

use super::{
    codes, examples,
    operations::{Operation, Success, operations},
    schemas::{Schemas, keep_codes},
};

/// Errors of every operation.
const ALWAYS: [Code; 6] = [
    Code::MissingApiKey,
    Code::InvalidApiKey,
    Code::TenantSuspended,
    Code::RateLimitExceeded,
    Code::Internal,
    Code::Unavailable,
];

const DESCRIPTION: &str = "\
Chats between users and AI agents. This API creates and reads chats. Messages travel on a WebSocket, which \
`docs/asyncapi.json` describes.

**Authentication.** Every request carries the tenant's API key in the header `X-API-Key`. A tenant \
sees only its own data: another tenant's chat does not exist for it.

**Errors** have one shape, `ErrorResponse`. `details.suggestion` is always present. An unknown path gets 404 \
`ROUTE_NOT_FOUND`, an unknown method 405 `METHOD_NOT_ALLOWED` with the header `Allow`. Neither needs a key, except a \
`POST` below `/api/v1/chats/`, which is counted too. Unknown fields of a body and unknown query parameters are refused; \
the error names them.

**API Gateway's own responses** have the shape `{\"message\": …}` and no `X-Request-Id`: 413 for a body above 10 MB, 429 \
when the account's quota is used up, 502, 503 and 504 when a function is unreachable or does not respond within 30 \
seconds. Treat each as `UNAVAILABLE`.

**Rate limits.** Each tenant has 100 requests and, apart from these, 600 tickets per minute; its operator may set other \
limits. A minute begins with its first request. Responses carry the rest of the window in `X-RateLimit-*` and in \
`RateLimit-Policy` and `RateLimit`; a 429 carries `Retry-After`.";

pub(super) fn document() -> Value {
    let mut schemas = Schemas::new();
    let error = schemas.sent::<ErrorResponse>();
    let mut paths = Map::new();
    for operation in operations(&mut schemas) {
        let (path, method) = (operation.route.documented_path(), operation.route.method.as_str().to_lowercase());
        let methods = paths.entry(path).or_insert_with(|| json!({}));
        methods[method] = describe(operation, &error);
    }
    let mut schemas = schemas.finish();
    keep_codes(&mut schemas, |code| codes::places(code).rest);
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
            { "name": "Chats", "description": "Create, list, update and delete chats." },
            { "name": "Messages", "description": "Read the messages of a chat." },
            { "name": "Tickets", "description": "Let browsers connect without an API key." },
            { "name": "Usage", "description": "What a tenant has used." },
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
                "METHOD_NOT_ALLOWED": unrouted(Code::MethodNotAllowed, "The path exists with other methods."),
            },
            "schemas": schemas,
        },
    })
}

fn describe(operation: Operation, error: &Value) -> Value {
    let Success { status, description, body, location } = operation.success;
    let mut success = json!({ "description": description, "headers": response_headers(true, &[]) });
    if location {
        success["headers"]["Location"] = header("Location");
    }
    if operation.route.operation_id == CREATE_CHAT.operation_id {
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
        responses.insert(status.to_string(), error_response(&of_status, error));
    }
    let mut described = json!({
        "operationId": operation.route.operation_id,
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

/// The operations on a chat that was just created.
fn links() -> Value {
    let link = |route: Route, parameter: &str| {
        let value = format!("$response.body#/{parameter}");
        json!({ "operationId": route.operation_id, "parameters": { parameter: value } })
    };
    json!({
        "get": link(GET_CHAT, "chat_id"),
        "update": link(UPDATE_CHAT, "chat_id"),
        "delete": link(DELETE_CHAT, "chat_id"),
        "messages": link(LIST_MESSAGES, "chat_id"),
        "ticket": link(CREATE_TICKET, "chat_id"),
        "chats of its user": link(LIST_USER_CHATS, "user_id"),
    })
}

/// The response for the errors of one status.
fn error_response(codes: &[Code], error: &Value) -> Value {
    let names: Vec<&str> = codes.iter().map(|code| code.as_str()).collect();
    let examples: Map<String, Value> = codes
        .iter()
        .map(|code| (code.as_str().to_owned(), json!({ "value": examples::error_response(*code) })))
        .collect();
    json!({
        "description": format!("`{}`", names.join("`, `")),
        "headers": response_headers(counted(codes), codes),
        "content": { "application/json": {
            "schema": { "allOf": [
                error,
                { "properties": { "error": { "properties": { "code": { "enum": names } } } } },
            ] },
            "examples": examples,
        } },
    })
}

/// Whether these errors occur only after the rate limit has counted the request.
fn counted(codes: &[Code]) -> bool {
    !codes.iter().any(|code| ALWAYS.contains(code) && *code != Code::RateLimitExceeded)
}

/// The response where no operation matches.
fn unrouted(code: Code, description: &str) -> Value {
    let mut response = error_response(&[code], &super::schemas::reference("ErrorResponse"));
    response["description"] = description.into();
    let mut headers = json!({ "X-Request-Id": header("X-Request-Id") });
    if code == Code::MethodNotAllowed {
        headers["Allow"] = header("Allow");
    }
    add_optional_rate_limit_headers(&mut headers);
    response["headers"] = headers;
    response
}

const RATE_LIMIT_HEADERS: [&str; 5] =
    ["X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "RateLimit-Policy", "RateLimit"];

fn response_headers(counted: bool, codes: &[Code]) -> Value {
    let mut headers = json!({ "X-Request-Id": header("X-Request-Id") });
    let status = codes.first().map(|code| code.status());
    // A request without access is not counted. An internal error may occur before the count.
    if counted {
        for name in RATE_LIMIT_HEADERS {
            headers[name] = header(name);
        }
    } else if status.is_some_and(|status| status >= 500) {
        add_optional_rate_limit_headers(&mut headers);
    }
    if status == Some(429) {
        headers["Retry-After"] = header("Retry-After");
    }
    headers
}

fn add_optional_rate_limit_headers(headers: &mut Value) {
    for name in RATE_LIMIT_HEADERS {
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
            "The id to quote when you report a problem; error bodies have it too.",
            json!({ "type": "string", "minLength": 1 }),
            examples::REQUEST_ID.into(),
        ),
        "Location": header(
            "The address of the chat.",
            json!({ "type": "string", "pattern": "^/api/v1/chats/chat_" }),
            format!("/api/v1/chats/{}", examples::CHAT).into(),
        ),
        "Allow": header(
            "The methods of the path.",
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
    for name in RATE_LIMIT_HEADERS {
        let mut optional = headers[name].clone();
        optional["required"] = false.into();
        headers[format!("{name}-If-Counted")] = optional;
    }
    headers
}

/// `retryable` is for sockets only: in HTTP the status says it.
fn without_retryable(schemas: &mut Map<String, Value>) {
    if let Some(details) = schemas.get_mut("ErrorDetails").and_then(|schema| schema["properties"].as_object_mut()) {
        details.remove("retryable");
    }
}
