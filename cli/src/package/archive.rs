//! ZIP archives of one binary. The same binary always gives the same bytes, so that deploying an unchanged function
//! changes nothing.

use std::io::{Cursor, Write};

use anyhow::Result;
use zip::{CompressionMethod, DateTime, ZipWriter, write::SimpleFileOptions};

/// The file that Lambda starts.
/// <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-provided.html>
const NAME: &str = "bootstrap";
/// Lambda runs it as another user than its owner.
const MODE: u32 = 0o755;

/// The archive of a binary.
pub(super) fn zip(binary: &[u8]) -> Result<Vec<u8>> {
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        // 1 January 1980, the format's first day, instead of the time of the build.
        .last_modified_time(DateTime::DEFAULT)
        .unix_permissions(MODE);
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    archive.start_file(NAME, options)?;
    archive.write_all(binary)?;
    Ok(archive.finish()?.into_inner())
}
