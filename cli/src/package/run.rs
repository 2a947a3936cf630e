//! Creates a package.

use std::{fs, path::Path, process::ExitCode};

use anyhow::{Context, Result};
use serde_json::json;

use super::{
    architecture::Architecture,
    archive, binaries,
    options::Options,
    report::{PackagedFunction, report},
    template,
};
use crate::{async_runtime, cargo::Workspace, file, terminal::Terminal};

/// The name of the template in a package. CloudFormation accepts JSON as well as YAML.
const TEMPLATE: &str = "template.json";

/// Runs the command.
pub(crate) fn run(options: Options) -> ExitCode {
    let terminal = Terminal::new(options.json);
    let package = async { Box::pin(package(options, &terminal)).await };
    match async_runtime::block_on(package) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let message = format!("{error:#}");
            terminal.failure(&message);
            terminal.event(&json!({ "error": { "message": message } }));
            ExitCode::FAILURE
        }
    }
}

async fn package(options: Options, terminal: &Terminal) -> Result<()> {
    let architecture = options.architecture.map_or_else(Architecture::of_this_machine, Ok)?;
    let workspace = Workspace::find(options.template.as_deref()).await?;
    let yaml = fs::read_to_string(&workspace.template).context("failed to read the template")?;
    let template = template::packaged(&yaml, architecture)
        .with_context(|| format!("failed to read {}", workspace.relative(&workspace.template)))?;
    workspace.require_binaries(template.functions.iter().map(String::as_str))?;
    let binaries = match options.binaries {
        Some(folder) => folder,
        None => binaries::build(&workspace, &template.functions, architecture, options.debug, terminal).await?,
    };
    let output = options.output.unwrap_or_else(|| workspace.target.join("package"));
    fs::create_dir_all(&output).with_context(|| format!("failed to create {}", output.display()))?;
    // Removed first and written last: where there is a template, its archives are complete.
    let path = output.join(TEMPLATE);
    file::remove_if_present(&path).with_context(|| format!("failed to remove {}", path.display()))?;
    let step = terminal.step("Packaging");
    let mut functions = Vec::new();
    for name in &template.functions {
        step.progress(name.clone());
        functions.push(package_function(name, &binaries, architecture, &output)?);
    }
    fs::write(&path, format!("{:#}\n", template.json))
        .with_context(|| format!("failed to write {}", path.display()))?;
    step.done(format_args!("Packaged {} functions for {architecture}", functions.len()));
    report(&functions, &path, architecture, &workspace, terminal);
    Ok(())
}

fn package_function(
    name: &str,
    binaries: &Path,
    architecture: Architecture,
    output: &Path,
) -> Result<PackagedFunction> {
    let binary = binaries::read(name, binaries)?;
    architecture.check(&binary).with_context(|| format!("{name} cannot be packaged"))?;
    let archive = output.join(template::archive_name(name));
    let zip = archive::zip(&binary).with_context(|| format!("failed to compress {name}"))?;
    fs::write(&archive, &zip).with_context(|| format!("failed to write {}", archive.display()))?;
    Ok(PackagedFunction { name: name.to_owned(), archive, binary_bytes: binary.len(), zipped_bytes: zip.len() })
}
