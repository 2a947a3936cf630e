//! A log line that carries metrics. It is written at every log level.

use std::{
    borrow::Cow,
    io::{self, Write},
    sync::OnceLock,
};

use serde::{Serialize, Serializer, ser::SerializeMap};

use super::metrics::{Embedded, METRICS, Metric, STACK};
use crate::domain::time::Timestamp;

/// The usual length of a line, to allocate once.
const USUAL_BYTES: usize = 1_280;

/// Set when the function starts.
static STACK_NAME: OnceLock<String> = OnceLock::new();

pub(super) fn set_stack_name(name: &str) {
    // A second call in the same process, as in a test, changes nothing.
    let _ = STACK_NAME.set(name.to_owned());
}

/// A message and its fields, in order.
#[derive(Debug)]
pub(super) struct Line {
    message: &'static str,
    at: Timestamp,
    fields: Vec<(&'static str, Field)>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Field {
    Text(Cow<'static, str>),
    Count(u64),
    Number(f64),
}

impl Line {
    pub(super) fn new(message: &'static str) -> Self {
        Self { message, at: Timestamp::now(), fields: Vec::with_capacity(20) }
    }

    /// Adds a field.
    pub(super) fn with(mut self, name: &'static str, value: impl Into<Field>) -> Self {
        self.fields.push((name, value.into()));
        self
    }

    /// Adds a field if it has a value.
    pub(super) fn with_some(self, name: &'static str, value: Option<impl Into<Field>>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// Adds a counter unless it is 0: CloudWatch bills each metric value that it ingests.
    pub(super) fn with_nonzero(self, name: &'static str, count: u64) -> Self {
        self.with_some(name, (count > 0).then_some(count))
    }

    /// Writes the line in one call, since other tasks write to standard output too. Does nothing in programs that are not
    /// functions.
    pub(super) fn write(&self) {
        if STACK_NAME.get().is_none() {
            return;
        }
        let mut text = Vec::with_capacity(USUAL_BYTES);
        if serde_json::to_writer(&mut text, self).is_ok() {
            text.push(b'\n');
            // A failed log write cannot be logged.
            let _ = io::stdout().lock().write_all(&text);
        }
    }

    /// The fields that are metrics. Skips a metric whose dimension is absent from this line.
    fn metrics(&self) -> impl Iterator<Item = Metric> {
        let has = |name: &str| self.fields.iter().any(|(field, _)| *field == name);
        METRICS.into_iter().filter(move |metric| has(metric.name) && metric.dimension.is_none_or(has))
    }
}

impl Serialize for Line {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("timestamp", &self.at)?;
        map.serialize_entry("level", "INFO")?;
        map.serialize_entry("message", self.message)?;
        for (name, value) in &self.fields {
            map.serialize_entry(name, value)?;
        }
        let metrics: Vec<Metric> = self.metrics().collect();
        if !metrics.is_empty() {
            map.serialize_entry(STACK, STACK_NAME.get().map_or("unnamed", String::as_str))?;
            // Last, so that people read the fields first.
            map.serialize_entry("_aws", &Embedded { at_millis: self.at.as_millis(), metrics: &metrics })?;
        }
        map.end()
    }
}

impl From<&'static str> for Field {
    fn from(text: &'static str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Field {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl From<u64> for Field {
    fn from(count: u64) -> Self {
        Self::Count(count)
    }
}

impl From<f64> for Field {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}
