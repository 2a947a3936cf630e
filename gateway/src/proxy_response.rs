//! What HTTP and WebSocket APIs share of a function's proxy response.

use axum::http::StatusCode;
use serde_json::Value;

/// `statusCode`, which may be a number or a string.
pub(crate) fn status_code(value: &Value) -> Option<StatusCode> {
    let number = match value {
        Value::Number(number) => number.as_u64()?,
        Value::String(text) => text.parse().ok()?,
        _ => return None,
    };
    StatusCode::from_u16(u16::try_from(number).ok()?).ok().filter(|status| status.as_u16() >= 200)
}
