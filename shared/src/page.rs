//! Pages of a collection: `offset`, `limit`, `order` in, `total` and `has_more` out.

use serde::Serialize;
use serde_json::Value;

use crate::{
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
    use crate::error::Code;

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
    fn more_follows_until_the_end_is_reached() {
        let request = PageRequest { offset: 10, limit: 5, order: Order::Asc };
        assert!(Pagination::new(request, 5, 16).has_more);
        assert!(!Pagination::new(request, 5, 15).has_more);
        assert!(!Pagination::new(request, 0, 3).has_more, "an offset past the end");
    }
}
