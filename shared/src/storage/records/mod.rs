//! Records: how aggregates are stored, as types. No requests.

pub(super) mod chat;
pub(super) mod generation;
pub(super) mod grant;
pub(super) mod lease;
pub(super) mod message;
pub(super) mod usage;
