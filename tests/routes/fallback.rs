//! Paths and methods that do not exist.

mod black_box {
    use reqwest::{Method, StatusCode, header};
    use tests::Api;

    #[tokio::test]
    async fn unknown_path_gets_the_common_error_body() {
        let tenant = Api::shared().tenant("unknown paths").await;
        // `/` is the playground on the local stack.
        for path in ["/api", "/api/v2/chats", "/api/v1/chats/x/y", "/api/v1/chats/chat_x/", "/openapi.json"] {
            let response = tenant.get(path).await;
            assert_eq!((response.status.as_u16(), response.code()), (404, "ROUTE_NOT_FOUND"), "{path}");
            assert!(response.body["error"]["details"]["suggestion"].is_string());
            assert_eq!(response.body["request_id"], response.headers["x-request-id"].to_str().expect("text"), "{path}");
        }
    }

    #[tokio::test]
    async fn known_path_lists_its_methods() {
        let tenant = Api::shared().tenant("methods").await;
        for (method, path, allow) in [
            (Method::GET, "/api/v1/chats/", "POST"),
            (Method::PUT, "/api/v1/chats", "POST"),
            (Method::PUT, "/api/v1/chats/chat_x", "DELETE, GET, PATCH"),
            (Method::DELETE, "/api/v1/chats/chat_x/messages", "GET"),
            (Method::POST, "/api/v1/chats/user/u", "GET"),
            (Method::GET, "/api/v1/chats/chat_x/tickets", "POST"),
        ] {
            let response = tenant.send(tenant.request(method.clone(), path)).await;
            assert_eq!((response.status.as_u16(), response.code()), (405, "METHOD_NOT_ALLOWED"), "{method} {path}");
            assert_eq!(response.headers[header::ALLOW], allow, "{method} {path}");
        }
    }

    #[tokio::test]
    async fn cors_preflight_is_allowed() {
        let tenant = Api::shared().tenant("preflight").await;
        let preflight = tenant.request(Method::OPTIONS, "/api/v1/chats/").header("Origin", "https://app.example.com");
        let response =
            preflight.header("Access-Control-Request-Method", "POST").send().await.expect("the gateway responds");
        assert_eq!(response.status(), StatusCode::NO_CONTENT);
        let other = tenant.send(tenant.request(Method::OPTIONS, "/api/v1/chats/")).await;
        assert_eq!(other.code(), "METHOD_NOT_ALLOWED");
    }
}
