//! Error responses of DynamoDB and `@connections`, as their SDK clients parse them.

use axum::{
    body::Body,
    http::{Response, StatusCode, request},
};
use serde_json::{Value, json};

use crate::Fault;

/// The protocol of a service.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Protocol {
    /// DynamoDB's API: JSON, errors named in the body.
    DynamoDb,
    /// `@connections`: REST, errors named in a header.
    Management,
}

impl Protocol {
    /// The operation of a call.
    pub(crate) fn operation(self, request: &request::Parts) -> String {
        match self {
            Self::DynamoDb => {
                let target = request.headers.get("x-amz-target").and_then(|target| target.to_str().ok());
                target.unwrap_or_default().rsplit('.').next().unwrap_or_default().to_owned()
            }
            Self::Management => request.method.to_string(),
        }
    }

    /// The table of a call; empty for none.
    pub(crate) fn table(self, request: &[u8]) -> String {
        let request: Value = serde_json::from_slice(request).unwrap_or_default();
        request["TableName"].as_str().unwrap_or_default().to_owned()
    }

    /// The response to a call with this fault.
    pub(crate) fn refusal(self, fault: Fault, request: &[u8]) -> Response<Body> {
        match self {
            Self::DynamoDb => of_dynamodb(fault, request),
            Self::Management => of_management(fault),
        }
    }
}

/// The response of `@connections` for an unknown connection.
pub(crate) fn gone() -> Response<Body> {
    named(StatusCode::GONE, "GoneException")
}

/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html>
fn of_dynamodb(fault: Fault, request: &[u8]) -> Response<Body> {
    let (status, kind) = match fault {
        Fault::TransactionConflict => return cancelled(request, "TransactionConflict", "TransactionConflictException"),
        Fault::TooFast => return cancelled(request, "ThrottlingError", "ThrottlingException"),
        Fault::Throttled => (StatusCode::BAD_REQUEST, "ProvisionedThroughputExceededException"),
        Fault::ServerError | Fault::Stall | Fault::LostRequest | Fault::LostResponse => {
            (StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError")
        }
    };
    typed(status, kind, json!({}))
}

/// A transaction fails with one reason for each item; other calls with a plain error.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html>
fn cancelled(request: &[u8], reason: &str, plain: &str) -> Response<Body> {
    let request: Value = serde_json::from_slice(request).unwrap_or_default();
    let Some(items) = request["TransactItems"].as_array() else {
        return typed(StatusCode::BAD_REQUEST, plain, json!({}));
    };
    let reasons: Vec<Value> =
        (0..items.len()).map(|place| json!({ "Code": if place == 0 { reason } else { "None" } })).collect();
    let reasons = json!({ "CancellationReasons": reasons });
    typed(StatusCode::BAD_REQUEST, "TransactionCanceledException", reasons)
}

fn typed(status: StatusCode, kind: &str, mut body: Value) -> Response<Body> {
    body["__type"] = format!("com.amazonaws.dynamodb.v20120810#{kind}").into();
    body["message"] = "injected".into();
    let response = Response::builder().status(status).header("content-type", "application/x-amz-json-1.0");
    response.body(Body::from(body.to_string())).expect("a response")
}

fn of_management(fault: Fault) -> Response<Body> {
    match fault {
        Fault::Throttled | Fault::TooFast => named(StatusCode::TOO_MANY_REQUESTS, "LimitExceededException"),
        _ => named(StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError"),
    }
}

fn named(status: StatusCode, kind: &str) -> Response<Body> {
    let response = Response::builder().status(status).header("content-type", "application/json");
    let response = response.header("x-amzn-errortype", kind);
    response.body(Body::from(json!({ "message": "injected" }).to_string())).expect("a response")
}
