//! Pages of a collection: `offset`, `limit`, `order` in, `total` and `has_more` out.

use std::io;

use serde::Serialize;
use serde_json::Value;

use crate::domain::{
    chat::Chat,
    error::ApiError,
    input::{Field, Fields},
    message::Message,
};

/// Which part of a collection a caller wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageRequest {
    /// How many items to skip.
    pub offset: u32,
    /// How many items to return at most, 1 to 200.
    pub limit: u32,
    /// From which end.
    pub order: Order,
}

/// The direction in which a collection is read.
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
    /// How many items a page has when the caller does not say.
    pub const DEFAULT_LIMIT: u32 = 50;
    /// How many items a page has at most.
    pub const MAX_LIMIT: u32 = 200;

    /// Reads the three parameters of a query string; 0, 50 and `default_order` stand in for those that are left out.
    ///
    /// # Errors
    ///
    /// `INVALID_PARAMETER` for a value outside its bounds, `UNKNOWN_FIELD` for any other parameter.
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

/// Digits only: `u32::from_str` alone would take a sign too.
fn decimal(value: &Value) -> Option<u32> {
    let text = value.as_str()?;
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// A page ends when its items reach this size, since a Lambda function can answer 6 MB at most; `has_more` says that the
/// rest is still there.
/// <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>
pub(crate) const MAX_PAGE_BYTES: usize = 5 * 1024 * 1024;

/// How many of these items one answer can hold: at least one.
pub(crate) fn fitting<T: Serialize>(items: &[T]) -> usize {
    let mut bytes = 0;
    let fitting = items.iter().take_while(|item| {
        bytes += bytes_in_answer(item);
        bytes <= MAX_PAGE_BYTES
    });
    fitting.count().max(1).min(items.len())
}

/// What an item takes in a function's answer: it is JSON inside a JSON string.
pub(crate) fn bytes_in_answer<T: Serialize + ?Sized>(item: &T) -> usize {
    let mut escaped = Escaped(0);
    // Counting cannot fail; what cannot be written as JSON fails where it is sent.
    let _ = serde_json::to_writer(&mut escaped, item);
    escaped.0
}

/// Counts the bytes of a JSON text that is put into a JSON string.
struct Escaped(usize);

impl io::Write for Escaped {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        // Control characters are escaped already.
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
    /// Where the page lies.
    #[serde(flatten)]
    pub pagination: Pagination,
}

/// A page of a chat's messages.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MessagePage {
    /// The messages, oldest first unless asked otherwise.
    pub messages: Vec<Message>,
    /// Where the page lies.
    #[serde(flatten)]
    pub pagination: Pagination,
}

/// Where a page lies in its collection; part of every answer that lists something.
#[derive(Clone, Copy, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Pagination {
    /// How many items the whole collection has.
    pub total: u32,
    /// How many items were skipped.
    pub offset: u32,
    /// The limit that was asked for.
    pub limit: u32,
    /// Whether items follow this page.
    pub has_more: bool,
}

impl Pagination {
    /// Describes a page of a list that may lag behind its `total` for a moment: only the list itself knows whether it
    /// goes on, so that who asks as long as there is more always comes to an end. Of what was `returned` at least as
    /// much is there.
    #[must_use]
    pub fn of_list(request: PageRequest, returned: usize, total: u32, has_more: bool) -> Self {
        let returned = u32::try_from(returned).unwrap_or(u32::MAX);
        Self { total: total.max(returned), offset: request.offset, limit: request.limit, has_more }
    }

    /// Describes a page of `returned` items of a collection of `total`.
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
    fn defaults_stand_in() {
        assert_eq!(read(&[]), Ok(PageRequest { offset: 0, limit: 50, order: Order::Asc }));
        assert_eq!(
            read(&[("order", "desc"), ("limit", "200"), ("offset", "99900")]),
            Ok(PageRequest { offset: 99_900, limit: 200, order: Order::Desc })
        );
    }

    #[test]
    fn values_outside_are_refused_not_clamped() {
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
    fn an_answer_is_measured_as_it_is_written() {
        let text: String = (0..0x250_u32).filter_map(char::from_u32).collect();
        let once = serde_json::to_string(&text).expect("text is JSON");
        let twice = serde_json::to_string(&once).expect("text is JSON");
        assert_eq!(bytes_in_answer(&text), twice.len() - 2, "without the quotes around it");
    }

    #[test]
    fn a_page_holds_what_an_answer_can_and_at_least_one_item() {
        let item = "x".repeat(MAX_PAGE_BYTES / 4);
        assert_eq!(fitting(&[item.as_str(); 3]), 3);
        assert_eq!(fitting(&[item.as_str(); 9]), 3, "each item brings quotes");
        assert_eq!(fitting(&["x".repeat(MAX_PAGE_BYTES)]), 1);
        assert_eq!(fitting::<&str>(&[]), 0);
    }

    #[test]
    fn a_list_that_lags_neither_hides_what_it_shows_nor_promises_what_it_does_not_have() {
        let request = PageRequest { offset: 0, limit: 5, order: Order::Desc };
        assert_eq!(Pagination::of_list(request, 3, 2, false).total, 3);
        assert!(!Pagination::of_list(request, 0, 2, false).has_more);
    }

    #[test]
    fn more_follows_until_the_end_is_reached() {
        let request = PageRequest { offset: 10, limit: 5, order: Order::Asc };
        assert!(Pagination::new(request, 5, 16).has_more);
        assert!(!Pagination::new(request, 5, 15).has_more);
        assert!(!Pagination::new(request, 0, 3).has_more, "an offset past the end");
    }
}
