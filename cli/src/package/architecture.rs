//! The processor architectures of Lambda.

use std::fmt;

use anyhow::{Result, bail};

/// A processor architecture, by Lambda's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Architecture {
    Arm64,
    #[value(name = "x86_64")]
    X86_64,
}

impl Architecture {
    const ALL: [Self; 2] = [Self::Arm64, Self::X86_64];

    pub(super) fn of_this_machine() -> Result<Self> {
        match std::env::consts::ARCH {
            "aarch64" => Ok(Self::Arm64),
            "x86_64" => Ok(Self::X86_64),
            other => bail!("Lambda does not support {other}: pass --architecture arm64 or x86_64"),
        }
    }

    /// Its name in the template.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Arm64 => "arm64",
            Self::X86_64 => "x86_64",
        }
    }

    /// The Rust target.
    pub(super) fn target(self) -> &'static str {
        match self {
            Self::Arm64 => "aarch64-unknown-linux-gnu",
            Self::X86_64 => "x86_64-unknown-linux-gnu",
        }
    }

    /// `e_machine` in the header of an ELF file.
    fn machine(self) -> u8 {
        match self {
            Self::Arm64 => 0xb7,
            Self::X86_64 => 0x3e,
        }
    }

    /// Checks that a binary is a Linux program for this architecture.
    pub(super) fn check(self, binary: &[u8]) -> Result<()> {
        let of = match binary {
            [0x7f, b'E', b'L', b'F', rest @ ..] => rest.get(14),
            _ => bail!("it is not a Linux program: leave out --binaries to build one"),
        };
        match Self::ALL.into_iter().find(|architecture| of == Some(&architecture.machine())) {
            Some(architecture) if architecture == self => Ok(()),
            Some(other) => bail!("it is built for {other}, not {self}: pass --architecture {other}, or build it again"),
            None => bail!("it is built for an architecture that Lambda does not support"),
        }
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_binaries_of_the_architecture_are_accepted() {
        let own = std::fs::read(std::env::current_exe().expect("the path of the test")).expect("readable");
        let here = Architecture::of_this_machine().expect("a supported architecture");
        if cfg!(target_os = "linux") {
            for architecture in Architecture::ALL {
                assert_eq!(architecture.check(&own).is_ok(), architecture == here, "{architecture}");
            }
        } else {
            assert!(here.check(&own).is_err());
        }
        assert!(here.check(b"#!/bin/sh").is_err() && here.check(b"\x7fELF").is_err());
    }
}
