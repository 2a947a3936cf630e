//! Forwards the trace of a request to models.

use aws_sdk_bedrockruntime::{
    config::{ConfigBag, Intercept, RuntimeComponents, interceptors::BeforeTransmitInterceptorContextMut},
    error::BoxError,
};

use super::{activity::current, trace::Trace};

/// X-Ray's header.
const X_RAY_HEADER: &str = "x-amzn-trace-id";

/// The trace of the current request.
#[must_use]
pub fn current_trace() -> Option<Trace> {
    current().and_then(|activity| activity.trace().cloned())
}

/// Makes an SDK client forward the trace of the current request. The SDK itself reads an environment variable, which
/// holds the trace of one request only.
#[derive(Debug)]
pub struct SendTrace;

impl Intercept for SendTrace {
    fn name(&self) -> &'static str {
        "SendTrace"
    }

    fn modify_before_signing(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(trace) = current_trace() {
            context.request_mut().headers_mut().insert(X_RAY_HEADER, trace.x_ray());
        }
        Ok(())
    }
}
