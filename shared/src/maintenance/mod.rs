//! The sweeps of the scheduled function: work that no request finishes.
//!
//! - `chats`: purges deleted chats and takes over generations whose owners died;
//! - `connections`: releases orphaned connection slots and closes connections that lost their access and stay silent;
//! - `retention`: deletes chats that are idle for longer than their tenant keeps them.
//!
//! A sweep finds its work through the maintenance queue, never by a scan. Its steps can be aborted, repeated, and run twice at once; the
//! queue entry is removed last, so the next run continues where this one stopped. An entry that fails is logged and
//! postponed, and does not block others.
//!
//! May import everything except `rest` and `schedule`.

mod chats;
mod connections;
mod report;
mod retention;
mod run;
mod stop_time;
mod sweep;

pub use report::Report;
pub use stop_time::StopTime;
pub use sweep::Maintenance;
