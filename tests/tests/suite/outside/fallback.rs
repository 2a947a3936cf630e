//! Paths and methods that do not exist.

use reqwest::{Method, header};
use tests::Api;

#[tokio::test]
async fn unknown_paths_get_the_envelope_of_all_errors() {
    let tenant = Api::shared().tenant("unknown paths").await;
    for path in ["/", "/api", "/api/v2/chats", "/api/v1/chats/x/y", "/api/v1/chats/chat_x/", "/openapi.json"] {
        let answer = tenant.get(path).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (404, "ROUTE_NOT_FOUND"), "{path}");
        assert!(answer.body["error"]["details"]["suggestion"].is_string());
        assert_eq!(answer.body["request_id"], answer.headers["x-request-id"].to_str().expect("text"), "{path}");
    }
}

#[tokio::test]
async fn known_paths_say_which_methods_they_have() {
    let tenant = Api::shared().tenant("methods").await;
    for (method, path, allow) in [
        (Method::GET, "/api/v1/chats/", "POST"),
        (Method::PUT, "/api/v1/chats", "POST"),
        (Method::PUT, "/api/v1/chats/chat_x", "DELETE, GET, PATCH"),
        (Method::DELETE, "/api/v1/chats/chat_x/messages", "GET"),
        (Method::POST, "/api/v1/chats/user/u", "GET"),
        (Method::GET, "/api/v1/chats/chat_x/tickets", "POST"),
    ] {
        let answer = tenant.send(tenant.request(method.clone(), path)).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (405, "METHOD_NOT_ALLOWED"), "{method} {path}");
        assert_eq!(answer.headers[header::ALLOW], allow, "{method} {path}");
    }
}
