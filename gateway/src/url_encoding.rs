//! Percent-decoding of paths and query strings.
//! <https://url.spec.whatwg.org/#percent-encoded-bytes>

use percent_encoding::percent_decode_str;

/// Decodes `%XX` once. An incomplete escape stays as it is; bytes that are not UTF-8 become replacement characters.
pub(crate) fn percent_decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// The decoded parameters of a query string, in order, with duplicates.
pub(crate) fn query_parameters(query: &str) -> Vec<(String, String)> {
    form_urlencoded::parse(query.as_bytes()).into_owned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_decoded_once() {
        assert_eq!(percent_decode("L0%3D%20%C3%A9%253D"), "L0= é%3D");
    }

    #[test]
    fn incomplete_escapes_are_kept() {
        assert_eq!(percent_decode("100%"), "100%");
        assert_eq!(percent_decode("%+1%zz%é"), "%+1%zz%é");
    }

    #[test]
    fn query_parameters_keep_order_and_duplicates() {
        let pairs = query_parameters("b=1&a=x%26y&b=2&&flag&plus=a+b");
        let pairs: Vec<_> = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(pairs, [("b", "1"), ("a", "x&y"), ("b", "2"), ("flag", ""), ("plus", "a b")]);
    }
}
