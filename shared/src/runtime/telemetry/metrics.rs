//! Which fields of log lines are metrics, and how CloudWatch is told so: in the embedded metric format, as part of the
//! line itself. No call, no agent, no second line.
//!
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>

use serde::{Serialize, Serializer, ser::SerializeStruct};

/// The namespace of all metrics. The dimension `stack` tells the stacks of one account apart.
pub const NAMESPACE: &str = "ChatApi";

/// The dimension that every metric has.
pub(super) const STACK: &str = "stack";

/// A field that is a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// The field's name, and the metric's.
    pub name: &'static str,
    /// Its unit.
    pub unit: Unit,
    /// The field that it is kept apart by, beside the stack: one that takes few values, since each makes a metric that
    /// is paid for.
    pub by: Option<&'static str>,
}

/// A unit of CloudWatch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Unit {
    /// A number of things.
    Count,
    /// A time.
    Milliseconds,
    /// A size.
    Bytes,
}

const fn metric(name: &'static str, unit: Unit) -> Metric {
    Metric { name, unit, by: None }
}

const fn metric_by(by: &'static str, name: &'static str, unit: Unit) -> Metric {
    Metric { name, unit, by: Some(by) }
}

/// Every metric. Those that are kept apart alike stand together.
pub const METRICS: [Metric; 16] = [
    metric("requests", Unit::Count),
    metric("faults", Unit::Count),
    metric("limited", Unit::Count),
    metric("connections_opened", Unit::Count),
    metric("connections_refused", Unit::Count),
    metric("dynamodb.retries", Unit::Count),
    metric("dynamodb.throttles", Unit::Count),
    metric("frames", Unit::Count),
    metric("posted_bytes", Unit::Bytes),
    metric("posts_retried", Unit::Count),
    metric("first_token_ms", Unit::Milliseconds),
    metric("total_ms", Unit::Milliseconds),
    metric("tokens", Unit::Count),
    metric_by("route", "duration_ms", Unit::Milliseconds),
    metric_by("error.code", "errors", Unit::Count),
    metric_by("end", "streams", Unit::Count),
];

/// The member `_aws` of a line: which of its fields are metrics.
pub(super) struct Embedded<'a> {
    pub(super) at_millis: i64,
    pub(super) metrics: &'a [Metric],
}

struct Directive<'a>(&'a [Metric]);

struct Definition<'a>(&'a Metric);

impl Serialize for Embedded<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let directives: Vec<Directive<'_>> =
            self.metrics.chunk_by(|one, next| one.by == next.by).map(Directive).collect();
        let mut metadata = serializer.serialize_struct("Metadata", 2)?;
        metadata.serialize_field("Timestamp", &self.at_millis)?;
        metadata.serialize_field("CloudWatchMetrics", &directives)?;
        metadata.end()
    }
}

impl Serialize for Directive<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        struct Definitions<'a>(&'a [Metric]);
        impl Serialize for Definitions<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_seq(self.0.iter().map(Definition))
            }
        }
        let by = self.0.first().and_then(|metric| metric.by);
        let mut directive = serializer.serialize_struct("MetricDirective", 3)?;
        directive.serialize_field("Namespace", NAMESPACE)?;
        match by {
            Some(by) => directive.serialize_field("Dimensions", &[[STACK, by]])?,
            None => directive.serialize_field("Dimensions", &[[STACK]])?,
        }
        directive.serialize_field("Metrics", &Definitions(self.0))?;
        directive.end()
    }
}

impl Serialize for Definition<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut definition = serializer.serialize_struct("MetricDefinition", 2)?;
        definition.serialize_field("Name", self.0.name)?;
        definition.serialize_field("Unit", &self.0.unit)?;
        definition.end()
    }
}
