//! What AWS stamps on a request: ids and times.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use jiff::Timestamp;

pub(crate) const ACCOUNT_ID: &str = "000000000000";

/// A request or connection id in the form of AWS: 11 random bytes in base64, so with a `=` at its end.
pub(crate) fn id() -> String {
    URL_SAFE.encode(rand::random::<[u8; 11]>())
}

/// A time as in access logs: `12/Mar/2020:19:03:58 +0000`.
pub(crate) fn log_time(time: Timestamp) -> String {
    time.strftime("%d/%b/%Y:%H:%M:%S +0000").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_need_percent_encoding_and_differ() {
        let (first, second) = (id(), id());
        assert_eq!(first.len(), 16);
        assert!(first.ends_with('='));
        assert_ne!(first, second);
    }

    #[test]
    fn times_are_written_as_in_access_logs() {
        let time: Timestamp = "2020-03-12T19:03:58.390Z".parse().unwrap();
        assert_eq!(log_time(time), "12/Mar/2020:19:03:58 +0000");
    }
}
