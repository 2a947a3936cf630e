//! The line of a request, `answered`.

use std::future::Future;

use http::StatusCode;

use super::{activity::Activity, line::Line, trace::Trace};
use crate::domain::error::Code;

/// What was asked.
#[derive(Debug)]
pub struct RequestStart {
    /// API Gateway's id of the request.
    pub request_id: String,
    /// The route as in the template: never the path, which holds ids.
    pub route: String,
    /// The trace that it is part of, if there is one.
    pub trace: Option<Trace>,
}

/// What was answered.
#[derive(Clone, Copy, Debug)]
pub struct RequestEnd {
    /// The HTTP status.
    pub status: StatusCode,
    /// The error, if it is one.
    pub code: Option<Code>,
}

/// Answers a request: counts what that takes, and tells of it in one line.
pub async fn log_request<R>(asked: RequestStart, answer: impl Future<Output = (R, RequestEnd)>) -> R {
    let RequestStart { request_id, route, trace } = asked;
    let activity = Activity::new(request_id, trace);
    let (response, answered) = activity.scope(answer).await;
    line(&activity, route, answered).write();
    response
}

fn line(activity: &Activity, route: String, RequestEnd { status, code }: RequestEnd) -> Line {
    let connects = route == "$connect";
    let line = activity
        .name(Line::new("answered"))
        // A dimension may not be empty.
        .with_some("route", (!route.is_empty()).then_some(route))
        .with("status", u64::from(status.as_u16()))
        .with_some("error.code", code.map(Code::as_str))
        .with("duration_ms", activity.elapsed_ms());
    activity
        .bill(line)
        .with("requests", 1)
        // Each with its zeros, so that an alarm can compare it with the number of requests.
        .with("faults", u64::from(status.is_server_error()))
        .with_any("errors", code.is_some().into())
        .with_any("limited", (code == Some(Code::RateLimitExceeded)).into())
        .with_any("connections_opened", (connects && code.is_none()).into())
        .with_any("connections_refused", (connects && code.is_some()).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::telemetry::{METRICS, trace::tests::TRACE};
    use serde_json::{Value, json};

    fn written(route: &str, answered: RequestEnd) -> Value {
        let activity = Activity::new("r-1".to_owned(), Trace::parse(TRACE));
        serde_json::to_value(line(&activity, route.to_owned(), answered)).expect("a line is JSON")
    }

    #[test]
    fn a_refused_request_is_counted_by_its_code_and_is_no_fault() {
        let refused = written("GET /", RequestEnd { status: StatusCode::NOT_FOUND, code: Some(Code::ChatNotFound) });
        assert_eq!(refused["message"], "answered");
        assert_eq!(refused["status"], 404);
        assert_eq!((&refused["errors"], &refused["faults"]), (&json!(1), &json!(0)));
        let by_code = &refused["_aws"]["CloudWatchMetrics"][2];
        assert_eq!(by_code["Dimensions"], json!([["stack", "error.code"]]));
        assert_eq!(by_code["Metrics"], json!([{ "Name": "errors", "Unit": "Count" }]));
        let broken =
            written("GET /", RequestEnd { status: StatusCode::INTERNAL_SERVER_ERROR, code: Some(Code::Internal) });
        assert_eq!(broken["faults"], 1);
    }

    #[test]
    fn a_handshake_opens_a_connection_or_is_refused() {
        let opened = written("$connect", RequestEnd { status: StatusCode::OK, code: None });
        assert_eq!((&opened["connections_opened"], &opened["connections_refused"]), (&json!(1), &Value::Null));
        let limited = RequestEnd { status: StatusCode::TOO_MANY_REQUESTS, code: Some(Code::RateLimitExceeded) };
        let refused = written("$connect", limited);
        assert_eq!((&refused["connections_refused"], &refused["limited"]), (&json!(1), &json!(1)));
        assert_eq!(opened["trace_id"], "1-5759e988-bd862e3fe1be46a994272793");
    }

    #[test]
    fn metrics_that_are_kept_apart_alike_stand_together() {
        let groups = METRICS.chunk_by(|one, next| one.by == next.by).count();
        let kinds: std::collections::BTreeSet<_> = METRICS.iter().map(|metric| metric.by).collect();
        assert_eq!(groups, kinds.len());
    }
}
