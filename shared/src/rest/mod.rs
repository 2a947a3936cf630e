//! The HTTP edge: from an event of API Gateway to a handler, and from its result to a response.
//!
//! May import every other layer but the two other edges, `websocket::serve` and `schedule`.

mod rate_limit_headers;
mod request;
mod response;
mod routes;
mod serve;

pub use request::{
    Request, chat_id, idempotency_key, is_cors_preflight, json_body, no_body, query, request_id, user_id,
};
pub use response::{Response, created, created_at, no_content, ok, replayed};
pub use routes::{
    CREATE_CHAT, CREATE_TICKET, DELETE_CHAT, GET_CHAT, GET_USAGE, LIST_MESSAGES, LIST_USER_CHATS, ROUTES, Route,
    UPDATE_CHAT, is_chat_collection, unknown_route,
};
pub use serve::{RestFunction, run_public};
