//! `X-Forwarded-For` and `X-Forwarded-Proto`, which API Gateway adds to the headers of a client.

use std::net::SocketAddr;

use axum::http::{HeaderMap, HeaderValue};

pub(crate) fn add_forwarded(headers: &HeaderMap, source: SocketAddr) -> HeaderMap {
    let mut headers = headers.clone();
    let chain = match headers.get("x-forwarded-for").map(HeaderValue::to_str) {
        Some(Ok(chain)) => format!("{chain}, {}", source.ip()),
        _ => source.ip().to_string(),
    };
    if let Ok(chain) = HeaderValue::from_str(&chain) {
        headers.insert("x-forwarded-for", chain);
    }
    headers.insert("x-forwarded-proto", HeaderValue::from_static("http"));
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn source_address_is_appended_to_the_chain() {
        let source = "10.0.0.7:1234".parse().unwrap();
        let mut headers = HeaderMap::new();
        assert_eq!(add_forwarded(&headers, source)["x-forwarded-for"], "10.0.0.7");
        headers.insert("x-forwarded-for", HeaderValue::from_static("1.2.3.4"));
        assert_eq!(add_forwarded(&headers, source)["x-forwarded-for"], "1.2.3.4, 10.0.0.7");
    }
}
