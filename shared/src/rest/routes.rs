//! Every route of the REST API.
//!
//! API Gateway does the routing, by `template.yaml`. A test compares that with this table, and so does a test of the
//! OpenAPI document; the responses to unknown routes come from it.

use std::collections::BTreeSet;

use http::Method;

use crate::domain::error::{ApiError, Code};

/// One route.
#[derive(Clone, Debug)]
pub struct Route {
    /// The method.
    pub method: Method,
    /// The path, with `{name}` for a parameter.
    pub path: &'static str,
    /// Whether the path works with a slash at its end too, which is then how it is documented.
    pub allows_trailing_slash: bool,
    /// The function that handles it.
    pub function: &'static str,
    /// The `operationId` in the OpenAPI document.
    pub operation_id: &'static str,
}

/// `POST /api/v1/chats/`.
pub const CREATE_CHAT: Route =
    Route::new(Method::POST, "/api/v1/chats", "create-chat", "createChat").with_trailing_slash();
/// `GET /api/v1/chats/user/{user_id}`.
pub const LIST_USER_CHATS: Route =
    Route::new(Method::GET, "/api/v1/chats/user/{user_id}", "list-user-chats", "listUserChats");
/// `GET /api/v1/chats/{chat_id}`.
pub const GET_CHAT: Route = Route::new(Method::GET, "/api/v1/chats/{chat_id}", "get-chat", "getChat");
/// `PATCH /api/v1/chats/{chat_id}`.
pub const UPDATE_CHAT: Route = Route::new(Method::PATCH, "/api/v1/chats/{chat_id}", "update-chat", "updateChat");
/// `DELETE /api/v1/chats/{chat_id}`.
pub const DELETE_CHAT: Route = Route::new(Method::DELETE, "/api/v1/chats/{chat_id}", "delete-chat", "deleteChat");
/// `GET /api/v1/chats/{chat_id}/messages`.
pub const LIST_MESSAGES: Route =
    Route::new(Method::GET, "/api/v1/chats/{chat_id}/messages", "list-messages", "listMessages");
/// `POST /api/v1/chats/{chat_id}/tickets`.
pub const CREATE_TICKET: Route =
    Route::new(Method::POST, "/api/v1/chats/{chat_id}/tickets", "create-ticket", "createTicket");

/// `GET /api/v1/usage`.
pub const GET_USAGE: Route = Route::new(Method::GET, "/api/v1/usage", "get-usage", "getUsage");

/// Every route.
pub static ROUTES: [Route; 8] =
    [CREATE_CHAT, LIST_USER_CHATS, GET_CHAT, UPDATE_CHAT, DELETE_CHAT, LIST_MESSAGES, CREATE_TICKET, GET_USAGE];

impl Route {
    const fn new(method: Method, path: &'static str, function: &'static str, operation_id: &'static str) -> Self {
        Self { method, path, allows_trailing_slash: false, function, operation_id }
    }

    const fn with_trailing_slash(mut self) -> Self {
        self.allows_trailing_slash = true;
        self
    }

    /// The path in the OpenAPI document.
    #[must_use]
    pub fn documented_path(&self) -> String {
        if self.allows_trailing_slash { format!("{}/", self.path) } else { self.path.to_owned() }
    }

    /// The route keys in the template. A route key cannot end in a slash, so that `POST /path/` needs the greedy one.
    #[must_use]
    pub fn route_keys(&self) -> Vec<String> {
        let Self { method, path, .. } = self;
        let mut keys = vec![format!("{method} {path}")];
        if self.allows_trailing_slash {
            keys.push(format!("{method} {path}/{{proxy+}}"));
        }
        keys
    }

    /// Whether a request's path is this route's.
    fn matches(&self, path: &str) -> bool {
        let path = if self.allows_trailing_slash { path.strip_suffix('/').unwrap_or(path) } else { path };
        let (mut expected, mut given) = (self.path.split('/'), path.split('/'));
        loop {
            match (expected.next(), given.next()) {
                (None, None) => return true,
                (Some(expected), Some(given)) if expected.starts_with('{') && !given.is_empty() => {}
                (Some(expected), Some(given)) if expected == given => {}
                _ => return false,
            }
        }
    }
}

/// Whether a path is that of the chat collection, with or without its slash. By the greedy route, API Gateway sends
/// every `POST` below the collection to the function that creates chats.
#[must_use]
pub fn is_chat_collection(path: &str) -> bool {
    CREATE_CHAT.matches(path)
}

/// The error for a request that no route takes: `METHOD_NOT_ALLOWED` where the path has other methods, else
/// `ROUTE_NOT_FOUND`.
#[must_use]
pub fn unknown_route(method: &Method, path: &str) -> ApiError {
    let routes = ROUTES.iter().filter(|route| route.matches(path));
    let allowed: BTreeSet<&str> = routes.map(|route| route.method.as_str()).collect();
    let allowed: Vec<&str> = allowed.into_iter().collect();
    let shown: String = path.chars().take(256).collect();
    if allowed.is_empty() {
        return ApiError::new(
            Code::RouteNotFound,
            "There is nothing at this path.",
            "Look up the path in the API's documentation; only POST /api/v1/chats/ may end in a slash.",
        )
        .with_detail("path", shown);
    }
    let allow = allowed.join(", ");
    ApiError::new(Code::MethodNotAllowed, format!("{method} is not possible here."), format!("Use one of: {allow}."))
        .with_detail("path", shown)
        .with_detail("allowed", allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allow(method: &Method, path: &str) -> Option<String> {
        let error = unknown_route(method, path);
        let methods = error.detail("allowed")?.as_array()?.iter().filter_map(|method| method.as_str());
        Some(methods.collect::<Vec<_>>().join(", "))
    }

    #[test]
    fn known_path_with_another_method_names_its_methods() {
        assert_eq!(allow(&Method::GET, "/api/v1/chats/").as_deref(), Some("POST"));
        assert_eq!(allow(&Method::GET, "/api/v1/chats").as_deref(), Some("POST"));
        assert_eq!(allow(&Method::POST, "/api/v1/chats/chat_1").as_deref(), Some("DELETE, GET, PATCH"));
        assert_eq!(allow(&Method::POST, "/api/v1/chats/user/messages").as_deref(), Some("GET"));
        assert_eq!(allow(&Method::PUT, "/api/v1/chats/chat_1/messages").as_deref(), Some("GET"));
    }

    #[test]
    fn unknown_path_is_not_found() {
        for path in [
            "/",
            "/api/v1/chat",
            "/api/v1/chats/chat_1/",
            "/api/v1/chats//messages",
            "/api/v1/chats/a/b/c",
            "/api/v1/chats//",
        ] {
            assert_eq!(unknown_route(&Method::GET, path).code(), Code::RouteNotFound, "{path}");
            assert_eq!(allow(&Method::GET, path), None, "{path}");
        }
    }

    #[test]
    fn only_the_bare_collection_creates_chats() {
        assert!(is_chat_collection("/api/v1/chats") && is_chat_collection("/api/v1/chats/"));
        assert!(!is_chat_collection("/api/v1/chats/chat_1") && !is_chat_collection("/api/v1/chats//"));
    }

    #[test]
    fn trailing_slash_is_documented_and_needs_the_greedy_route() {
        assert_eq!(CREATE_CHAT.documented_path(), "/api/v1/chats/");
        assert_eq!(CREATE_CHAT.route_keys(), ["POST /api/v1/chats", "POST /api/v1/chats/{proxy+}"]);
        assert_eq!(GET_CHAT.route_keys(), ["GET /api/v1/chats/{chat_id}"]);
    }
}
