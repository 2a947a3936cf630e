//! Settings and limits of a gateway.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

/// Settings of a gateway. [`Options::default`] has the limits of AWS.
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-execution-service-websocket-limits-table.html>
#[derive(Debug, Clone)]
pub struct Options {
    /// The address to listen on. Port 0 chooses a free port.
    pub listen: SocketAddr,
    /// Base URL of the Lambda Invoke API, such as `http://127.0.0.1:9000`.
    pub invoke_endpoint: String,
    /// Path of the WebSocket API, such as `/ws`.
    pub websocket_path: String,
    /// Idle connection timeout: closes a connection without frames in either direction.
    pub idle_timeout: Duration,
    /// Connection duration: closes a connection of this age.
    pub lifetime: Duration,
    /// Frames that may wait in the queue of one connection. More posts to it fail with status 429.
    pub outgoing_frames: usize,
    /// Concurrent messages of one connection. The gateway reads no further frame until one of them completes.
    pub messages_in_flight: usize,
    /// Concurrent invocations of one function; more of them wait. `cargo lambda watch` hangs with more than 100 in its
    /// queue.
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
