//! The listener, and which of the three APIs a request is for.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::connections::Connections;
use crate::http_api::{HttpApi, gateway_response};
use crate::invoke::{InvokeError, Invoker};
use crate::listener::{Remote, SharedListener};
use crate::template::{self, HttpRoute, Schedule, Template, TemplateError};
use crate::websocket_api::{Limits, WebSocketApi};
use crate::{management, schedule, warm_up};

/// An emulator may compile a function before it answers.
const WARM_UP: Duration = Duration::from_secs(600);
/// How long requests and sockets have to end after a shutdown.
const GRACE: Duration = Duration::from_millis(1500);

/// How a gateway is set up. Make one from [`Options::default`], which has the limits of AWS.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where to listen. Port 0 takes any free port.
    pub listen: SocketAddr,
    /// Base of the Lambda Invoke API, such as `http://127.0.0.1:9000`.
    pub invoke_endpoint: String,
    /// The path of the WebSocket API, such as `/ws`.
    pub websocket_path: String,
    /// A socket on which nothing happens for this long is closed.
    pub idle_timeout: Duration,
    /// A socket this old is closed.
    pub lifetime: Duration,
    /// So many frames may wait for a client to read them; further posts are refused with a 429.
    pub outgoing_frames: usize,
    /// So many messages of one socket are with functions at a time; further ones are not read from it.
    pub messages_in_flight: usize,
    /// So many invocations of one function run at a time; further ones wait. `cargo lambda watch` locks up when more than
    /// a hundred are queued.
    pub invocations_in_flight: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8000)),
            invoke_endpoint: "http://127.0.0.1:9000".to_owned(),
            websocket_path: "/ws".to_owned(),
            idle_timeout: Duration::from_secs(10 * 60),
            lifetime: Duration::from_secs(2 * 60 * 60),
            outgoing_frames: 128,
            messages_in_flight: 16,
            invocations_in_flight: 64,
        }
    }
}

/// Why a gateway does not start, or does not go on.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum GatewayError {
    /// Another process listens there.
    #[error("{address} is taken; stop what listens there, or choose another port")]
    AddressInUse {
        /// The address that was asked for.
        address: SocketAddr,
    },
    /// The system does not let us listen.
    #[error("failed to listen on {address}")]
    Listen {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The template cannot be used.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// The HTTP client cannot be set up.
    #[error("failed to set up the client of the Lambda Invoke API")]
    Client(#[source] reqwest::Error),
    /// A function could not be started.
    #[error("failed to warm up {function}")]
    WarmUp {
        /// The name of the function.
        function: String,
        /// What happened instead of an answer.
        source: InvokeError,
    },
    /// The listener broke.
    #[error("failed to serve")]
    Serve(#[source] io::Error),
}

/// A gateway that listens, and answers once it is [served](Gateway::serve).
pub struct Gateway {
    listener: SharedListener,
    address: SocketAddr,
    routes: Vec<HttpRoute>,
    api: Option<template::WebSocketApi>,
    schedules: Vec<Schedule>,
    invoker: Arc<Invoker>,
    server: Arc<Server>,
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
    /// Reads the routes of a template and starts to listen.
    ///
    /// # Errors
    ///
    /// When the template's functions or routes cannot be used, or when it cannot listen, with
    /// [`GatewayError::AddressInUse`] for an address that is taken.
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
        Ok(Self { listener, address, routes, api, schedules, invoker, server: Arc::new(server) })
    }

    /// Where the gateway listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Invokes every function that has a route once, one after another, with an event as that route would send it: path
    /// parameters are `warm-up`, and there are no headers but `host`. Any answer will do, an error too. Meanwhile requests
    /// are served, since a function may want to reach `@connections` before it answers.
    ///
    /// # Errors
    ///
    /// When the Lambda Invoke API cannot be reached, or a function does not answer within ten minutes.
    pub async fn warm_up(&self) -> Result<(), GatewayError> {
        tokio::select! {
            warm = self.invoke_all() => warm,
            served = serve(self.listener.clone(), Arc::clone(&self.server)) => served,
        }
    }

    async fn invoke_all(&self) -> Result<(), GatewayError> {
        for (function, event) in warm_up::events(&self.routes, self.api.as_ref(), self.address) {
            match self.invoker.invoke(&function, &event, WARM_UP).await {
                Ok(_) | Err(InvokeError::Function { .. }) => info!(target: "gateway", function, "warm"),
                Err(source) => return Err(GatewayError::WarmUp { function, source }),
            }
        }
        Ok(())
    }

    /// Serves until `shutdown` is ready, and invokes functions on their schedules. Then sockets are closed with 1001,
    /// without their `$disconnect`, and requests that still wait for a function get a 503; this returns within two seconds.
    ///
    /// # Errors
    ///
    /// When the listener breaks.
    pub async fn serve(self, shutdown: impl Future<Output = ()> + Send + 'static) -> Result<(), GatewayError> {
        let Self { listener, schedules, invoker, server, .. } = self;
        let (stopping, tasks) = (server.shutdown.clone(), server.tasks.clone());
        for schedule in schedules {
            let (stopping, invoker) = (stopping.clone(), Arc::clone(&invoker));
            tasks.spawn(async move { stopping.run_until_cancelled(run(schedule, invoker)).await });
        }
        let mut serving = pin!(serve(listener, server));
        tokio::select! {
            served = &mut serving => return served,
            () = shutdown => stopping.cancel(),
        }
        tasks.close();
        let ended = tokio::time::timeout(GRACE, async { tokio::join!(serving, tasks.wait()).0 }).await;
        ended.unwrap_or(Ok(()))
    }
}

impl fmt::Debug for Gateway {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Gateway").field("address", &self.address).finish_non_exhaustive()
    }
}

async fn run(schedule: Schedule, invoker: Arc<Invoker>) {
    let invoke = |event| {
        let (invoker, function) = (Arc::clone(&invoker), schedule.function.clone());
        async move {
            match invoker.invoke(&function.name, &event, function.timeout).await {
                Ok(_) => info!(target: "gateway", function = function.name, "ran on its schedule"),
                Err(error) => warn!(target: "gateway", function = function.name, %error, "failed on its schedule"),
            }
        }
    };
    schedule::run(&schedule, invoke).await;
}

async fn serve(listener: SharedListener, server: Arc<Server>) -> Result<(), GatewayError> {
    let stopping = server.shutdown.clone();
    let app = Router::new().fallback(handle).with_state(server).into_make_service_with_connect_info::<Remote>();
    let serving = axum::serve(listener, app).with_graceful_shutdown(stopping.cancelled_owned());
    serving.await.map_err(GatewayError::Serve)
}

async fn handle(
    State(server): State<Arc<Server>>,
    ConnectInfo(Remote(peer)): ConnectInfo<Remote>,
    request: Request,
) -> Response {
    let handled = server.shutdown.run_until_cancelled(dispatch(&server, peer, request)).await;
    handled.unwrap_or_else(|| gateway_response(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable"))
}

async fn dispatch(server: &Server, peer: SocketAddr, request: Request) -> Response {
    if let Some(api) = &server.websocket_api
        && request.uri().path() == server.websocket_path
    {
        return Arc::clone(api).connect(request, peer).await;
    }
    let (parts, body) = request.into_parts();
    match parts.uri.path().strip_prefix(management::PREFIX) {
        Some(id) => management::handle(&server.connections, &parts, id, body).await,
        None => server.http_api.handle(&server.invoker, &parts, body, peer).await,
    }
}
