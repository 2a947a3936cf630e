//! The handler of `$default`.

use lambda_http::RequestExt;
use shared::{
    domain::error::ApiError,
    rest::{self, Request, Response},
};

pub(crate) async fn handle(request: Request) -> Result<Response, ApiError> {
    if rest::is_cors_preflight(&request) {
        return Ok(rest::no_content());
    }
    Err(rest::unknown_route(request.method(), request.raw_http_path()))
}

#[cfg(test)]
mod tests {
    use lambda_http::{
        Body,
        http::{Method, StatusCode},
    };
    use shared::domain::error::Code;

    use super::*;

    fn request(method: Method, path: &str) -> Request {
        let mut request = Request::new(Body::Empty).with_raw_http_path(path);
        *request.method_mut() = method;
        request
    }

    async fn refused(method: Method, path: &str) -> Code {
        handle(request(method, path)).await.expect_err("no route").code()
    }

    #[tokio::test]
    async fn preflight_has_no_content() {
        let mut preflight = request(Method::OPTIONS, "/api/v1/chats/");
        let headers = [("origin", "https://app.example.com"), ("access-control-request-method", "POST")];
        for (name, value) in headers {
            preflight.headers_mut().insert(name, value.parse().expect("a header value"));
        }
        assert_eq!(handle(preflight).await.expect("a response").status(), StatusCode::NO_CONTENT);
    }

    #[tokio::test]
    async fn unknown_path_and_unknown_method_are_told_apart() {
        assert_eq!(refused(Method::GET, "/").await, Code::RouteNotFound);
        assert_eq!(refused(Method::PUT, "/api/v1/chats/chat_1").await, Code::MethodNotAllowed);
        assert_eq!(refused(Method::OPTIONS, "/api/v1/chats/").await, Code::MethodNotAllowed);
    }
}
