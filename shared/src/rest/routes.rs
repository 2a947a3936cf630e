//! Which paths and methods exist, for the answers to those that do not.
//!
//! API Gateway does the routing, by `template.yaml`; a test holds this list against it.

use std::collections::BTreeSet;

use http::Method;

use crate::domain::error::{ApiError, Code};

/// Where chats are made and below which they live.
const COLLECTION: &str = "/api/v1/chats";

/// Every route of the REST API: path, methods.
pub const ROUTES: [(&str, &[Method]); 5] = [
    ("/api/v1/chats", &[Method::POST]),
    ("/api/v1/chats/user/{user_id}", &[Method::GET]),
    ("/api/v1/chats/{chat_id}", &[Method::GET, Method::PATCH, Method::DELETE]),
    ("/api/v1/chats/{chat_id}/messages", &[Method::GET]),
    ("/api/v1/chats/{chat_id}/tickets", &[Method::POST]),
];

/// Whether a path is that of the collection, with its slash or without: the only two where a chat is made. API Gateway
/// brings everything else below it that is posted to the same function, since a route key cannot end in a slash.
#[must_use]
pub fn is_bare_collection(path: &str) -> bool {
    path.strip_prefix(COLLECTION).is_some_and(|rest| matches!(rest, "" | "/"))
}

/// The error for a request that no route takes: `METHOD_NOT_ALLOWED` where the path exists with other methods, else
/// `ROUTE_NOT_FOUND`.
#[must_use]
pub fn unknown_route(method: &Method, path: &str) -> ApiError {
    let allowed: Vec<&str> = ROUTES
        .iter()
        .filter(|(template, _)| matches(template, path) || (*template == COLLECTION && is_bare_collection(path)))
        .flat_map(|(_, methods)| methods.iter().map(Method::as_str))
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    let shown: String = path.chars().take(256).collect();
    if allowed.is_empty() {
        return ApiError::new(
            Code::RouteNotFound,
            "There is nothing at this path.",
            "CommandPoll up the path in the API's documentation; only POST /api/v1/chats/ may end in a slash.",
        )
        .with_detail("path", shown);
    }
    let allow = allowed.join(", ");
    ApiError::new(Code::MethodNotAllowed, format!("{method} is not possible here."), format!("Use one of: {allow}."))
        .with_detail("path", shown)
        .with_detail("allowed", allowed)
}

fn matches(template: &str, path: &str) -> bool {
    let (mut expected, mut given) = (template.split('/'), path.split('/'));
    loop {
        match (expected.next(), given.next()) {
            (None, None) => return true,
            (Some(expected), Some(given)) if expected.starts_with('{') && !given.is_empty() => {}
            (Some(expected), Some(given)) if expected == given => {}
            _ => return false,
        }
    }
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
    fn a_known_path_says_which_methods_it_has() {
        assert_eq!(allow(&Method::GET, "/api/v1/chats/").as_deref(), Some("POST"));
        assert_eq!(allow(&Method::GET, "/api/v1/chats").as_deref(), Some("POST"));
        assert_eq!(allow(&Method::POST, "/api/v1/chats/chat_1").as_deref(), Some("DELETE, GET, PATCH"));
        assert_eq!(allow(&Method::POST, "/api/v1/chats/user/messages").as_deref(), Some("GET"));
        assert_eq!(allow(&Method::PUT, "/api/v1/chats/chat_1/messages").as_deref(), Some("GET"));
    }

    #[test]
    fn other_paths_do_not_exist() {
        for path in ["/", "/api/v1/chat", "/api/v1/chats/chat_1/", "/api/v1/chats//messages", "/api/v1/chats/a/b/c"] {
            assert_eq!(allow(&Method::GET, path), None, "{path}");
        }
    }
}
