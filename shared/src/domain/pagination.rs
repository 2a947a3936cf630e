//! Offset pagination: `offset`, `limit`, `order` in; `total` and `has_more` out.

use std::io;

use serde::Serialize;
use serde_json::Value;

use crate::domain::{
    chat::Chat,
    error::ApiError,
    input::{Field, Fields},
    message::Message,
};

/// The page that a caller asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageRequest {
    /// Items to skip.
    pub offset: u32,
    /// The most items to return, 1 to 200.
    pub limit: u32,
    /// The order of the collection.
    pub order: Order,
}

/// The order of a collection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename_all = "snake_case"))]
pub enum Order {
    /// Oldest first.
    Asc,
    /// Newest first.
    Desc,
}

struct Offset(u32);
struct Limit(u32);

impl PageRequest {
    /// The default of `limit`.
    pub const DEFAULT_LIMIT: u32 = 50;
    /// The maximum of `limit`.
    pub const MAX_LIMIT: u32 = 200;

    /// Reads the parameters of a query string. Defaults: offset 0, limit 50, `default_order`.
    ///
    /// # Errors
    ///
    /// `INVALID_PARAMETER` for a value out of range, `UNKNOWN_FIELD` for any other parameter.
    pub fn read(mut query: Fields, default_order: Order) -> Result<Self, ApiError> {
        let offset = query.optional("offset")?.map_or(0, |Offset(offset)| offset);
        let limit = query.optional("limit")?.map_or(Self::DEFAULT_LIMIT, |Limit(limit)| limit);
        let order = query.optional("order")?.unwrap_or(default_order);
        query.finish()?;
        Ok(Self { offset, limit, order })
    }
}

impl Field for Offset {
    const ALLOWED: &'static str = "a whole number from 0 to 4294967295";

    fn read(value: &Value) -> Option<Self> {
        decimal(value).map(Self)
    }
}

impl Field for Limit {
    const ALLOWED: &'static str = "a whole number from 1 to 200";

    fn read(value: &Value) -> Option<Self> {
        decimal(value).filter(|limit| (1..=PageRequest::MAX_LIMIT).contains(limit)).map(Self)
    }
}

impl Field for Order {
    const ALLOWED: &'static str = "`asc` or `desc`";

    fn read(value: &Value) -> Option<Self> {
        match value.as_str()? {
            "asc" => Some(Self::Asc),
            "desc" => Some(Self::Desc),
            _ => None,
        }
    }
}

/// Digits only: `u32::from_str` also accepts a sign.
fn decimal(value: &Value) -> Option<u32> {
    let text = value.as_str()?;
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// A page ends when its items reach this size, since a Lambda response holds at most 6 MB; `has_more` is then true.
/// <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>
pub(crate) const MAX_PAGE_BYTES: usize = 5 * 1024 * 1024;

/// How many of these items fit into one response: at least one.
pub(crate) fn fitting_items<T: Serialize>(items: &[T]) -> usize {
    let mut bytes = 0;
    let fitting = items.iter().take_while(|item| {
        bytes += response_bytes(item);
        bytes <= MAX_PAGE_BYTES
    });
    fitting.count().max(1).min(items.len())
}

/// The size of an item in a function's response, where its JSON is escaped in a JSON string.
pub(crate) fn response_bytes<T: Serialize + ?Sized>(item: &T) -> usize {
    let mut escaped = Escaped(0);
    // The writer cannot fail; a value that is not JSON fails where the response is written.
    let _ = serde_json::to_writer(&mut escaped, item);
    escaped.0
}

/// Counts the bytes of a JSON text that is escaped in a JSON string.
struct Escaped(usize);

impl io::Write for Escaped {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        // JSON has escaped control characters already.
        self.0 += text.len() + text.iter().filter(|byte| matches!(byte, b'"' | b'\\')).count();
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A page of a user's chats.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ChatPage {
    /// The chats, most recently active first unless asked otherwise.
    pub chats: Vec<Chat>,
    /// The position of the page.
    #[serde(flatten)]
    pub pagination: Pagination,
}

/// A page of a chat's messages.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MessagePage {
    /// The messages, oldest first unless asked otherwise.
    pub messages: Vec<Message>,
    /// The position of the page.
    #[serde(flatten)]
    pub pagination: Pagination,
}

/// The position of a page in its collection.
#[derive(Clone, Copy, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Pagination {
    /// Items of the whole collection.
    pub total: u32,
    /// Items skipped.
    pub offset: u32,
    /// The limit of the request.
    pub limit: u32,
    /// Whether items follow this page.
    pub has_more: bool,
}

impl Pagination {
    /// Describes a page of an index that may lag behind its `total`. `has_more` comes from the index, so that a client
    /// that pages until it is false always ends. `total` is at least what was `returned`.
    #[must_use]
    pub fn of_index(request: PageRequest, returned: usize, total: u32, has_more: bool) -> Self {
        let returned = u32::try_from(returned).unwrap_or(u32::MAX);
        Self { total: total.max(returned), offset: request.offset, limit: request.limit, has_more }
    }

    /// Describes a page of `returned` items in a collection of `total`.
    #[must_use]
    pub fn new(request: PageRequest, returned: usize, total: u32) -> Self {
        let end = u64::from(request.offset) + returned as u64;
        Self { total, offset: request.offset, limit: request.limit, has_more: end < u64::from(total) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::error::Code;

    fn read(pairs: &[(&str, &str)]) -> Result<PageRequest, Code> {
        PageRequest::read(Fields::from_pairs(pairs.iter().copied()), Order::Asc).map_err(|error| error.code())
    }

    #[test]
    fn absent_parameters_have_defaults() {
        assert_eq!(read(&[]), Ok(PageRequest { offset: 0, limit: 50, order: Order::Asc }));
        assert_eq!(
            read(&[("order", "desc"), ("limit", "200"), ("offset", "99900")]),
            Ok(PageRequest { offset: 99_900, limit: 200, order: Order::Desc })
        );
    }

    #[test]
    fn values_out_of_range_are_refused() {
        for bad in [
            ("limit", "0"),
            ("limit", "201"),
            ("limit", "-1"),
            ("limit", "+5"),
            ("limit", "5.0"),
            ("limit", ""),
            ("offset", "-1"),
            ("offset", "4294967296"),
            ("offset", "x"),
            ("order", "ASC"),
        ] {
            assert_eq!(read(&[bad]), Err(Code::InvalidParameter), "{bad:?}");
        }
        assert_eq!(read(&[("page", "1")]), Err(Code::UnknownField));
    }

    #[test]
    fn response_bytes_count_escaped_json() {
        let text: String = (0..0x250_u32).filter_map(char::from_u32).collect();
        let once = serde_json::to_string(&text).expect("text is JSON");
        let twice = serde_json::to_string(&once).expect("text is JSON");
        assert_eq!(response_bytes(&text), twice.len() - 2, "without the quotes around it");
    }

    #[test]
    fn pages_fit_a_response_and_hold_at_least_one_item() {
        let item = "x".repeat(MAX_PAGE_BYTES / 4);
        assert_eq!(fitting_items(&[item.as_str(); 3]), 3);
        assert_eq!(fitting_items(&[item.as_str(); 9]), 3, "each item brings quotes");
        assert_eq!(fitting_items(&["x".repeat(MAX_PAGE_BYTES)]), 1);
        assert_eq!(fitting_items::<&str>(&[]), 0);
    }

    #[test]
    fn lagging_indexes_do_not_promise_more() {
        let request = PageRequest { offset: 0, limit: 5, order: Order::Desc };
        assert_eq!(Pagination::of_index(request, 3, 2, false).total, 3);
        assert!(!Pagination::of_index(request, 0, 2, false).has_more);
    }

    #[test]
    fn has_more_is_false_at_the_end() {
        let request = PageRequest { offset: 10, limit: 5, order: Order::Asc };
        assert!(Pagination::new(request, 5, 16).has_more);
        assert!(!Pagination::new(request, 5, 15).has_more);
        assert!(!Pagination::new(request, 0, 3).has_more, "an offset past the end");
    }
}
