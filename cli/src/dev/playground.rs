//! The playground: a page that talks to the stack, and the routes that the backend of an app has for its page.
//!
//! As in an app, no API key reaches the page. The routes add the key of the demo tenant, and decide who the user is. The
//! page is `clients/js/playground`, which `npm run playground` builds.
//!
//! Pages of other sites must not use these routes in the name of the visitor: a request has the host name of this machine,
//! and comes from this page or from no page at all.

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Path, RawQuery, Request, State},
    http::{HeaderMap, Method, StatusCode, header},
    middleware::{Next, from_fn},
    response::{IntoResponse, Response},
    routing::{any, get},
};
use serde_json::{Value, json};
use shared::domain::id::ChatId;

use crate::local_stack::DEMO_API_KEY;

/// Whose chats the page shows.
const USER: &str = "playground";

const PAGE: &str = include_str!("../../../clients/js/playground/index.html");
const SCRIPT: &str = include_str!("../../../clients/js/playground/dist/main.js");
const STYLE: &str = include_str!("../../../clients/js/playground/dist/style.css");

/// The page loads nothing from elsewhere, whatever a model writes. A ticket has the address of the WebSocket.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; \
                                       connect-src 'self' ws://localhost:* ws://127.0.0.1:*; base-uri 'none'; \
                                       form-action 'none'; frame-ancestors 'none'";

/// The headers of the API that its backend passes on.
const PASSED_ON: [&str; 6] =
    ["content-type", "retry-after", "x-request-id", "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"];

#[derive(Clone)]
struct Backend {
    client: reqwest::Client,
    /// The address of the API.
    rest_url: String,
}

/// The page at `/`, its files, and its backend below `/playground/api`, for the API at `rest_url`.
pub(super) fn routes(rest_url: String) -> Router {
    let backend = Backend { client: reqwest::Client::new(), rest_url };
    Router::new()
        .route("/", get(async || file("text/html; charset=utf-8", PAGE)))
        .route("/playground/main.js", get(async || file("text/javascript; charset=utf-8", SCRIPT)))
        .route("/playground/style.css", get(async || file("text/css; charset=utf-8", STYLE)))
        .route("/playground/api/{*path}", any(call))
        .layer(from_fn(refuse_other_sites))
        .with_state(backend)
}

fn file(content_type: &'static str, text: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, content_type),
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // The next version of the command line has other files.
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, text).into_response()
}

async fn refuse_other_sites(request: Request, next: Next) -> Response {
    if is_of_this_page(request.headers()) {
        next.run(request).await
    } else {
        let message = "The playground is for this machine and its own page.";
        error(StatusCode::FORBIDDEN, "CHAT_ACCESS_DENIED", message, "Open it at http://localhost, with its port.")
    }
}

/// Whether a request has a host name of this machine, and no other site has sent it.
fn is_of_this_page(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let host = text("host").unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let is_local = ["localhost", "127.0.0.1", "[::1]"].contains(&name);
    // Browsers send at least one of these with a request that changes something.
    let is_same_site = text("sec-fetch-site").is_none_or(|site| ["same-origin", "none"].contains(&site));
    let is_same_origin = text("origin").is_none_or(|origin| origin == format!("http://{host}"));
    is_local && is_same_site && is_same_origin
}

/// Calls the API for the page.
async fn call(
    State(backend): State<Backend>,
    method: Method,
    Path(path): Path<String>,
    RawQuery(query): RawQuery,
    body: Bytes,
) -> Response {
    let Some(route) = api_route(&method, &path) else {
        let message = "The playground has no such route.";
        return error(StatusCode::NOT_FOUND, "ROUTE_NOT_FOUND", message, "Call the API below /api/v1, with a key.");
    };
    let url = format!("{}{route}?{}", backend.rest_url, query.unwrap_or_default());
    let mut request =
        backend.client.request(method.clone(), url.trim_end_matches('?')).header("X-API-Key", DEMO_API_KEY);
    if method == Method::POST && path == "chats" {
        request = request.json(&with_user(&body));
    } else if !body.is_empty() {
        request = request.header(header::CONTENT_TYPE, "application/json").body(body);
    }
    match request.send().await {
        Ok(response) => passed_on(response).await,
        Err(_) => {
            let message = "The local API does not respond.";
            error(StatusCode::BAD_GATEWAY, "UNAVAILABLE", message, "Look at the output of `cargo chat dev`.")
        }
    }
}

/// The route of the API for a route of the page.
fn api_route(method: &Method, path: &str) -> Option<String> {
    let segments: Vec<_> = path.split('/').collect();
    let chat = |id: &str| ChatId::parse(id).map(|id| format!("/api/v1/chats/{id}"));
    match (method.as_str(), segments.as_slice()) {
        ("GET", ["chats"]) => Some(format!("/api/v1/chats/user/{USER}")),
        ("POST", ["chats"]) => Some("/api/v1/chats/".to_owned()),
        ("GET" | "PATCH" | "DELETE", ["chats", id]) => chat(id),
        ("GET", ["chats", id, "messages"]) => Some(format!("{}/messages", chat(id)?)),
        ("POST", ["chats", id, "tickets"]) => Some(format!("{}/tickets", chat(id)?)),
        _ => None,
    }
}

/// The body of a new chat, which is the user's.
fn with_user(body: &[u8]) -> Value {
    let mut chat: Value = serde_json::from_slice(body).unwrap_or_default();
    if !chat.is_object() {
        chat = json!({});
    }
    chat["user_id"] = json!(USER);
    chat
}

async fn passed_on(response: reqwest::Response) -> Response {
    let (status, received) = (response.status(), response.headers().clone());
    let mut sent = Response::new(Body::from(response.bytes().await.unwrap_or_default()));
    *sent.status_mut() = status;
    for name in PASSED_ON {
        if let Some(value) = received.get(name) {
            sent.headers_mut().insert(name, value.clone());
        }
    }
    sent
}

/// An error in the API's envelope.
fn error(status: StatusCode, code: &str, message: &str, suggestion: &str) -> Response {
    let body = json!({ "error": { "code": code, "message": message, "details": { "suggestion": suggestion } } });
    (status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHAT: &str = "chat_01M83B8Y8V6KJPM4TQ4Z5S4R0C";

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value"))).collect()
    }

    #[test]
    fn requests_of_other_sites_and_names_are_refused() {
        for host in ["localhost:8000", "127.0.0.1:8000", "[::1]:8000", "localhost"] {
            assert!(is_of_this_page(&headers(&[("host", host)])), "{host}");
            assert!(is_of_this_page(&headers(&[("host", host), ("sec-fetch-site", "same-origin")])));
            assert!(!is_of_this_page(&headers(&[("host", host), ("sec-fetch-site", "cross-site")])));
            assert!(!is_of_this_page(&headers(&[("host", host), ("sec-fetch-site", "same-site")])));
            assert!(!is_of_this_page(&headers(&[("host", host), ("origin", "http://evil.example")])));
        }
        assert!(is_of_this_page(&headers(&[("host", "localhost:8000"), ("origin", "http://localhost:8000")])));
        for host in ["evil.example:8000", "localhost.evil.example", ""] {
            assert!(!is_of_this_page(&headers(&[("host", host)])), "{host}");
        }
        assert!(!is_of_this_page(&HeaderMap::new()));
    }

    #[test]
    fn page_reaches_the_chats_of_its_user_and_no_other_route() {
        let route = |method: &str, path: &str| api_route(&method.parse().expect("a method"), path);
        assert_eq!(route("GET", "chats").as_deref(), Some("/api/v1/chats/user/playground"));
        assert_eq!(route("POST", &format!("chats/{CHAT}/tickets")), Some(format!("/api/v1/chats/{CHAT}/tickets")));
        for (method, path) in [("GET", "usage"), ("GET", "chats/user"), ("PUT", "chats"), ("GET", "chats/../usage")] {
            assert_eq!(route(method, path), None, "{method} {path}");
        }
    }

    #[test]
    fn new_chat_is_the_users_whatever_the_page_says() {
        let chat = with_user(br#"{"user_id": "another", "title": "T"}"#);
        assert_eq!(chat, json!({ "user_id": USER, "title": "T" }));
        assert_eq!(with_user(b"[]"), json!({ "user_id": USER }));
    }
}
