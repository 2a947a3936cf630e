//! The flags of `chat package`.

use std::path::PathBuf;

use super::architecture::Architecture;

/// The flags of `chat package`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// The processor architecture of the functions on AWS [default: this machine's]
    #[arg(long, value_enum, value_name = "NAME", help_heading = "Functions")]
    pub(super) architecture: Option<Architecture>,

    /// Build without optimisations: faster, to try a deployment
    #[arg(long, help_heading = "Functions")]
    pub(super) debug: bool,

    /// Build nothing: take the binaries from this folder, as NAME or NAME/bootstrap, such as target/lambda
    #[arg(long, value_name = "DIR", conflicts_with = "debug", help_heading = "Functions")]
    pub(super) binaries: Option<PathBuf>,

    /// The SAM template in the root of the workspace [default: the nearest in this folder or above]
    #[arg(long, value_name = "PATH", help_heading = "Functions")]
    pub(super) template: Option<PathBuf>,

    /// The folder to write to [default: target/package]
    #[arg(long, value_name = "DIR")]
    pub(super) output: Option<PathBuf>,

    /// Print one JSON object on stdout, and everything for people on stderr
    #[arg(long, help_heading = "For programs")]
    pub(super) json: bool,
}
