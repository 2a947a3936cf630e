//! Running a handler as a Lambda function.

use std::{any::Any, future::Future, panic::AssertUnwindSafe, time::Instant};

use futures_util::FutureExt;
use http::HeaderValue;
use lambda_http::{Error, RequestExt, request::RequestContext, service_fn};

use super::{Request, Response, response};
use crate::{after::AfterAnswer, config::Config, error::ApiError, telemetry};

/// Runs `handler` for every request until the process ends.
///
/// Each answer carries `X-Request-Id`, API Gateway's id of the request. An error becomes the envelope of the contract,
/// and so does a panic; what caused it is logged here, once, under the same id.
///
/// # Errors
///
/// When the runtime cannot be reached.
pub async fn serve<H, F>(config: &Config, handler: H) -> Result<(), Error>
where
    H: Fn(Request) -> F + Clone + Send + 'static,
    F: Future<Output = Result<Response, ApiError>> + Send + 'static,
{
    let service = service_fn(move |request| {
        let handler = handler.clone();
        async move { Ok::<_, std::convert::Infallible>(answer(request, handler).await) }
    });
    lambda_http::runtime(service).layer(AfterAnswer::new(config)).run().await
}

async fn answer<H, F>(request: Request, handler: H) -> Response
where
    H: Fn(Request) -> F,
    F: Future<Output = Result<Response, ApiError>>,
{
    let begun = Instant::now();
    let (request_id, route) = identify(&request);
    let result = AssertUnwindSafe(async move { handler(request).await }).catch_unwind().await;
    let result = result.unwrap_or_else(|panic| Err(ApiError::internal(panic_message(panic.as_ref()))));

    let mut code = None;
    let mut response = result.unwrap_or_else(|error| {
        telemetry::log_cause(&error, &request_id);
        code = Some(error.code().as_str());
        response::error(&error, &request_id)
    });
    tracing::info!(
        request_id,
        route,
        status = response.status().as_u16(),
        error.code = code,
        duration_ms = begun.elapsed().as_secs_f64() * 1e3,
        "answered"
    );
    if let Ok(value) = HeaderValue::from_str(&request_id) {
        response.headers_mut().insert("x-request-id", value);
    }
    response
}

/// The request's id and its route as in the template: never the path, which holds ids.
fn identify(request: &Request) -> (String, String) {
    let RequestContext::ApiGatewayV2(context) = request.request_context() else {
        return Default::default();
    };
    let request_id = context.request_id.unwrap_or_else(|| request.lambda_context().request_id);
    (request_id, context.route_key.unwrap_or_default())
}

/// What a panic said.
pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
    format!("panicked: {text}")
}
