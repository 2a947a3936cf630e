//! The handler of `$default`.

use lambda_http::RequestExt;
use shared::{
    domain::error::ApiError,
    rest::{self, Request, Response},
};

pub(crate) async fn handle(request: Request) -> Result<Response, ApiError> {
    if rest::is_preflight(&request) {
        return Ok(rest::no_content());
    }
    Err(rest::unknown_route(request.method(), request.raw_http_path()))
}
