//! Running a handler as a Lambda function.

use std::{any::Any, future::Future, panic::AssertUnwindSafe, time::Instant};

use futures_util::FutureExt;
use http::{HeaderName, HeaderValue};
use lambda_http::{Error, RequestExt, request::RequestContext, service_fn};

use super::{Request, Response, request, response};
use crate::{
    after::AfterAnswer,
    auth::{Doorkeeper, Tenant},
    config::Config,
    error::ApiError,
    limits::Meter,
    telemetry,
    time::Timestamp,
};

/// Runs `handler` for every request of a tenant until the process ends.
///
/// The doorkeeper comes first: it finds the tenant, counts the request, and says with every answer from then on how much
/// of the window is left.
///
/// # Errors
///
/// When the runtime cannot be reached.
pub async fn serve<H, F>(config: &Config, doorkeeper: Doorkeeper, meter: Meter, handler: H) -> Result<(), Error>
where
    H: Fn(Tenant, Request) -> F + Clone + Send + 'static,
    F: Future<Output = Result<Response, ApiError>> + Send + 'static,
{
    run(config, move |request: Request| {
        let (doorkeeper, handler) = (doorkeeper.clone(), handler.clone());
        async move {
            let now = Timestamp::now();
            let (admitted, quota) = doorkeeper.admit(request::api_key(&request), meter, now).await;
            let result = match admitted {
                Ok(tenant) => caught(handler(tenant, request)).await,
                Err(error) => Err(error),
            };
            (result, quota.map(|quota| quota.headers(now)).into_iter().flatten().collect())
        }
    })
    .await
}

/// Runs `handler` for every request of anybody until the process ends.
///
/// # Errors
///
/// When the runtime cannot be reached.
pub async fn serve_anybody<H, F>(config: &Config, handler: H) -> Result<(), Error>
where
    H: Fn(Request) -> F + Clone + Send + 'static,
    F: Future<Output = Result<Response, ApiError>> + Send + 'static,
{
    run(config, move |request| {
        let handling = caught(handler(request));
        async move { (handling.await, Vec::new()) }
    })
    .await
}

/// A handler's result, and the headers that its response gets whatever it is.
type Handled = (Result<Response, ApiError>, Vec<(&'static str, HeaderValue)>);

/// Runs until the process ends. Each answer carries `X-Request-Id`, API Gateway's id of the request. An error becomes
/// the envelope of the contract; what caused it is logged here, once, under the same id.
async fn run<H, F>(config: &Config, handle: H) -> Result<(), Error>
where
    H: Fn(Request) -> F + Clone + Send + 'static,
    F: Future<Output = Handled> + Send + 'static,
{
    let service = service_fn(move |request| {
        let handle = handle.clone();
        async move { Ok::<_, std::convert::Infallible>(answer(request, handle).await) }
    });
    lambda_http::runtime(service).layer(AfterAnswer::new(config)).run().await
}

async fn answer<H, F>(request: Request, handle: H) -> Response
where
    H: Fn(Request) -> F,
    F: Future<Output = Handled>,
{
    let begun = Instant::now();
    let (request_id, route) = (request::request_id(&request), route(&request));
    let (result, headers) = handle(request).await;

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
    response.headers_mut().extend(headers.into_iter().map(|(name, value)| (HeaderName::from_static(name), value)));
    if let Ok(value) = HeaderValue::from_str(&request_id) {
        response.headers_mut().insert("x-request-id", value);
    }
    response
}

/// The request's route as in the template: never the path, which holds ids.
fn route(request: &Request) -> String {
    match request.request_context_ref() {
        Some(RequestContext::ApiGatewayV2(context)) => context.route_key.clone().unwrap_or_default(),
        _ => String::new(),
    }
}

/// What a handler returns; a panic becomes an error, so that its caller gets the envelope too.
///
/// # Errors
///
/// The handler's own, and `INTERNAL` for a panic.
pub async fn caught<T>(handling: impl Future<Output = Result<T, ApiError>>) -> Result<T, ApiError> {
    AssertUnwindSafe(handling).catch_unwind().await.unwrap_or_else(|panic| Err(panicked(panic.as_ref())))
}

fn panicked(panic: &(dyn Any + Send)) -> ApiError {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
    ApiError::internal(format!("panicked: {text}"))
}
