//! ZIP archives of one program. The same program gives the same bytes, whenever it was built, so that a deploy of what
//! has not changed changes nothing.
//!
//! <https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT>

use std::io::Write;

use anyhow::{Context, Result};
use flate2::write::DeflateEncoder;
use flate2::{Compression, Crc};

/// What Lambda starts.
/// <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-provided.html>
const NAME: &[u8] = b"bootstrap";
/// The first day that the format knows: 1 January 1980.
const DATE: u16 = 1 << 5 | 1;
const VERSION: u16 = 20;
const UNIX: u16 = 3 << 8;
const DEFLATED: u16 = 8;
/// A plain file that everybody may run.
const MODE: u32 = 0o100_755 << 16;

/// The archive of a program.
pub(super) fn zip(program: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(program)?;
    let compressed = encoder.finish()?;
    let mut crc = Crc::new();
    crc.update(program);
    let size = |bytes: &[u8]| u32::try_from(bytes.len()).context("it is larger than 4 GiB");
    let entry = Entry { crc: crc.sum(), compressed: size(&compressed)?, size: size(program)? };

    let mut zip = Vec::with_capacity(compressed.len() + 256);
    zip.extend(0x0403_4b50_u32.to_le_bytes());
    entry.describe(&mut zip);
    zip.extend(NAME);
    zip.extend(compressed);

    let directory = size(&zip)?;
    zip.extend(0x0201_4b50_u32.to_le_bytes());
    zip.extend((UNIX | VERSION).to_le_bytes());
    entry.describe(&mut zip);
    // No comment, on the first disk, no text.
    zip.extend([0; 6]);
    zip.extend(MODE.to_le_bytes());
    // It begins with the archive.
    zip.extend(0_u32.to_le_bytes());
    zip.extend(NAME);

    let length = size(&zip)? - directory;
    zip.extend(0x0605_4b50_u32.to_le_bytes());
    // One disk, and on it one entry of one.
    zip.extend([0, 0, 0, 0, 1, 0, 1, 0]);
    zip.extend(length.to_le_bytes());
    zip.extend(directory.to_le_bytes());
    zip.extend([0; 2]);
    Ok(zip)
}

struct Entry {
    crc: u32,
    compressed: u32,
    size: u32,
}

impl Entry {
    /// What stands before the content and again in the directory.
    fn describe(&self, zip: &mut Vec<u8>) {
        // The third is flags, the fifth a time of day; the last is further fields.
        for field in [VERSION, 0, DEFLATED, 0, DATE] {
            zip.extend(field.to_le_bytes());
        }
        for field in [self.crc, self.compressed, self.size] {
            zip.extend(field.to_le_bytes());
        }
        zip.extend([NAME.len() as u8, 0, 0, 0]);
    }
}
