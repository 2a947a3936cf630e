//! What a package came to.

use std::path::Path;

use serde_json::{Value, json};

use super::Packed;
use super::architecture::Architecture;
use crate::dev::Workspace;
use crate::table::{Cell, render};
use crate::terminal::{Colour, Terminal};

pub(super) fn show(
    packed: &[Packed],
    template: &Path,
    architecture: Architecture,
    workspace: &Workspace,
    terminal: &Terminal,
) {
    let rows = packed.iter().map(|packed| {
        let archive = workspace.shown(&packed.archive);
        [
            Cell::new(&packed.name),
            Cell::new(megabytes(packed.bytes)),
            Cell::new(megabytes(packed.zipped)),
            Cell::new(archive),
        ]
    });
    terminal.line(render(["FUNCTION", "PROGRAM", "ZIPPED", "FILE"], rows.collect(), terminal));
    let deploy = format!(
        "sam deploy --template {} --stack-name NAME --resolve-s3 --capabilities CAPABILITY_IAM",
        workspace.shown(template)
    );
    terminal.line(format_args!("Deploy it with: {}", terminal.paint(Colour::Bold, deploy)));
    let functions: Vec<Value> = packed.iter().map(json).collect();
    let (architecture, template) = (architecture.name(), template.display().to_string());
    terminal.event(&json!({ "architecture": architecture, "template": template, "functions": functions }));
}

fn json(packed: &Packed) -> Value {
    let file = packed.archive.display().to_string();
    json!({ "name": packed.name, "file": file, "program_bytes": packed.bytes, "zipped_bytes": packed.zipped })
}

#[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
fn megabytes(bytes: usize) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}
