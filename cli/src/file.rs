//! File operations that the standard library lacks.

use std::{
    io::{self, ErrorKind},
    path::Path,
};

/// Removes a file, or a link to one, if it exists.
pub(crate) fn remove_if_present(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}
