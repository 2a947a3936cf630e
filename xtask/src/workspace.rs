//! The workspace that the tasks work on.

use std::path::{Path, PathBuf};

/// The absolute path of a file, from its path in the workspace.
pub(crate) fn path(relative: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(relative)
}
