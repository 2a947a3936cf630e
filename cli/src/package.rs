//! `chat package`: what a deploy needs, so that it needs no Rust: a ZIP archive a function, and the template with their
//! names in it.

mod architecture;
mod archive;
mod binaries;
mod show;
mod template;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use serde_json::json;

use crate::dev::{self, Workspace};
use crate::file;
use crate::terminal::Terminal;
use architecture::Architecture;

/// The name of the template in a package. CloudFormation takes JSON as well as YAML.
const TEMPLATE: &str = "template.json";

/// The flags of `chat package`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// The processor of the functions on AWS [default: this machine's]
    #[arg(long, value_enum, value_name = "NAME", help_heading = "Functions")]
    architecture: Option<Architecture>,

    /// Build without optimisations: sooner done, to try a deploy
    #[arg(long, help_heading = "Functions")]
    debug: bool,

    /// Build nothing: take the binaries of this folder, NAME or NAME/bootstrap, such as target/lambda
    #[arg(long, value_name = "DIR", conflicts_with = "debug", help_heading = "Functions")]
    binaries: Option<PathBuf>,

    /// The SAM template; the workspace is the folder that it lies in [default: the nearest one upwards]
    #[arg(long, value_name = "PATH", help_heading = "Functions")]
    template: Option<PathBuf>,

    /// The folder to fill [default: target/package]
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,

    /// One JSON object on stdout; what people read goes to stderr
    #[arg(long, help_heading = "For programs")]
    json: bool,
}

/// A function in its archive.
#[derive(Debug)]
struct Packed {
    name: String,
    archive: PathBuf,
    /// Size of the program.
    bytes: usize,
    /// Size of the archive.
    zipped: usize,
}

/// Makes a package.
pub(crate) fn main(options: Options) -> ExitCode {
    let terminal = Terminal::new(options.json);
    let work = async {
        let Err(error) = Box::pin(run(options, &terminal)).await else { return Ok(ExitCode::SUCCESS) };
        let message = format!("{error:#}");
        terminal.refusal(&message);
        terminal.event(&json!({ "error": { "message": message } }));
        Ok(ExitCode::FAILURE)
    };
    dev::block_on(work, &terminal)
}

async fn run(options: Options, terminal: &Terminal) -> Result<()> {
    let architecture = options.architecture.map_or_else(Architecture::of_this_machine, Ok)?;
    let workspace = Workspace::find(options.template.as_deref()).await?;
    let yaml = fs::read_to_string(&workspace.template).context("failed to read the template")?;
    let template = template::packaged(&yaml, architecture)
        .with_context(|| format!("failed to understand {}", workspace.shown(&workspace.template)))?;
    workspace.require_binaries(template.functions.iter().map(String::as_str))?;
    let binaries = match options.binaries {
        Some(folder) => folder,
        None => binaries::build(&workspace, &template.functions, architecture, options.debug, terminal).await?,
    };
    let output = options.output.unwrap_or_else(|| workspace.target.join("package"));
    fs::create_dir_all(&output).with_context(|| format!("failed to create {}", output.display()))?;
    // First gone and last written, so that a template means that the archives are whole, and its own.
    let path = output.join(TEMPLATE);
    file::remove(&path).with_context(|| format!("failed to remove {}", path.display()))?;
    let step = terminal.step("Packing");
    let mut packed = Vec::new();
    for name in &template.functions {
        step.progress(name.clone());
        packed.push(pack(name, &binaries, architecture, &output)?);
    }
    fs::write(&path, format!("{:#}\n", template.json))
        .with_context(|| format!("failed to write {}", path.display()))?;
    step.done(format_args!("Packed {} functions for {architecture}", packed.len()));
    show::show(&packed, &path, architecture, &workspace, terminal);
    Ok(())
}

fn pack(name: &str, binaries: &Path, architecture: Architecture, output: &Path) -> Result<Packed> {
    let program = binaries::read(name, binaries)?;
    architecture.check(&program).with_context(|| format!("{name} cannot be packed"))?;
    let archive = output.join(template::archive_name(name));
    let zip = archive::zip(&program).with_context(|| format!("failed to pack {name}"))?;
    fs::write(&archive, &zip).with_context(|| format!("failed to write {}", archive.display()))?;
    Ok(Packed { name: name.to_owned(), archive, bytes: program.len(), zipped: zip.len() })
}
