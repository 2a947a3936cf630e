//! Child processes, started so that none outlives this program.
//!
//! Each child leads a process group, so Ctrl-C on the terminal reaches only this program, which then stops its children
//! in order. Some children start sessions of their own (`cargo lambda watch` does), so stopping one means stopping its
//! whole process tree. If this program is killed outright, its reaper, a second process of it, sees its stdin close and
//! stops what is left.

mod children;
mod log;
mod reaper;
mod tree;
mod version;

pub(crate) use children::{Child, Children, OPENAI_API_KEY};
pub(crate) use log::Log;
pub(crate) use reaper::{REAPER_COMMAND, run as run_reaper};
pub(crate) use version::first_line;
