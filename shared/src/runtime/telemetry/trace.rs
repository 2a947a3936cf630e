//! The X-Ray trace of a request, read from the invocation.

/// A position in a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    id: String,
    parent: u64,
    sampled: bool,
}

impl Trace {
    /// Parses X-Ray's header, such as `Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1`.
    ///
    /// <https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader>
    #[must_use]
    pub fn parse(header: &str) -> Option<Self> {
        let part = |name| header.split(';').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='));
        let id = part("Root")?;
        let mut digits = id.strip_prefix("1-")?.split('-').map(|digits| (digits.len(), is_hex(digits)));
        if digits.next() != Some((8, true)) || digits.next() != Some((24, true)) || digits.next().is_some() {
            return None;
        }
        let parent =
            part("Parent").and_then(|parent| u64::from_str_radix(parent, 16).ok()).filter(|parent| *parent != 0);
        Some(Self {
            id: id.to_owned(),
            // W3C requires a parent.
            parent: parent.unwrap_or_else(|| rand::random_range(1..=u64::MAX)),
            sampled: part("Sampled") == Some("1"),
        })
    }

    /// The id of the trace, in X-Ray's format.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// X-Ray's header, rebuilt from the parsed parts: an incoming header may hold anything.
    pub(super) fn x_ray(&self) -> String {
        format!("Root={};Parent={:016x};Sampled={}", self.id, self.parent, u8::from(self.sampled))
    }

    /// W3C's `traceparent`: an X-Ray id without version and hyphens is a W3C trace id.
    ///
    /// <https://www.w3.org/TR/trace-context/#traceparent-header>
    #[must_use]
    pub fn traceparent(&self) -> String {
        let id = self.id[2..].replace('-', "").to_ascii_lowercase();
        format!("00-{id}-{:016x}-{:02x}", self.parent, u8::from(self.sampled))
    }
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) const TRACE: &str = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";

    #[test]
    fn x_ray_traces_convert_to_w3c() {
        let trace = Trace::parse(TRACE).expect("a header");
        assert_eq!(trace.id(), "1-5759e988-bd862e3fe1be46a994272793");
        assert_eq!(trace.traceparent(), "00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01");
        let unsampled = Trace::parse(&TRACE.replace("Sampled=1", "Sampled=0")).expect("a header");
        assert!(unsampled.traceparent().ends_with("-00"));
        let more = Trace::parse(&format!("{TRACE};Lineage=a:1;\u{fffd}")).expect("a header");
        assert_eq!(more.x_ray(), TRACE, "only parsed parts are forwarded");
    }

    #[test]
    fn missing_parents_are_generated() {
        let trace = Trace::parse("Root=1-5759e988-bd862e3fe1be46a994272793").expect("a header");
        let traceparent = trace.traceparent();
        assert_eq!(traceparent.len(), 55, "{traceparent}");
        assert!(!traceparent.contains("-0000000000000000-"), "{traceparent}");
    }

    #[test]
    fn malformed_headers_are_ignored() {
        for header in [
            "",
            "Root=1-5759e988",
            "Root=1-5759e988-bd862e3fe1be46a99427279é",
            "Self=1-5759e988-bd862e3fe1be46a994272793",
        ] {
            assert_eq!(Trace::parse(header), None, "{header}");
        }
    }
}
