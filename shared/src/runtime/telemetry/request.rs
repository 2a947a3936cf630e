//! The log line of a request.

use std::future::Future;

use super::{activity::Activity, line::Line, trace::Trace};
use crate::domain::error::Code;

/// What stands for the route in the line of a scheduled run.
pub(crate) const SCHEDULE: &str = "schedule";

/// The start of a request.
#[derive(Debug)]
pub struct RequestStart {
    /// API Gateway's id of the request.
    pub request_id: String,
    /// The route as in the template: never the path, which holds ids.
    pub route: String,
    /// The trace that the request belongs to.
    pub trace: Option<Trace>,
}

/// The end of a request.
#[derive(Clone, Copy, Debug)]
pub struct RequestEnd {
    /// The HTTP status.
    pub status: u16,
    /// The error code of a failed request.
    pub code: Option<Code>,
}

/// Runs the handler of a request as an activity and writes its log line.
pub async fn log_request<R>(start: RequestStart, handler: impl Future<Output = (R, RequestEnd)>) -> R {
    let RequestStart { request_id, route, trace } = start;
    let activity = Activity::new(request_id, trace);
    let (response, end) = activity.scope(handler).await;
    line(&activity, route, end).write();
    response
}

fn line(activity: &Activity, route: String, RequestEnd { status, code }: RequestEnd) -> Line {
    let (connects, scheduled) = (route == "$connect", route == SCHEDULE);
    let line = activity
        .add_ids(Line::new("request completed"))
        // A dimension may not be empty.
        .with_some("route", (!route.is_empty()).then_some(route))
        .with("status", u64::from(status))
        .with_some("error.code", code.map(Code::as_str))
        .with("duration_ms", activity.elapsed_ms());
    activity
        .add_usage(line)
        .with("requests", 1)
        // Also when 0, so that an alarm can compare it with the number of requests.
        .with("faults", u64::from(status >= 500))
        .with_nonzero("errors", code.is_some().into())
        .with_nonzero("rate_limited", (code == Some(Code::RateLimitExceeded)).into())
        .with_nonzero("budget_refused", code.is_some_and(Code::is_of_budget).into())
        .with_nonzero("connections_opened", (connects && code.is_none()).into())
        .with_nonzero("connections_refused", (connects && code.is_some()).into())
        // Successful ones alone: an alarm fires when there are none.
        .with_nonzero("maintenance_runs", (scheduled && code.is_none()).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::telemetry::{METRICS, count_maintenance_failure, count_refused_post, trace::tests::TRACE};
    use serde_json::{Value, json};

    fn written(route: &str, end: RequestEnd) -> Value {
        let activity = Activity::new("r-1".to_owned(), Trace::parse(TRACE));
        serde_json::to_value(line(&activity, route.to_owned(), end)).expect("a line is JSON")
    }

    #[test]
    fn refused_requests_are_errors_and_not_faults() {
        let refused = written("GET /", RequestEnd { status: 404, code: Some(Code::ChatNotFound) });
        assert_eq!(refused["message"], "request completed");
        assert_eq!(refused["status"], 404);
        assert_eq!((&refused["errors"], &refused["faults"]), (&json!(1), &json!(0)));
        let by_code = &refused["_aws"]["CloudWatchMetrics"][2];
        assert_eq!(by_code["Dimensions"], json!([["stack", "error.code"]]));
        assert_eq!(by_code["Metrics"], json!([{ "Name": "errors", "Unit": "Count" }]));
        let broken = written("GET /", RequestEnd { status: Code::Internal.status(), code: Some(Code::Internal) });
        assert_eq!(broken["faults"], 1);
    }

    #[test]
    fn handshakes_count_opened_and_refused_connections() {
        let opened = written("$connect", RequestEnd { status: 200, code: None });
        assert_eq!((&opened["connections_opened"], &opened["connections_refused"]), (&json!(1), &Value::Null));
        let limited = RequestEnd { status: 429, code: Some(Code::RateLimitExceeded) };
        let refused = written("$connect", limited);
        assert_eq!((&refused["connections_refused"], &refused["rate_limited"]), (&json!(1), &json!(1)));
        assert_eq!(opened["trace_id"], "1-5759e988-bd862e3fe1be46a994272793");
    }

    #[test]
    fn messages_beyond_a_budget_are_counted() {
        for (code, counted) in [
            (Code::GenerationLimitExceeded, json!(1)),
            (Code::MessageRateExceeded, json!(1)),
            (Code::QuotaExceeded, json!(1)),
            (Code::RateLimitExceeded, Value::Null),
        ] {
            let refused = written("$default", RequestEnd { status: code.status(), code: Some(code) });
            assert_eq!(refused["budget_refused"], counted, "{code:?}");
        }
    }

    #[test]
    fn scheduled_run_counts_if_it_succeeds() {
        let run = |code: Option<Code>| written(SCHEDULE, RequestEnd { status: code.map_or(200, Code::status), code });
        assert_eq!(run(None)["maintenance_runs"], 1);
        let failed = run(Some(Code::Unavailable));
        assert_eq!((&failed["maintenance_runs"], &failed["faults"]), (&Value::Null, &json!(1)));
        assert_eq!(written("GET /", RequestEnd { status: 200, code: None }).get("maintenance_runs"), None);
    }

    #[tokio::test]
    async fn refused_posts_and_failed_entries_are_counted() {
        let activity = Activity::new("r-1".to_owned(), None);
        let counting = async {
            count_refused_post();
            count_refused_post();
            count_maintenance_failure();
        };
        activity.scope(counting).await;
        let end = RequestEnd { status: 200, code: None };
        let line = serde_json::to_value(line(&activity, SCHEDULE.to_owned(), end)).expect("a line is JSON");
        assert_eq!((&line["posts_refused"], &line["maintenance_failures"]), (&json!(2), &json!(1)));
    }

    #[test]
    fn metrics_are_grouped_by_dimension() {
        let groups = METRICS.chunk_by(|one, next| one.dimension == next.dimension).count();
        let dimensions: std::collections::BTreeSet<_> = METRICS.iter().map(|metric| metric.dimension).collect();
        assert_eq!(groups, dimensions.len());
    }
}
