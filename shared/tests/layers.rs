//! Checks the imports of the crate: each layer uses only the layers above it, and no modules import each other in a
//! circle.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use syn::{
    Attribute, File, ItemMod, ItemUse, UseTree,
    visit::{self, Visit},
};

/// The layers, from top to bottom. The last two are edges and do not use each other.
const LAYERS: [&str; 10] =
    ["domain", "runtime", "storage", "auth", "agents", "websocket", "generation", "maintenance", "rest", "schedule"];
const EDGES: [&str; 2] = ["rest", "schedule"];

type Module = Vec<String>;

/// The modules that each module imports; `["storage", "item"]` is the file `storage/item.rs`.
fn imports() -> BTreeMap<Module, BTreeSet<Module>> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect_files(&source, &mut files);
    let modules: BTreeMap<Module, PathBuf> =
        files.iter().map(|file| (module_of(&source, file), file.clone())).collect();
    let names: BTreeSet<Module> = modules.keys().cloned().collect();
    let read = |(module, path): (Module, PathBuf)| {
        let text = fs::read_to_string(&path).expect("a source file is readable");
        let file: File = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut paths = Paths { module: module.clone(), found: Vec::new() };
        paths.visit_file(&file);
        let imported = paths.found.into_iter().filter_map(|path| file_of(path, &names));
        (module.clone(), imported.filter(|other| *other != module).collect())
    };
    modules.into_iter().map(read).collect()
}

fn collect_files(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder is readable") {
        let path = entry.expect("an entry is readable").path();
        if path.is_dir() {
            collect_files(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests.rs") {
            files.push(path);
        }
    }
}

fn module_of(source: &Path, file: &Path) -> Module {
    let path = file.strip_prefix(source).expect("the file is below src").with_extension("");
    let mut module: Module = path.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if module.last().is_some_and(|last| last == "mod" || last == "lib") {
        module.pop();
    }
    module
}

/// The file that a path leads to: its longest prefix that is a module.
fn file_of(mut path: Module, modules: &BTreeSet<Module>) -> Option<Module> {
    while !path.is_empty() && !modules.contains(&path) {
        path.pop();
    }
    (!path.is_empty()).then_some(path)
}

/// Collects the paths of a file that begin with `crate`, `self` or `super`, outside of its tests.
struct Paths {
    module: Module,
    found: Vec<Module>,
}

impl Paths {
    fn add(&mut self, path: &[String]) {
        let Some((first, rest)) = path.split_first() else { return };
        let base = match first.as_str() {
            "crate" => Vec::new(),
            "self" => self.module.clone(),
            "super" => self.module[..self.module.len().saturating_sub(1)].to_vec(),
            // A path may begin with a child module.
            _ => return self.found.push([self.module.as_slice(), path].concat()),
        };
        let mut absolute = base;
        for part in rest {
            if part == "super" {
                absolute.pop();
            } else {
                absolute.push(part.clone());
            }
        }
        self.found.push(absolute);
    }

    fn add_tree(&mut self, prefix: &[String], tree: &UseTree) {
        let with = |name: &syn::Ident| [prefix, &[name.to_string()]].concat();
        match tree {
            UseTree::Path(path) => self.add_tree(&with(&path.ident), &path.tree),
            UseTree::Name(name) if name.ident == "self" => self.add(prefix),
            UseTree::Name(name) => self.add(&with(&name.ident)),
            UseTree::Rename(rename) => self.add(&with(&rename.ident)),
            UseTree::Glob(_) => self.add(prefix),
            UseTree::Group(group) => group.items.iter().for_each(|item| self.add_tree(prefix, item)),
        }
    }
}

impl<'ast> Visit<'ast> for Paths {
    /// Tests may use anything.
    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        let is_test = |attribute: &Attribute| attribute.path().is_ident("cfg");
        if !item.attrs.iter().any(is_test) {
            visit::visit_item_mod(self, item);
        }
    }

    /// `pub(super)` is no import.
    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        self.add_tree(&[], &item.tree);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let parts: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.add(&parts);
        visit::visit_path(self, path);
    }
}

fn name(module: &[String]) -> String {
    if module.is_empty() { "lib.rs".to_owned() } else { module.join("::") }
}

#[test]
fn layers_use_only_the_layers_above_them() {
    let place = |module: &Module| {
        let layer = module.first()?;
        Some(LAYERS.iter().position(|name| name == layer).unwrap_or_else(|| panic!("`{layer}` is no layer")))
    };
    let is_edge = |module: &Module| module.first().is_some_and(|layer| EDGES.contains(&layer.as_str()));
    let mut against = Vec::new();
    for (module, imported) in imports() {
        for other in imported {
            let between_edges = is_edge(&module) && is_edge(&other) && module[0] != other[0];
            if place(&module) < place(&other) || between_edges {
                against.push(format!("{} imports {}", name(&module), name(&other)));
            }
        }
    }
    assert!(against.is_empty(), "against the order of the layers:\n{}", against.join("\n"));
}

#[test]
fn modules_do_not_import_each_other_in_a_circle() {
    let imports = imports();
    let mut left: BTreeMap<&Module, BTreeSet<&Module>> =
        imports.iter().map(|(module, imported)| (module, imported.iter().collect())).collect();
    // Whatever imports nothing that is left is in no circle.
    loop {
        let done: Vec<&Module> =
            left.iter().filter(|(_, imported)| imported.is_empty()).map(|(module, _)| *module).collect();
        if done.is_empty() {
            break;
        }
        for module in done {
            left.remove(module);
            for imported in left.values_mut() {
                imported.remove(module);
            }
        }
    }
    // Modules that only lead to a circle are not part of one.
    loop {
        let imported: BTreeSet<&Module> = left.values().flatten().copied().collect();
        let before = left.len();
        left.retain(|module, _| imported.contains(module));
        let rest: BTreeSet<&Module> = left.keys().copied().collect();
        left.values_mut().for_each(|imported| imported.retain(|module| rest.contains(module)));
        if left.len() == before {
            break;
        }
    }
    let shown: Vec<String> = left
        .iter()
        .map(|(module, imported)| {
            let imported: Vec<String> = imported.iter().map(|other| name(other)).collect();
            format!("{} imports {}", name(module), imported.join(", "))
        })
        .collect();
    assert!(shown.is_empty(), "circles:\n{}", shown.join("\n"));
}
