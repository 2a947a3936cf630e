//! What `chat package` prints at the end.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::architecture::Architecture;
use crate::{
    cargo::Workspace,
    table::render,
    terminal::{Colour, Terminal},
};

/// A function in its archive.
#[derive(Debug)]
pub(super) struct PackagedFunction {
    pub(super) name: String,
    pub(super) archive: PathBuf,
    pub(super) binary_bytes: usize,
    pub(super) zipped_bytes: usize,
}

pub(super) fn report(
    functions: &[PackagedFunction],
    template: &Path,
    architecture: Architecture,
    workspace: &Workspace,
    terminal: &Terminal,
) {
    let rows = functions.iter().map(|function| {
        let archive = workspace.relative(&function.archive);
        [function.name.clone(), megabytes(function.binary_bytes), megabytes(function.zipped_bytes), archive]
    });
    terminal.line(render(["FUNCTION", "BINARY", "ZIPPED", "FILE"], rows.collect(), terminal));
    let deploy = format!(
        "sam deploy --template {} --stack-name NAME --resolve-s3 --capabilities CAPABILITY_IAM",
        workspace.relative(template)
    );
    terminal.line(format_args!("Deploy it with: {}", terminal.paint(Colour::Bold, deploy)));
    let functions: Vec<Value> = functions.iter().map(json).collect();
    let (architecture, template) = (architecture.name(), template.display().to_string());
    terminal.event(&json!({ "architecture": architecture, "template": template, "functions": functions }));
}

fn json(function: &PackagedFunction) -> Value {
    let PackagedFunction { name, archive, binary_bytes, zipped_bytes } = function;
    let file = archive.display().to_string();
    json!({ "name": name, "file": file, "binary_bytes": binary_bytes, "zipped_bytes": zipped_bytes })
}

#[expect(clippy::cast_precision_loss, reason = "shown with one decimal place")]
fn megabytes(bytes: usize) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}
