//! Errors of starting and serving a gateway.

use std::{io, net::SocketAddr};

use thiserror::Error;

use crate::{invoke::InvokeError, template::TemplateError};

/// Why a gateway does not start, or stops serving.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum GatewayError {
    /// Another process listens on the address.
    #[error("{address} is already in use; stop the process that listens there, or choose another port")]
    AddressInUse {
        /// The requested address.
        address: SocketAddr,
    },
    /// The system refuses to listen.
    #[error("failed to listen on {address}")]
    Listen {
        /// The requested address.
        address: SocketAddr,
        /// The cause.
        source: io::Error,
    },
    /// The template cannot be used.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// The HTTP client cannot be built.
    #[error("failed to build the client of the Lambda Invoke API")]
    Client(#[source] reqwest::Error),
    /// A function does not start.
    #[error("failed to warm up {function}")]
    WarmUp {
        /// The name of the function.
        function: String,
        /// The cause.
        source: InvokeError,
    },
    /// The listener failed.
    #[error("failed to serve")]
    Serve(#[source] io::Error),
}
