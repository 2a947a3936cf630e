//! Metrics in CloudWatch's embedded metric format: CloudWatch extracts them from the log lines, without an API call or an
//! agent.
//!
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>

use serde::{Serialize, Serializer, ser::SerializeStruct};

/// The namespace of all metrics. The dimension `stack` separates the stacks of an account.
pub const NAMESPACE: &str = "ChatApi";

/// The dimension of every metric.
pub(super) const STACK: &str = "stack";

/// A log field that is a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// The name of the field and the metric.
    pub name: &'static str,
    /// Its unit.
    pub unit: Unit,
    /// The field that is its second dimension. CloudWatch bills a metric per value of it, so it must have few.
    pub dimension: Option<&'static str>,
}

/// A unit of CloudWatch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Unit {
    /// A count.
    Count,
    /// A duration.
    Milliseconds,
    /// A size.
    Bytes,
}

const fn metric(name: &'static str, unit: Unit) -> Metric {
    Metric { name, unit, dimension: None }
}

const fn metric_with(dimension: &'static str, name: &'static str, unit: Unit) -> Metric {
    Metric { name, unit, dimension: Some(dimension) }
}

/// Every metric, grouped by dimension.
pub const METRICS: [Metric; 21] = [
    metric("requests", Unit::Count),
    metric("faults", Unit::Count),
    metric("rate_limited", Unit::Count),
    metric("budget_refused", Unit::Count),
    metric("connections_opened", Unit::Count),
    metric("connections_refused", Unit::Count),
    metric("dynamodb.retries", Unit::Count),
    metric("dynamodb.throttles", Unit::Count),
    metric("frames", Unit::Count),
    metric("posted_bytes", Unit::Bytes),
    metric("posts_retried", Unit::Count),
    metric("posts_refused", Unit::Count),
    metric("maintenance_runs", Unit::Count),
    metric("maintenance_failures", Unit::Count),
    metric("first_token_ms", Unit::Milliseconds),
    metric("total_ms", Unit::Milliseconds),
    metric("input_tokens", Unit::Count),
    metric("output_tokens", Unit::Count),
    metric_with("route", "duration_ms", Unit::Milliseconds),
    metric_with("error.code", "errors", Unit::Count),
    metric_with("outcome", "generations", Unit::Count),
];

/// The member `_aws` of a line: the metrics among its fields.
pub(super) struct Embedded<'a> {
    pub(super) at_millis: i64,
    pub(super) metrics: &'a [Metric],
}

struct Directive<'a>(&'a [Metric]);

struct Definition<'a>(&'a Metric);

impl Serialize for Embedded<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let directives: Vec<Directive<'_>> =
            self.metrics.chunk_by(|one, next| one.dimension == next.dimension).map(Directive).collect();
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
        let by = self.0.first().and_then(|metric| metric.dimension);
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
