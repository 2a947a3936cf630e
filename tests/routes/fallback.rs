//! Paths and methods that do not exist.

mod black_box {
    use reqwest::{Method, StatusCode, header};
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

    #[tokio::test]
    async fn a_browser_that_asks_before_it_sends_is_not_refused() {
        let tenant = Api::shared().tenant("preflight").await;
        let ask = tenant.request(Method::OPTIONS, "/api/v1/chats/").header("Origin", "https://app.example.com");
        let answer = ask.header("Access-Control-Request-Method", "POST").send().await.expect("the gateway answers");
        assert_eq!(answer.status(), StatusCode::NO_CONTENT);
        let other = tenant.send(tenant.request(Method::OPTIONS, "/api/v1/chats/")).await;
        assert_eq!(other.code(), "METHOD_NOT_ALLOWED");
    }
}
