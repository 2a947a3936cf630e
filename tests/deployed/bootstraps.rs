//! The deployed programs: a `bootstrap` for each function.

use std::{collections::BTreeMap, fs, path::PathBuf, process::Command};

use gateway::template::Template;
use tests::Options;

/// A folder with a folder and `bootstrap` for each function: the one in `CHAT_CODE`, or else debug builds.
///
/// `CHAT_CODE` may be the output of `cargo chat package`, `sam build` or `cargo lambda build`.
pub(crate) fn ready() -> PathBuf {
    if let Some(folder) = std::env::var_os("CHAT_CODE") {
        return PathBuf::from(folder);
    }
    let Options { workspace, target, .. } = Options::binaries();
    let template =
        Template::load(&workspace.join("template.yaml"), &BTreeMap::new()).expect("the template is readable");
    let names: Vec<String> =
        template.functions().expect("functions").into_iter().map(|function| function.name).collect();
    // Together and without `--package`: otherwise cargo selects other features for shared dependencies.
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet"]).args(names.iter().flat_map(|name| ["--bin", name]));
    run(build.current_dir(workspace).env("CARGO_TARGET_DIR", &target));
    let code = target.join("tests").join("code");
    for name in names {
        let folder = code.join(&name);
        fs::create_dir_all(&folder).expect("a folder can be created");
        // Symbols are two thirds of a debug build.
        run(Command::new("strip").arg("-o").arg(folder.join("bootstrap")).arg(target.join("debug").join(name)));
    }
    code
}

fn run(command: &mut Command) {
    assert!(command.status().is_ok_and(|status| status.success()), "failed to run {command:?}");
}
