//! Running a handler on a schedule as a Lambda function.

use std::{
    future::Future,
    time::{Duration, SystemTime},
};

use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::Value;

use crate::{
    domain::error::{ApiError, Code},
    maintenance::StopTime,
    runtime::catch_panic::catch_panic,
    runtime::telemetry::{self, RequestEnd, RequestStart, Trace},
};

/// What runs are logged under in the place of a route.
const ROUTE: &str = "schedule";

/// How long before its deadline a function begins nothing any more: a socket that does not read is waited for for half a
/// minute, and a call on the tables may take ten seconds.
const MARGIN: Duration = Duration::from_secs(45);

/// How long a function goes on whose deadline nobody tells.
const WITHOUT_DEADLINE: Duration = Duration::from_secs(60);

/// One run.
#[derive(Clone, Debug)]
pub struct ScheduledRun {
    /// Lambda's id of the invocation, under which all is logged.
    pub request_id: String,
    /// StopTime when the run may begin something.
    pub until: StopTime,
}

/// Runs `handler` for every event until the process ends. Its error makes the invocation one that failed.
///
/// # Errors
///
/// When the runtime cannot be reached.
pub async fn serve<H, F>(handler: H) -> Result<(), Error>
where
    H: Fn(ScheduledRun) -> F + Clone,
    F: Future<Output = Result<(), ApiError>>,
{
    lambda_runtime::run(service_fn(async |event: LambdaEvent<Value>| {
        let request_id = event.context.request_id.clone();
        let trace = event.context.xray_trace_id.as_deref().and_then(Trace::parse);
        let asked = RequestStart { request_id: request_id.clone(), route: ROUTE.to_owned(), trace };
        let until = StopTime::within(time_left(event.context.deadline()));
        telemetry::log_request(asked, async {
            let result = catch_panic(handler(ScheduledRun { request_id: request_id.clone(), until })).await;
            let code = result.as_ref().err().map(ApiError::code);
            if let Err(error) = &result {
                telemetry::log_cause(error, &request_id);
            }
            let answered = RequestEnd { status: code.map_or(200, Code::status), code };
            (result.map_err(|error| Error::from(error.code().as_str())), answered)
        })
        .await
    }))
    .await
}

/// A deadline that has passed already is one that nobody set: the emulator sends 1970.
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
    fn a_run_ends_well_before_its_deadline() {
        let left = time_left(SystemTime::now() + Duration::from_secs(240));
        assert!(left <= Duration::from_secs(195) && left > Duration::from_secs(190), "{left:?}");
        assert_eq!(time_left(SystemTime::now() + MARGIN / 2), Duration::ZERO);
    }

    #[test]
    fn an_unset_deadline_is_none() {
        assert_eq!(time_left(SystemTime::UNIX_EPOCH + Duration::from_secs(600)), WITHOUT_DEADLINE);
    }
}
