//! Running a handler of a WebSocket route as a Lambda function.

use std::{convert::Infallible, fmt, future::Future};

use aws_lambda_events::apigw::ApiGatewayWebsocketProxyRequest;
use lambda_runtime::{Error, LambdaEvent, Runtime, service_fn};
use serde_json::{Value, json};

use crate::{
    auth::API_KEY_HEADER,
    domain::{error::ApiError, id::ConnectionId, input::Fields, ticket::TicketText, time::Timestamp},
    runtime::catch_panic::catch_panic,
    runtime::{
        after_response::AfterResponse,
        config::Config,
        telemetry::{self, RequestEnd, RequestStart, Trace},
    },
};

/// What API Gateway says of a socket: it wants to connect, it sent a message, it is gone.
pub struct SocketEvent {
    /// The socket.
    pub connection_id: ConnectionId,
    /// API Gateway's id of this event.
    pub request_id: String,
    trace: Option<Trace>,
    request: ApiGatewayWebsocketProxyRequest,
}

/// Which event it is; what it carries holds keys, tickets and content.
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

    /// When API Gateway received it, by its own clock; now, if it does not say.
    #[must_use]
    pub fn received_at(&self) -> Timestamp {
        match self.request.request_context.request_time_epoch {
            ..=0 => Timestamp::now(),
            millis => Timestamp::from_millis(millis),
        }
    }

    /// The API key that was sent with the handshake, as a header or, since browsers cannot set one, in the query.
    #[must_use]
    pub fn api_key(&self) -> Option<&str> {
        let header = self.request.headers.get(API_KEY_HEADER).and_then(|value| value.to_str().ok());
        header.or_else(|| self.request.query_string_parameters.first("api_key"))
    }

    /// The ticket that was sent with the handshake in the place of a key.
    #[must_use]
    pub fn ticket(&self) -> Option<TicketText> {
        self.request.query_string_parameters.first("ticket").map(TicketText::new)
    }

    /// The query parameters of the handshake.
    #[must_use]
    pub fn query(&self) -> Fields {
        Fields::from_pairs(self.request.query_string_parameters.iter())
    }

    /// The text of a message.
    #[must_use]
    pub fn body(&self) -> &str {
        self.request.body.as_deref().unwrap_or_default()
    }
}

/// Runs `handler` for every event until the process ends. Its error becomes the status that API Gateway refuses a
/// handshake with; for other events nobody sees it.
///
/// # Errors
///
/// When the runtime cannot be reached.
pub async fn serve<H, F>(config: &Config, handler: H) -> Result<(), Error>
where
    H: Fn(SocketEvent) -> F + Clone + Send + 'static,
    F: Future<Output = Result<(), ApiError>> + Send + 'static,
{
    let service = service_fn(move |event| {
        let handler = handler.clone();
        async move { Ok::<_, Infallible>(answer(SocketEvent::new(event), handler).await) }
    });
    Runtime::new(service).layer(AfterResponse::new(config)).run().await
}

async fn answer<H, F>(event: SocketEvent, handler: H) -> Value
where
    H: Fn(SocketEvent) -> F,
    F: Future<Output = Result<(), ApiError>>,
{
    let request_id = event.request_id.clone();
    let route = event.request.request_context.route_key.clone().unwrap_or_default();
    let asked = RequestStart { request_id: request_id.clone(), route, trace: event.trace.clone() };
    let handling = handler(event);
    telemetry::log_request(asked, async {
        // Without a body: API Gateway puts its own in the place of a refusal's, and what a message is answered goes
        // nowhere, or, past our events, to the socket.
        match catch_panic(handling).await {
            Ok(()) => (json!({ "statusCode": 200 }), RequestEnd { status: 200, code: None }),
            Err(error) => {
                telemetry::log_cause(&error, &request_id);
                let status = error.code().status();
                (json!({ "statusCode": status }), RequestEnd { status, code: Some(error.code()) })
            }
        }
    })
    .await
}
