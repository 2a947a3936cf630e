//! Percent-encoding, as far as a gateway meets it.

/// Decodes `%XX`. What is not an escape stays as it is; what is not UTF-8 becomes a replacement character.
pub(crate) fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut index = 0;
    while let Some(&byte) = bytes.get(index) {
        let escaped = (byte == b'%').then(|| text.get(index + 1..index + 3)).flatten();
        match escaped.and_then(hex) {
            Some(byte) => {
                decoded.push(byte);
                index += 3;
            }
            None => {
                decoded.push(byte);
                index += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

fn hex(digits: &str) -> Option<u8> {
    // from_str_radix would also take a sign.
    digits.bytes().all(|digit| digit.is_ascii_hexdigit()).then(|| u8::from_str_radix(digits, 16).ok()).flatten()
}

/// The parameters of a query string, decoded, in order.
pub(crate) fn query_parameters(query: &str) -> Vec<(String, String)> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(&name.replace('+', " ")), decode(&value.replace('+', " ")))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_decoded_once() {
        assert_eq!(decode("L0%3D%20%C3%A9%253D"), "L0= é%3D");
    }

    #[test]
    fn what_is_no_escape_stays() {
        assert_eq!(decode("100%"), "100%");
        assert_eq!(decode("%+1%zz%é"), "%+1%zz%é");
    }

    #[test]
    fn query_parameters_keep_order_and_duplicates() {
        let pairs = query_parameters("b=1&a=x%26y&b=2&&flag&plus=a+b");
        let pairs: Vec<_> = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(pairs, [("b", "1"), ("a", "x&y"), ("b", "2"), ("flag", ""), ("plus", "a b")]);
    }
}
