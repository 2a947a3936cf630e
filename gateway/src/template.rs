//! A SAM template: the resources, functions, routes and schedules that a local stack needs.
//!
//! Only the values that a caller requests are resolved, so a template may contain intrinsic functions that cannot be
//! resolved locally. Of the rest of the crate, only `integration_timeout` is imported here.

mod conditions;
mod document;
mod error;
mod functions;
mod globals;
mod intrinsics;
mod location;
mod parameters;
mod resources;
mod routes;
mod schedules;
mod value;
mod yaml;

pub use document::Template;
pub use error::TemplateError;
pub use functions::Function;
pub use resources::Resource;
pub use routes::{HttpRoute, WebSocketApi, WebSocketRoute};
pub use schedules::Schedule;
