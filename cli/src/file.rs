//! Files.

use std::io::{self, ErrorKind};
use std::path::Path;

/// Removes a file, or a link to one, if it is there.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}
