//! The bootstrap of functions that run on a schedule.

use std::{
    future::Future,
    time::{Duration, SystemTime},
};

use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::Value;

use crate::{
    domain::error::{ApiError, Code},
    maintenance::StopTime,
    runtime::{
        bootstrap::{self, Clients},
        config::FunctionConfig,
        panics::catch_panic,
        telemetry::{self, RequestEnd, RequestStart, Trace},
    },
};

/// How long before its deadline a run starts nothing new: a post to a socket that does not read takes up to 30 s, and a
/// call of DynamoDB up to 10 s.
const MARGIN: Duration = Duration::from_secs(45);

/// How long a run takes that has no deadline.
const WITHOUT_DEADLINE: Duration = Duration::from_secs(60);

/// One run.
#[derive(Clone, Debug)]
pub struct ScheduledRun {
    /// Lambda's id of the invocation, which every log line carries.
    pub request_id: String,
    /// From when on the run starts nothing new.
    pub until: StopTime,
}

/// Runs the function `crate_name`, which is `env!("CARGO_CRATE_NAME")`, until the process ends. Its application `A` is
/// built once, by `app`, before the first event. A handler's error makes the invocation fail.
///
/// # Errors
///
/// When the environment is invalid, or the runtime cannot be reached.
pub async fn run<C, A, H, F>(crate_name: &'static str, app: fn(C, &Clients) -> A, handler: H) -> Result<(), Error>
where
    C: FunctionConfig,
    A: Clone,
    H: Fn(A, ScheduledRun) -> F,
    F: Future<Output = Result<(), ApiError>>,
{
    let (_, config) = bootstrap::start(crate_name)?;
    let app = app(config, &Clients::load().await);
    lambda_runtime::run(service_fn(async |event: LambdaEvent<Value>| {
        let request_id = event.context.request_id.clone();
        let trace = event.context.xray_trace_id.as_deref().and_then(Trace::parse);
        let start = RequestStart { request_id: request_id.clone(), route: telemetry::SCHEDULE.to_owned(), trace };
        let until = StopTime::within(time_left(event.context.deadline()));
        telemetry::log_request(start, async {
            let result =
                catch_panic(handler(app.clone(), ScheduledRun { request_id: request_id.clone(), until })).await;
            let code = result.as_ref().err().map(ApiError::code);
            if let Err(error) = &result {
                telemetry::log_cause(error, &request_id);
            }
            let end = RequestEnd { status: code.map_or(200, Code::status), code };
            (result.map_err(|error| Error::from(error.code().as_str())), end)
        })
        .await
    }))
    .await
}

/// The time until a run must start nothing new. A deadline in the past is an unset one: the local emulator sends 1970.
fn time_left(deadline: SystemTime) -> Duration {
    match deadline.duration_since(SystemTime::now()) {
        Ok(left) => left.saturating_sub(MARGIN),
        Err(_) => WITHOUT_DEADLINE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn run_stops_well_before_its_deadline() {
        let left = time_left(SystemTime::now() + Duration::from_secs(240));
        assert!(left <= Duration::from_secs(195) && left > Duration::from_secs(190), "{left:?}");
        assert_eq!(time_left(SystemTime::now() + MARGIN / 2), Duration::ZERO);
    }

    #[test]
    fn deadline_in_the_past_is_unset() {
        assert_eq!(time_left(SystemTime::UNIX_EPOCH + Duration::from_secs(600)), WITHOUT_DEADLINE);
    }
}
