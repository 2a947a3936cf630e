//! Running a handler as a Lambda function.

use std::future::Future;

use http::{HeaderName, HeaderValue};
use lambda_http::{Error, RequestExt, request::RequestContext, service_fn};

use super::{Request, Response, rate_limit_headers::rate_limit_headers, request, response};
use crate::{
    auth::{Authenticator, Tenant},
    domain::{error::ApiError, id::TenantId, limits::RateLimitBucket, time::Timestamp},
    runtime::{
        after_response::AfterResponse,
        catch_panic::catch_panic,
        config::Config,
        deadline::within_deadline,
        telemetry::{self, RequestEnd, RequestStart, Trace},
    },
};

/// Runs `handler` for every request of a tenant until the process ends.
///
/// The authenticator comes first: it finds the tenant, counts the request, and says with every answer from then on how much
/// of the window is left.
///
/// # Errors
///
/// When the runtime cannot be reached.
pub async fn serve<H, F>(
    config: &Config,
    authenticator: Authenticator,
    bucket: RateLimitBucket,
    handler: H,
) -> Result<(), Error>
where
    H: Fn(Tenant, Request) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<Response, ApiError>> + Send + 'static,
{
    run(config, move |request: Request| {
        let (authenticator, handler) = (authenticator.clone(), handler.clone());
        async move {
            let now = Timestamp::now();
            let mut rate_limit = None;
            let handling = async {
                let (admitted, left) = authenticator.admit(request::api_key(&request), bucket, now).await;
                rate_limit = left;
                handler(admitted?, request).await
            };
            let result = catch_panic(within_deadline(handling)).await;
            (result, rate_limit.map(|status| rate_limit_headers(&status, now)).into_iter().flatten().collect())
        }
    })
    .await
}

/// As [`serve`], for handlers that cannot do without something from the tables: it is `read` at the same time as the
/// request is let in, so that it costs no round trip of its own.
///
/// Whose key it is must be known for that, not yet whether the gate is open: what was read for a request that is then
/// refused is dropped unseen. So `read` must change nothing, and should cost little.
///
/// # Errors
///
/// When the runtime cannot be reached.
pub async fn serve_reading<R, B, T, H, F>(
    config: &Config,
    authenticator: Authenticator,
    bucket: RateLimitBucket,
    read: R,
    handler: H,
) -> Result<(), Error>
where
    R: Fn(TenantId, &Request) -> B + Clone + Send + Sync + 'static,
    B: Future<Output = Result<T, ApiError>> + Send + 'static,
    T: Send + 'static,
    H: Fn(Tenant, Request, T) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<Response, ApiError>> + Send + 'static,
{
    run(config, move |request: Request| {
        let (authenticator, read, handler) = (authenticator.clone(), read.clone(), handler.clone());
        async move {
            let now = Timestamp::now();
            let mut rate_limit = None;
            let handling = async {
                let key = request::api_key(&request);
                let (owner, _) = authenticator.identify(key).await?;
                let reading = catch_panic(read(owner.clone(), &request));
                let ((admitted, left), found) = tokio::join!(authenticator.admit(key, bucket, now), reading);
                rate_limit = left;
                let tenant = admitted?;
                // The key may have moved to another tenant since this process last saw it.
                let found = if tenant.id == owner { found? } else { read(tenant.id.clone(), &request).await? };
                handler(tenant, request, found).await
            };
            let result = catch_panic(within_deadline(handling)).await;
            (result, rate_limit.map(|status| rate_limit_headers(&status, now)).into_iter().flatten().collect())
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
        let handling = catch_panic(handler(request));
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
    lambda_http::runtime(service).layer(AfterResponse::new(config)).run().await
}

async fn answer<H, F>(request: Request, handle: H) -> Response
where
    H: Fn(Request) -> F,
    F: Future<Output = Handled>,
{
    let request_id = request::request_id(&request);
    let trace = request.lambda_context().xray_trace_id.as_deref().and_then(Trace::parse);
    let asked = RequestStart { request_id: request_id.clone(), route: route(&request), trace };
    let handling = handle(request);
    let (mut response, headers) = telemetry::log_request(asked, async {
        let (result, headers) = handling.await;
        let mut code = None;
        let response = result.unwrap_or_else(|error| {
            telemetry::log_cause(&error, &request_id);
            code = Some(error.code());
            response::error(&error, &request_id)
        });
        let answered = RequestEnd { status: response.status().as_u16(), code };
        ((response, headers), answered)
    })
    .await;
    response::guard(&mut response);
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
