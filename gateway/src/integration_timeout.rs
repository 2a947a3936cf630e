//! How long API Gateway waits for the response of an integration.

use std::time::Duration;

/// WebSocket API: the default, and the most that AWS allows.
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-execution-service-websocket-limits-table.html>
pub(crate) const INTEGRATION_TIMEOUT: Duration = Duration::from_secs(29);

/// HTTP API: the default, and the most that AWS allows.
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html>
pub(crate) const HTTP_INTEGRATION_TIMEOUT: Duration = Duration::from_secs(30);

/// The shorter of the integration timeout and the timeout of the function, after which Lambda ends the function.
pub(crate) fn invocation_timeout(integration: Duration, function: Duration) -> Duration {
    integration.min(function)
}
