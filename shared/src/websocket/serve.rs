//! The bootstrap of WebSocket functions, and the events that they handle.

use std::{convert::Infallible, fmt, future::Future};

use aws_lambda_events::apigw::ApiGatewayWebsocketProxyRequest;
use lambda_runtime::{Error, LambdaEvent, Runtime, service_fn};
use serde_json::{Value, json};

use crate::{
    auth::API_KEY_HEADER,
    domain::{error::ApiError, id::ConnectionId, input::Fields, ticket::TicketText, time::Timestamp},
    runtime::{
        after_response::AfterResponse,
        bootstrap::{self, Clients},
        config::FunctionConfig,
        panics::catch_panic,
        telemetry::{self, RequestEnd, RequestStart, Trace},
    },
};

/// An event of a socket: `$connect`, a frame, or `$disconnect`.
pub struct SocketEvent {
    /// The socket.
    pub connection_id: ConnectionId,
    /// API Gateway's id of this event.
    pub request_id: String,
    trace: Option<Trace>,
    request: ApiGatewayWebsocketProxyRequest,
}

/// The ids alone: the event holds keys, tickets and content.
impl fmt::Debug for SocketEvent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { connection_id, request_id, .. } = self;
        let mut event = formatter.debug_struct("SocketEvent");
        event.field("connection_id", connection_id).field("request_id", request_id).finish_non_exhaustive()
    }
}

impl SocketEvent {
    fn new(event: LambdaEvent<ApiGatewayWebsocketProxyRequest>) -> Self {
        let context = &event.payload.request_context;
        let connection_id = ConnectionId::from_gateway(context.connection_id.clone().unwrap_or_default());
        let request_id = context.request_id.clone().unwrap_or(event.context.request_id);
        let trace = event.context.xray_trace_id.as_deref().and_then(Trace::parse);
        Self { connection_id, request_id, trace, request: event.payload }
    }

    /// Whether API Gateway made this event when the socket opened or closed. A client can send a frame whose `action` is
    /// `$connect` or `$disconnect`, which API Gateway routes to that function.
    #[must_use]
    pub fn is_lifecycle(&self) -> bool {
        matches!(self.request.request_context.event_type.as_deref(), Some("CONNECT" | "DISCONNECT"))
    }

    /// When API Gateway received the event, by its clock; now, if the event does not say.
    #[must_use]
    pub fn received_at(&self) -> Timestamp {
        match self.request.request_context.request_time_epoch {
            ..=0 => Timestamp::now(),
            millis => Timestamp::from_millis(millis),
        }
    }

    /// The API key of the handshake: a header or, since browsers cannot set one, a query parameter.
    #[must_use]
    pub fn api_key(&self) -> Option<&str> {
        let header = self.request.headers.get(API_KEY_HEADER).and_then(|value| value.to_str().ok());
        header.or_else(|| self.request.query_string_parameters.first("api_key"))
    }

    /// The ticket of the handshake.
    #[must_use]
    pub fn ticket(&self) -> Option<TicketText> {
        self.request.query_string_parameters.first("ticket").map(TicketText::new)
    }

    /// The query parameters of the handshake.
    #[must_use]
    pub fn query(&self) -> Fields {
        Fields::from_pairs(self.request.query_string_parameters.iter())
    }

    /// The text of a frame.
    #[must_use]
    pub fn body(&self) -> &str {
        self.request.body.as_deref().unwrap_or_default()
    }
}

/// Runs the function `crate_name`, which is `env!("CARGO_CRATE_NAME")`, until the process ends. Its application `A` is
/// built once, by `app`, before the first event. A handler's error becomes the status that refuses a handshake; for
/// other events, API Gateway drops it.
///
/// # Errors
///
/// When the environment is invalid, the application cannot be built, or the runtime cannot be reached.
pub async fn run<C, A, H, F>(
    crate_name: &'static str,
    app: impl AsyncFnOnce(C, Clients) -> Result<A, Error>,
    handler: H,
) -> Result<(), Error>
where
    C: FunctionConfig,
    A: Clone + Send + 'static,
    H: Fn(A, SocketEvent) -> F + Clone + Send + 'static,
    F: Future<Output = Result<(), ApiError>> + Send + 'static,
{
    let (runtime, config) = bootstrap::start(crate_name)?;
    let app = app(config, Clients::load().await).await?;
    let service = service_fn(move |event| {
        let (app, handler) = (app.clone(), handler.clone());
        async move { Ok::<_, Infallible>(respond(SocketEvent::new(event), |event| handler(app, event)).await) }
    });
    Runtime::new(service).layer(AfterResponse::new(&runtime)).run().await
}

/// The response to one event. It has no body: API Gateway replaces the body of a refused handshake, and drops that of
/// another event or sends it to the socket, past our own events.
async fn respond<F>(event: SocketEvent, handler: impl FnOnce(SocketEvent) -> F) -> Value
where
    F: Future<Output = Result<(), ApiError>>,
{
    let request_id = event.request_id.clone();
    let route = event.request.request_context.route_key.clone().unwrap_or_default();
    let start = RequestStart { request_id: request_id.clone(), route, trace: event.trace.clone() };
    let handling = handler(event);
    telemetry::log_request(start, async {
        let (status, code) = match catch_panic(handling).await {
            Ok(()) => (200, None),
            Err(error) => {
                telemetry::log_cause(&error, &request_id);
                (error.code().status(), Some(error.code()))
            }
        };
        (json!({ "statusCode": status }), RequestEnd { status, code })
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(request: Value) -> SocketEvent {
        let payload = serde_json::from_value(request).expect("an event");
        SocketEvent::new(LambdaEvent { payload, context: lambda_runtime::Context::default() })
    }

    fn handshake() -> Value {
        json!({
            "headers": { "X-API-Key": "from-header" },
            "queryStringParameters": { "api_key": "from-query", "ticket": "tk_1" },
            "requestContext": {
                "connectedAt": 0, "connectionId": "c-1", "requestId": "r-1", "requestTimeEpoch": 1_795_409_902_401_i64,
            },
        })
    }

    #[test]
    fn api_key_of_the_header_wins_over_the_query() {
        assert_eq!(event(handshake()).api_key(), Some("from-header"));
        let mut without_header = handshake();
        without_header["headers"] = json!({});
        assert_eq!(event(without_header).api_key(), Some("from-query"));
    }

    #[test]
    fn event_is_received_when_api_gateway_says() {
        assert_eq!(event(handshake()).received_at(), Timestamp::from_millis(1_795_409_902_401));
    }

    #[test]
    fn debug_output_has_no_keys_and_no_tickets() {
        let printed = format!("{:?}", event(handshake()));
        assert!(printed.contains("c-1") && printed.contains("r-1"), "{printed}");
        assert!(!printed.contains("from-") && !printed.contains("tk_1"), "{printed}");
    }

    #[tokio::test]
    async fn error_of_the_handler_becomes_the_status_of_the_handshake() {
        let refused = respond(event(handshake()), async |_| Err(ApiError::chat_not_found("chat_1"))).await;
        assert_eq!(refused, json!({ "statusCode": 404 }));
        assert_eq!(respond(event(handshake()), async |_| Ok(())).await, json!({ "statusCode": 200 }));
    }
}
