//! `chat package`: builds what a deployment needs, so that it needs no Rust: a ZIP archive for each function, and the
//! template that refers to them.

mod architecture;
mod archive;
mod binaries;
mod options;
mod report;
mod run;
mod template;

pub(crate) use options::Options;
pub(crate) use run::run;
