//! The request log: one line for each request that the gateway traces.

use std::{collections::BTreeMap, fmt::Debug};

use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    Layer,
    layer::{Context, SubscriberExt},
    util::SubscriberInitExt,
};

use crate::terminal::{Colour, Terminal};

const TARGET: &str = "gateway";

/// Starts to print requests of the gateway, and errors of libraries.
pub(super) fn start(terminal: Terminal) {
    // Fails only if another subscriber is installed, which then gets the events.
    let _ = tracing_subscriber::registry().with(RequestLog { terminal }).try_init();
}

struct RequestLog {
    terminal: Terminal,
}

impl<S: Subscriber> Layer<S> for RequestLog {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        let from_gateway = metadata.target().starts_with(TARGET);
        // Libraries also warn of the connection failures that are normal while a stack starts and stops.
        *metadata.level() <= if from_gateway { Level::INFO } else { Level::ERROR }
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        if fields.is_post_to_socket() {
            // Not logged: a post to a closed socket is normal, and the warm-up sends some.
        } else if fields.is_request() {
            self.terminal.line(fields.request(&self.terminal));
        } else if *event.metadata().level() <= Level::WARN {
            self.terminal.warning(fields.get("message"));
        }
    }
}

#[derive(Default)]
struct Fields(BTreeMap<&'static str, String>);

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
}

impl Fields {
    fn is_post_to_socket(&self) -> bool {
        self.get("path").starts_with("/@connections/")
    }

    fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    fn is_request(&self) -> bool {
        self.0.contains_key("duration_ms")
    }

    /// Such as `201 POST /api/v1/chats/ create-chat 12 ms`.
    fn request(&self, terminal: &Terminal) -> String {
        let status = match self.get("status") {
            "" => "---",
            status => status,
        };
        let colour = match status.as_bytes().first() {
            Some(b'1' | b'2' | b'3') => Colour::Green,
            Some(b'4') => Colour::Yellow,
            _ => Colour::Red,
        };
        let what = match (self.get("method"), self.get("path")) {
            ("", "") => format!("WS {}", self.get("route")),
            (method, path) => format!("{method} {path}"),
        };
        let function = self.get("function");
        let error = self.get("error");
        let mut line = format!("{} {what}", terminal.paint(colour, status));
        let details = format!("{function} {} ms", self.get("duration_ms"));
        line.push_str(&format!(" {}", terminal.paint(Colour::Dim, details.trim_start())));
        if !error.is_empty() {
            line.push_str(&format!(" {}", terminal.paint(Colour::Red, error)));
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(fields: &[(&'static str, &str)]) -> String {
        let fields = Fields(fields.iter().map(|(name, value)| (*name, (*value).to_owned())).collect());
        assert!(fields.is_request());
        fields.request(&Terminal::plain())
    }

    #[test]
    fn rest_request_is_one_line() {
        let fields = [("method", "POST"), ("path", "/api/v1/chats/"), ("status", "201"), ("duration_ms", "12")];
        assert_eq!(line(&fields), "201 POST /api/v1/chats/ 12 ms");
    }

    #[test]
    fn websocket_request_shows_its_route() {
        let fields = [("route", "$default"), ("function", "ws-message"), ("duration_ms", "3"), ("error", "late")];
        assert_eq!(line(&fields), "--- WS $default ws-message 3 ms late");
    }
}
