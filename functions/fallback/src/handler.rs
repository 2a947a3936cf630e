//! The handler of `$default`.

use lambda_http::RequestExt;
use shared::{
    error::ApiError,
    http::{self, Request, Response},
};

pub(crate) async fn handle(request: Request) -> Result<Response, ApiError> {
    if http::is_preflight(&request) {
        return Ok(http::no_content());
    }
    Err(http::unknown_route(request.method(), request.raw_http_path()))
}
