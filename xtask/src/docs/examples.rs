//! Examples of requests, responses, frames and events. A test validates each against its schema.

use serde_json::{Value, json};
use shared::{
    agents::{AgentError, Failure},
    domain::{
        budget::{QuotaExceeded, TokenQuota, generation_limit_exceeded, message_rate_exceeded, quota_exceeded},
        chat::NewChat,
        day::Day,
        error::{ApiError, Code},
        id::{ChatId, MessageId, UserId},
        input::Fields,
        limits::{RateLimitBucket, RateLimitStatus, connection_limit_exceeded},
        tenant::AccessDenied,
        time::Timestamp,
    },
    rest::unknown_route,
    websocket::{ErrorReport, Frame, MAX_EVENT_BYTES},
};

pub(super) const CHAT: &str = "chat_01M83B8Y8V6KJPM4TQ4Z5S4R0C";
pub(super) const USER: &str = "user123";
pub(super) const REQUEST_ID: &str = "K4p3vjw0IAMEMTA=";
const REPLACED_MESSAGE: &str = "msg_01M83B9M1S0D2F5W6M00000001";
const USER_MESSAGE: &str = "msg_01M83B9M1SW5Q3C2N0YB1S0XEA";
const ASSISTANT_MESSAGE: &str = "msg_01M83B9M1S7Y6R4KJ8ZQWD5V2T";
const CONNECTION: &str = "K4p5Ye3PIAMCJLw=";
const USER_TEXT: &str = "Hello, I need help with my account";
const REPLY_TEXT: &str = "You said: Hello, I need help with my account";

pub(super) fn minimal_new_chat() -> Value {
    json!({ "user_id": USER })
}

pub(super) fn new_chat() -> Value {
    json!({
        "user_id": USER,
        "title": "Help with my account",
        "metadata": { "plan": "pro", "order": 7 },
        "config": { "model": "echo@20", "temperature": 0.5, "max_tokens": 1000, "system_prompt": "Be brief." },
    })
}

pub(super) fn chat() -> Value {
    json!({
        "chat_id": CHAT,
        "user_id": USER,
        "title": "Help with my account",
        "metadata": { "plan": "pro", "order": 7 },
        "config": {
            "agent": "echo", "model": "echo@20", "temperature": 0.5, "max_tokens": 1000, "system_prompt": "Be brief.",
        },
        "message_count": 2,
        "created_at": "2026-11-23T04:58:02.401Z",
        "updated_at": "2026-11-23T04:58:02.401Z",
        "last_message_at": "2026-11-23T04:58:24.750Z",
    })
}

pub(super) fn created_chat() -> Value {
    let mut chat = chat();
    chat["message_count"] = 0.into();
    chat["last_message_at"] = Value::Null;
    chat
}

pub(super) fn chat_change() -> Value {
    json!({ "title": "Solved", "metadata": null, "config": { "temperature": null, "max_tokens": 500 } })
}

pub(super) fn changed_chat() -> Value {
    let mut chat = chat();
    chat["title"] = "Solved".into();
    chat["metadata"] = json!({});
    chat["config"]["temperature"] = Value::Null;
    chat["config"]["max_tokens"] = 500.into();
    chat["updated_at"] = "2026-11-23T05:10:00.000Z".into();
    chat
}

pub(super) fn chat_page() -> Value {
    json!({ "chats": [chat()], "total": 1, "offset": 0, "limit": 50, "has_more": false })
}

pub(super) fn message_page() -> Value {
    json!({
        "messages": [
            {
                "message_id": USER_MESSAGE, "chat_id": CHAT, "role": "user", "content": USER_TEXT, "status": "complete",
                "seq": 0, "created_at": "2026-11-23T04:58:24.750Z", "client_message_id": "c1",
            },
            {
                "message_id": ASSISTANT_MESSAGE, "chat_id": CHAT, "role": "assistant", "content": REPLY_TEXT, "status": "complete",
                "seq": 1, "created_at": "2026-11-23T04:58:24.750Z", "completed_at": "2026-11-23T04:58:25.190Z",
                "in_reply_to": USER_MESSAGE, "finish_reason": "stop",
                "usage": { "input_tokens": 7, "output_tokens": 9 },
            },
        ],
        "total": 147, "offset": 0, "limit": 2, "has_more": true,
    })
}

pub(super) fn ticket() -> Value {
    json!({
        "ticket": "tk_5hG2kQz8Lw0RtY3uXvB1nM1fIxiw",
        "expires_at": "2026-11-23T04:59:02.401Z",
        "url": "ws://localhost:8000/ws/chat?ticket=tk_5hG2kQz8Lw0RtY3uXvB1nM1fIxiw",
    })
}

pub(super) fn usage_report() -> Value {
    let counts = |messages, generations, estimated, input, output| {
        json!({
            "messages": messages, "generations": generations, "estimated_generations": estimated,
            "input_tokens": input, "output_tokens": output,
        })
    };
    let of_day = |day: &str, mut counts: Value| {
        counts["day"] = day.into();
        counts
    };
    json!({
        "from": "2026-11-01", "to": "2026-11-23", "group_by": "day",
        "total": counts(49, 52, 1, 18_204, 9_377),
        "usage": [
            of_day("2026-11-22", counts(31, 33, 1, 12_140, 6_021)),
            of_day("2026-11-23", counts(18, 19, 0, 6_064, 3_356)),
        ],
    })
}

/// The body of an error response.
pub(super) fn error_response(code: Code) -> Value {
    json!({ "error": error(code).to_json(), "request_id": REQUEST_ID })
}

/// Examples of the frames of a type.
pub(super) fn frames(kind: &str) -> Vec<(&'static str, Value)> {
    match kind {
        "message" => vec![
            ("The least", json!({ "content": USER_TEXT })),
            (
                "With all that it may have",
                json!({ "type": "message", "content": USER_TEXT, "client_message_id": "c1" }),
            ),
        ],
        "cancel" => vec![("Enough of it", json!({ "type": "cancel", "message_id": ASSISTANT_MESSAGE }))],
        "resume" => vec![
            ("From where it was lost", json!({ "type": "resume", "message_id": ASSISTANT_MESSAGE, "offset": 17 })),
            ("From its beginning", json!({ "type": "resume", "message_id": ASSISTANT_MESSAGE, "offset": 0 })),
        ],
        "regenerate" => vec![("Another answer", json!({ "type": "regenerate", "message_id": REPLACED_MESSAGE }))],
        "ping" => vec![("Ping", json!({ "type": "ping" }))],
        _ => Vec::new(),
    }
}

/// Examples of the events of a type.
pub(super) fn events(kind: &str) -> Vec<(&'static str, Value)> {
    let examples = match kind {
        "connection_established" => vec![(
            "While an answer is being streamed",
            json!({
                "connection_id": CONNECTION, "user_id": USER, "expires_at": "2026-11-23T06:58:10.000Z",
                "active_streams": [{ "message_id": ASSISTANT_MESSAGE, "seq": 1, "in_reply_to": USER_MESSAGE }],
            }),
        )],
        "user_created" => vec![("The first connection of a user", json!({ "user_id": USER }))],
        "message_received" => vec![
            (
                "A message is stored",
                json!({ "message_id": USER_MESSAGE, "seq": 0, "content": USER_TEXT, "client_message_id": "c1" }),
            ),
            (
                "A message is sent again",
                json!({
                    "message_id": USER_MESSAGE, "seq": 0, "content": USER_TEXT, "client_message_id": "c1",
                    "answer_id": ASSISTANT_MESSAGE,
                }),
            ),
        ],
        "message_stream_started" => vec![
            (
                "The answer begins",
                json!({ "message_id": ASSISTANT_MESSAGE, "seq": 1, "in_reply_to": USER_MESSAGE, "model": "echo@20" }),
            ),
            (
                "An answer in the place of another one begins",
                json!({
                    "message_id": ASSISTANT_MESSAGE, "seq": 1, "in_reply_to": USER_MESSAGE, "model": "echo@20", "replaces": REPLACED_MESSAGE,
                }),
            ),
        ],
        "message_stream_token" => {
            vec![(
                "Its first token",
                json!({ "message_id": ASSISTANT_MESSAGE, "offset": 0, "next_offset": 3, "token": "You" }),
            )]
        }
        "message_stream_ended" => {
            let usage = json!({ "input_tokens": 7, "output_tokens": 9 });
            let timing = json!({ "first_token_ms": 21, "total_ms": 440 });
            vec![
                (
                    "The answer is over",
                    json!({
                        "message_id": ASSISTANT_MESSAGE, "finish_reason": "stop", "content": REPLY_TEXT, "usage": usage,
                        "timing": timing,
                    }),
                ),
                (
                    "The answer is over, and longer than one event may be",
                    json!({
                        "message_id": ASSISTANT_MESSAGE, "finish_reason": "stop", "content_omitted": true, "usage": usage,
                        "timing": timing,
                    }),
                ),
            ]
        }
        "pong" => vec![("Pong", json!({}))],
        "error" => Code::ALL
            .into_iter()
            .filter(|code| super::codes::places(*code).event)
            .map(|code| (code.as_str(), error_event(code)))
            .collect(),
        _ => Vec::new(),
    };
    let mut examples = examples;
    for (_, example) in &mut examples {
        example["type"] = kind.into();
        example["chat_id"] = CHAT.into();
        example["timestamp"] = "2026-11-23T04:58:24.790Z".into();
    }
    examples
}

fn error_event(code: Code) -> Value {
    let message_id: Option<MessageId> = serde_json::from_value(ASSISTANT_MESSAGE.into()).ok();
    let message_id = message_id.filter(|_| matches!(code, Code::AgentError | Code::AgentTimeout));
    let report = ErrorReport::new(&error(code), REQUEST_ID, message_id.as_ref());
    serde_json::to_value(report).unwrap_or_default()
}

/// The error that the API sends with a code, made by the API's own code where that is possible.
fn error(code: Code) -> ApiError {
    let now = Timestamp::from_millis(1_795_409_902_401);
    match code {
        Code::InvalidJson => refused(Fields::from_json(b"{\"user_id\":")),
        Code::InvalidParameter => refused(NewChat::read(fields(json!({ "user_id": "user 123" })))),
        Code::MissingParameter => refused(NewChat::read(fields(json!({})))),
        Code::UnknownField => refused(NewChat::read(fields(json!({ "user_id": USER, "titel": "Help" })))),
        Code::InvalidApiKey => AccessDenied::InvalidKey.into(),
        Code::TenantSuspended => AccessDenied::Suspended.into(),
        Code::MessageNotFound => ApiError::message_not_found(ASSISTANT_MESSAGE),
        Code::ChatNotFound => ApiError::chat_not_found(CHAT),
        Code::RouteNotFound => unknown_route(&"GET".parse().unwrap_or_default(), "/api/v1/chat"),
        Code::MethodNotAllowed => unknown_route(&"PUT".parse().unwrap_or_default(), &format!("/api/v1/chats/{CHAT}")),
        Code::RateLimitExceeded => {
            let ends_at = Timestamp::from_millis(now.as_millis() + 42_000);
            RateLimitStatus { bucket: RateLimitBucket::Rest, limit: 100, remaining: 0, ends_at }.exceeded(now)
        }
        Code::ConnectionLimitExceeded => connection_limit_exceeded(50),
        Code::GenerationLimitExceeded => generation_limit_exceeded(50),
        Code::MessageRateExceeded => message_rate_exceeded(600, Timestamp::from_millis(now.as_millis() + 42_000), now),
        Code::QuotaExceeded => quota_exceeded(
            QuotaExceeded {
                period: "day",
                quota: TokenQuota::tokens(1_000_000),
                resets_at: Day::of(now).end(),
                fits_later: true,
            },
            now,
        ),
        Code::Internal => ApiError::internal("an example"),
        Code::Unavailable => ApiError::unavailable("an example"),
        Code::UnknownType => refused(Frame::read(r#"{"type":"shout"}"#)),
        Code::MessageTooLarge => refused(Frame::read(&"x".repeat(MAX_EVENT_BYTES + 1))),
        Code::ChatAccessDenied => match (ChatId::parse(CHAT), UserId::parse("user456")) {
            (Some(chat), Some(user)) => ApiError::chat_access_denied(&chat, &user),
            _ => missing_example(code),
        },
        Code::MissingApiKey => ApiError::new(
            code,
            "No API key was sent.",
            "Send your tenant's API key in the header X-API-Key; when opening a WebSocket, the query parameter api_key \
             or a ticket will do.",
        ),
        Code::InvalidTicket => ApiError::new(
            code,
            "This ticket was used already, is older than a minute, or never was.",
            "Get a new one with POST /api/v1/chats/{chat_id}/tickets and connect with it within a minute.",
        ),
        Code::PayloadTooLarge => ApiError::new(code, "The body is too large.", "Send at most 65536 bytes.")
            .with_detail("got_bytes", 70_000)
            .with_detail("allowed_bytes", 65_536),
        Code::UnsupportedMediaType => {
            ApiError::new(code, "The body is not JSON.", "Send JSON with the header Content-Type: application/json.")
                .with_detail("got", "text/plain")
                .with_detail("allowed", "application/json")
        }
        Code::IdempotencyMismatch => ApiError::new(
            code,
            "This Idempotency-Key was used with another body within the last 24 hours.",
            "Send the same body again, or a new key with a new body.",
        ),
        Code::GenerationInProgress => ApiError::new(
            code,
            "Four answers are being streamed in this chat.",
            "Wait for one to end, then send the message again.",
        ),
        Code::AgentError => AgentError::from(Failure::Overloaded).into(),
        Code::AgentTimeout => AgentError::from(Failure::TimedOut).into(),
        Code::ConnectionClosing => AccessDenied::InvalidKey.closing(),
    }
}

fn fields(body: Value) -> Fields {
    Fields::from_json(body.to_string().as_bytes()).unwrap_or_else(|_| Fields::from_pairs([]))
}

fn refused<T>(result: Result<T, ApiError>) -> ApiError {
    match result {
        Ok(_) => missing_example(Code::Internal),
        Err(error) => error,
    }
}

/// Marks an example that could not be made: a test fails on its empty message.
fn missing_example(code: Code) -> ApiError {
    ApiError::new(code, "", "")
}
