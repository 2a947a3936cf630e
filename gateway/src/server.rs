//! Starts, serves and stops a gateway; routes each request to one of the three APIs.

use std::{fmt, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{ConnectInfo, Request, State},
    http::StatusCode,
    response::Response,
};
use tokio::{net::TcpListener, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{info, warn};

use crate::{
    access_log::TARGET,
    connections::Connections,
    error::GatewayError,
    gateway_response::message_response,
    http_api::HttpApi,
    invoke::{InvokeError, Invoker},
    listener::{SharedListener, SourceAddress},
    management_api,
    options::Options,
    schedule,
    template::{self, HttpRoute, Schedule, Template},
    warm_up,
    websocket_api::{Limits, WebSocketApi},
};

/// An emulator may compile a function before its first invocation.
const WARM_UP_TIMEOUT: Duration = Duration::from_secs(600);
/// How long requests and sockets may take to end after a shutdown.
const SHUTDOWN_GRACE_PERIOD: Duration = Duration::from_millis(1500);

/// A gateway that listens. It responds while it [warms up](Gateway::warm_up) and while it [serves](Gateway::serve).
pub struct Gateway {
    listener: SharedListener,
    address: SocketAddr,
    routes: Vec<HttpRoute>,
    api: Option<template::WebSocketApi>,
    schedules: Vec<Schedule>,
    invoker: Arc<Invoker>,
    server: Arc<Server>,
    other_routes: Router,
}

struct Server {
    http_api: HttpApi,
    websocket_path: String,
    websocket_api: Option<Arc<WebSocketApi>>,
    connections: Arc<Connections>,
    invoker: Arc<Invoker>,
    tasks: TaskTracker,
    shutdown: CancellationToken,
}

impl Gateway {
    /// Reads functions, routes and schedules of a template, and listens.
    ///
    /// # Errors
    ///
    /// When the template cannot be used, or when it cannot listen: [`GatewayError::AddressInUse`] if another process
    /// listens on the address.
    pub async fn bind(template: &Template, options: Options) -> Result<Self, GatewayError> {
        let address = options.listen;
        let routes = template.http_routes()?;
        let api = template.websocket_api()?;
        let schedules = template.schedules()?;
        let functions = template.functions()?.into_iter().map(|function| function.name);
        let invoker = Invoker::new(&options.invoke_endpoint, functions, options.invocations_in_flight);
        let invoker = Arc::new(invoker.map_err(GatewayError::Client)?);
        let (connections, tasks, shutdown) =
            (Arc::new(Connections::default()), TaskTracker::new(), CancellationToken::new());
        let websocket_api = api.clone().map(|api| {
            Arc::new(WebSocketApi {
                api,
                limits: Limits {
                    idle: options.idle_timeout,
                    lifetime: options.lifetime,
                    outgoing: options.outgoing_frames,
                    in_flight: options.messages_in_flight,
                },
                invoker: Arc::clone(&invoker),
                connections: Arc::clone(&connections),
                tasks: tasks.clone(),
                shutdown: shutdown.clone(),
            })
        });
        let http_api = HttpApi::new(routes.clone())?;
        let listener = TcpListener::bind(address).await.map_err(|source| match source.kind() {
            io::ErrorKind::AddrInUse => GatewayError::AddressInUse { address },
            _ => GatewayError::Listen { address, source },
        })?;
        let address = listener.local_addr().map_err(|source| GatewayError::Listen { address, source })?;
        let (listener, websocket_path) = (SharedListener(Arc::new(listener)), options.websocket_path);
        let server = Server {
            http_api,
            websocket_path,
            websocket_api,
            connections,
            invoker: Arc::clone(&invoker),
            tasks,
            shutdown,
        };
        let (server, other_routes) = (Arc::new(server), Router::new());
        Ok(Self { listener, address, routes, api, schedules, invoker, server, other_routes })
    }

    /// Serves these routes too, in the place of the template's: what is not of AWS, such as the page of an app.
    #[must_use]
    pub fn with_routes(mut self, routes: Router) -> Self {
        self.other_routes = routes;
        self
    }

    /// The address that the gateway listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Invokes every function with a route once, sequentially, with an event of its first route. Path parameters are
    /// `warm-up`; the only header is `host`. A function error counts as a response. The gateway serves requests
    /// meanwhile, because a function may call `@connections` before it responds.
    ///
    /// # Errors
    ///
    /// When the Lambda Invoke API cannot be reached, or a function does not respond within ten minutes.
    pub async fn warm_up(&self) -> Result<(), GatewayError> {
        tokio::select! {
            warm = self.invoke_all() => warm,
            served = serve(self.listener.clone(), Arc::clone(&self.server), self.other_routes.clone()) => served,
        }
    }

    async fn invoke_all(&self) -> Result<(), GatewayError> {
        for (function, event) in warm_up::events(&self.routes, self.api.as_ref(), self.address) {
            match self.invoker.invoke(&function, &event, WARM_UP_TIMEOUT).await {
                Ok(_) | Err(InvokeError::Function { .. }) => info!(target: TARGET, function, "function warmed up"),
                Err(source) => return Err(GatewayError::WarmUp { function, source }),
            }
        }
        Ok(())
    }

    /// Serves requests and invokes functions on their schedules, until `shutdown` completes. Then it closes sockets
    /// with code 1001, without `$disconnect`, responds 503 to requests in progress, and returns within two seconds.
    ///
    /// # Errors
    ///
    /// When the listener fails.
    pub async fn serve(self, shutdown: impl Future<Output = ()> + Send + 'static) -> Result<(), GatewayError> {
        let Self { listener, schedules, invoker, server, other_routes, .. } = self;
        let (stopping, tasks) = (server.shutdown.clone(), server.tasks.clone());
        for schedule in schedules {
            let (stopping, invoker) = (stopping.clone(), Arc::clone(&invoker));
            tasks.spawn(async move { stopping.run_until_cancelled(run_schedule(schedule, invoker)).await });
        }
        let mut serving = pin!(serve(listener, server, other_routes));
        tokio::select! {
            served = &mut serving => return served,
            () = shutdown => stopping.cancel(),
        }
        tasks.close();
        let ended = timeout(SHUTDOWN_GRACE_PERIOD, async { tokio::join!(serving, tasks.wait()).0 }).await;
        ended.unwrap_or(Ok(()))
    }
}

impl fmt::Debug for Gateway {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Gateway").field("address", &self.address).finish_non_exhaustive()
    }
}

async fn run_schedule(schedule: Schedule, invoker: Arc<Invoker>) {
    let invoke = |event| {
        let (invoker, function) = (Arc::clone(&invoker), schedule.function.clone());
        async move {
            let function_name = &function.name;
            match invoker.invoke(function_name, &event, function.timeout).await {
                Ok(_) => info!(target: TARGET, function = function_name, "scheduled invocation completed"),
                Err(error) => warn!(target: TARGET, function = function_name, %error, "scheduled invocation failed"),
            }
        }
    };
    schedule::run(&schedule, invoke).await;
}

async fn serve(listener: SharedListener, server: Arc<Server>, other_routes: Router) -> Result<(), GatewayError> {
    let stopping = server.shutdown.clone();
    let app = other_routes.merge(Router::new().fallback(handle).with_state(server));
    let app = app.into_make_service_with_connect_info::<SourceAddress>();
    let serving = axum::serve(listener, app).with_graceful_shutdown(stopping.cancelled_owned());
    serving.await.map_err(GatewayError::Serve)
}

async fn handle(
    State(server): State<Arc<Server>>,
    ConnectInfo(SourceAddress(source)): ConnectInfo<SourceAddress>,
    request: Request,
) -> Response {
    let handled = server.shutdown.run_until_cancelled(dispatch(&server, source, request)).await;
    handled.unwrap_or_else(|| message_response(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable"))
}

async fn dispatch(server: &Server, source: SocketAddr, request: Request) -> Response {
    if let Some(api) = &server.websocket_api
        && request.uri().path() == server.websocket_path
    {
        return Arc::clone(api).connect(request, source).await;
    }
    let (parts, body) = request.into_parts();
    match parts.uri.path().strip_prefix(management_api::PREFIX) {
        Some(id) => management_api::handle(&server.connections, &parts, id, body).await,
        None => server.http_api.handle(&server.invoker, &parts, body, source).await,
    }
}
