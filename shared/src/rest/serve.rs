//! The bootstrap of REST functions, and what all of them do around a handler.

use std::{convert::Infallible, future::Future};

use futures_util::FutureExt;
use http::{HeaderName, HeaderValue};
use lambda_http::{Error, RequestExt, request::RequestContext, service_fn};

use super::{
    rate_limit_headers::rate_limit_headers,
    request::{self, Request},
    response::{self, Response},
};
use crate::{
    auth::{Authenticator, Tenant},
    domain::{
        error::ApiError,
        id::TenantId,
        limits::{RateLimitBucket, RateLimitStatus},
        time::Timestamp,
    },
    runtime::{
        after_response::AfterResponse,
        bootstrap::{self, Clients},
        config::{FallbackConfig, RestConfig, RuntimeConfig},
        deadline::within_deadline,
        panics::catch_panic,
        telemetry::{self, RequestEnd, RequestStart, Trace},
    },
    storage::TenantRepository,
};

/// The name of the header with API Gateway's id of the request.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A function that serves tenants. Its application `A` is built once, before the first request.
#[derive(Debug)]
pub struct RestFunction<C, A> {
    crate_name: &'static str,
    app: fn(C, &Clients) -> A,
    bucket: RateLimitBucket,
}

impl<C, A> RestFunction<C, A>
where
    C: RestConfig,
    A: Clone + Send + Sync + 'static,
{
    /// The function `env!("CARGO_CRATE_NAME")` with the application that `app` builds.
    #[must_use]
    pub fn new(crate_name: &'static str, app: fn(C, &Clients) -> A) -> Self {
        Self { crate_name, app, bucket: RateLimitBucket::Rest }
    }

    /// Counts requests in another window than that of most functions.
    #[must_use]
    pub fn counted_in(self, bucket: RateLimitBucket) -> Self {
        Self { bucket, ..self }
    }

    /// Runs `handler` for every admitted request, until the process ends.
    ///
    /// # Errors
    ///
    /// When the environment is invalid, or the runtime cannot be reached.
    pub async fn run<H, F>(self, handler: H) -> Result<(), Error>
    where
        H: Fn(A, Tenant, Request) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Result<Response, ApiError>> + Send + 'static,
    {
        let bucket = self.bucket;
        let (runtime, authenticator, app) = self.start().await?;
        serve(&runtime, move |request| {
            let (authenticator, handler, app) = (authenticator.clone(), handler.clone(), app.clone());
            async move {
                let now = Timestamp::now();
                let mut rate_limit = None;
                let handling = async {
                    let (admitted, status) = authenticator.admit(request::api_key(&request), bucket, now).await;
                    rate_limit = status;
                    handler(app, admitted?, request).await
                };
                // The compiler limits how deeply types are nested, hence boxed.
                let result = catch_panic(within_deadline(handling.boxed())).await;
                Handled { result, rate_limit, now }
            }
        })
        .await
    }

    /// As [`run`](Self::run), for handlers that always need one read: `read` runs beside the admission, so that it costs
    /// no round trip of its own. `parameter` says what is read; its error is returned once the request is admitted.
    ///
    /// The read starts when the tenant is known, before its access is checked. The result for a refused request is
    /// dropped, so `read` must change nothing, and should cost little.
    ///
    /// # Errors
    ///
    /// When the environment is invalid, or the runtime cannot be reached.
    pub async fn run_with_read<P, R, B, T, H, F>(
        self,
        parameter: fn(&Request) -> Result<P, ApiError>,
        read: R,
        handler: H,
    ) -> Result<(), Error>
    where
        P: Send + 'static,
        R: Fn(A, TenantId, P) -> B + Clone + Send + Sync + 'static,
        B: Future<Output = Result<T, ApiError>> + Send + 'static,
        T: Send + 'static,
        H: Fn(A, Tenant, Request, T) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Result<Response, ApiError>> + Send + 'static,
    {
        let bucket = self.bucket;
        let (runtime, authenticator, app) = self.start().await?;
        serve(&runtime, move |request| {
            let (authenticator, read, handler, app) =
                (authenticator.clone(), read.clone(), handler.clone(), app.clone());
            async move {
                let now = Timestamp::now();
                let mut rate_limit = None;
                let handling = async {
                    let key = request::api_key(&request);
                    let (owner, _) = authenticator.identify(key).await?;
                    let read_for = async |tenant: TenantId| read(app.clone(), tenant, parameter(&request)?).await;
                    let ((admitted, status), found) =
                        tokio::join!(authenticator.admit(key, bucket, now), catch_panic(read_for(owner.clone())));
                    rate_limit = status;
                    let tenant = admitted?;
                    // The key may have moved to another tenant since this process last read whose it is.
                    let found = if tenant.id == owner { found? } else { read_for(tenant.id.clone()).await? };
                    handler(app, tenant, request, found).await
                };
                let result = catch_panic(within_deadline(handling)).await;
                Handled { result, rate_limit, now }
            }
        })
        .await
    }

    async fn start(self) -> Result<(RuntimeConfig, Authenticator, A), Error> {
        let (runtime, config) = bootstrap::start::<C>(self.crate_name)?;
        let clients = Clients::load().await;
        let tenants = TenantRepository::new(clients.dynamodb(), config.tenants_table().to_owned());
        Ok((runtime, Authenticator::new(tenants), (self.app)(config, &clients)))
    }
}

/// Runs a handler that needs no API key, until the process ends.
///
/// # Errors
///
/// When the environment is invalid, or the runtime cannot be reached.
pub async fn run_public<H, F>(crate_name: &'static str, handler: H) -> Result<(), Error>
where
    H: Fn(Request) -> F + Clone + Send + 'static,
    F: Future<Output = Result<Response, ApiError>> + Send + 'static,
{
    let (runtime, FallbackConfig) = bootstrap::start(crate_name)?;
    serve(&runtime, move |request| {
        let handling = catch_panic(handler(request));
        async move { Handled { result: handling.await, rate_limit: None, now: Timestamp::now() } }
    })
    .await
}

/// What a handler returned, and what its response's headers say of the rate limit.
struct Handled {
    result: Result<Response, ApiError>,
    rate_limit: Option<RateLimitStatus>,
    now: Timestamp,
}

async fn serve<H, F>(runtime: &RuntimeConfig, handle: H) -> Result<(), Error>
where
    H: Fn(Request) -> F + Clone + Send + 'static,
    F: Future<Output = Handled> + Send + 'static,
{
    let service = service_fn(move |request| {
        let handle = handle.clone();
        async move { Ok::<_, Infallible>(respond(request, handle).await) }
    });
    lambda_http::runtime(service).layer(AfterResponse::new(runtime)).run().await
}

/// The response to one request. An error becomes the envelope of the contract; its cause is logged here, once.
async fn respond<H, F>(request: Request, handle: H) -> Response
where
    H: Fn(Request) -> F,
    F: Future<Output = Handled>,
{
    let request_id = request::request_id(&request);
    let trace = request.lambda_context().xray_trace_id.as_deref().and_then(Trace::parse);
    let start = RequestStart { request_id: request_id.clone(), route: route(&request), trace };
    let handling = handle(request);
    let mut response = telemetry::log_request(start, async {
        let Handled { result, rate_limit, now } = handling.await;
        let code = result.as_ref().err().map(ApiError::code);
        let mut response = result.unwrap_or_else(|error| {
            telemetry::log_cause(&error, &request_id);
            response::error(&error, &request_id)
        });
        let headers = rate_limit.map(|status| rate_limit_headers(&status, now));
        let headers = headers.into_iter().flatten();
        response.headers_mut().extend(headers.map(|(name, value)| (HeaderName::from_static(name), value)));
        let end = RequestEnd { status: response.status().as_u16(), code };
        (response, end)
    })
    .await;
    response::add_security_headers(&mut response);
    if let Ok(value) = HeaderValue::from_str(&request_id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

/// The route key: never the path, which holds ids.
fn route(request: &Request) -> String {
    match request.request_context_ref() {
        Some(RequestContext::ApiGatewayV2(context)) => context.route_key.clone().unwrap_or_default(),
        _ => String::new(),
    }
}
