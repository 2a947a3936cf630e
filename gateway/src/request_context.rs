//! Values of `requestContext` that all events share: ids and times in the form of AWS.

use base64::{Engine as _, engine::general_purpose::URL_SAFE};
use jiff::Timestamp;

pub(crate) const ACCOUNT_ID: &str = "000000000000";
pub(crate) const API_ID: &str = "local";

/// Generates a request, connection or message id: 11 random bytes in base64, so it ends in `=`.
pub(crate) fn generate_id() -> String {
    URL_SAFE.encode(rand::random::<[u8; 11]>())
}

/// A time in the Common Log Format: `12/Mar/2020:19:03:58 +0000`.
pub(crate) fn clf_time(time: Timestamp) -> String {
    time.strftime("%d/%b/%Y:%H:%M:%S +0000").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique_and_need_percent_encoding() {
        let (first, second) = (generate_id(), generate_id());
        assert_eq!(first.len(), 16);
        assert!(first.ends_with('='));
        assert_ne!(first, second);
    }

    #[test]
    fn times_are_in_common_log_format() {
        let time: Timestamp = "2020-03-12T19:03:58.390Z".parse().unwrap();
        assert_eq!(clf_time(time), "12/Mar/2020:19:03:58 +0000");
    }
}
