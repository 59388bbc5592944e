// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Imports run one way: `cmd → report → table → proof → graph → input → a64`.

use std::fs;
use std::path::{Path, PathBuf};

/// The layers, the lowest first, and the modules in each.
const LAYERS: [&[&str]; 9] = [
    &["error", "output", "a64"],
    &["claim", "elf"],
    &["text"],
    &[
        "cfi",
        "fixups",
        "functions",
        "immediates",
        "patches",
        "traps",
    ],
    &["input"],
    &["graph"],
    &["proof"],
    &["emit", "generate", "progress", "rewrite", "table", "tables"],
    &[
        "check", "cmd", "disasm", "dump", "explain", "place", "sancov", "show", "source", "stat",
    ],
];

fn layer(module: &str) -> usize {
    let found = LAYERS.iter().position(|layer| layer.contains(&module));
    found.unwrap_or_else(|| panic!("{module} is in no layer"))
}

fn files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// The names of modules of the crate that stand after `crate::` in code.
fn imports(text: &str) -> Vec<String> {
    let code = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    let code: Vec<&str> = code.collect();
    let code = code.join("\n");
    let name = |rest: &str| -> Vec<String> {
        let is_part = |c: char| c.is_alphanumeric() || c == '_';
        let list = match rest.strip_prefix('{') {
            Some(list) => list.split('}').next().unwrap_or_default(),
            None => rest.split(|c| !is_part(c)).next().unwrap_or_default(),
        };
        let names = list.split(',').map(|name| {
            let name = name.trim();
            let end = name.find(|c| !is_part(c)).unwrap_or(name.len());
            name[..end].to_string()
        });
        names.filter(|name| !name.is_empty()).collect()
    };
    let parts = code.split("crate::").skip(1);
    parts.flat_map(name).collect()
}

#[test]
fn no_module_imports_one_above_it() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut all = Vec::new();
    files(&source, &mut all);
    let mut wrong = Vec::new();
    for path in all {
        let inside = path.strip_prefix(&source).unwrap();
        let first = inside.iter().next().unwrap().to_string_lossy();
        let module = first.trim_end_matches(".rs");
        if ["lib", "main"].contains(&module) {
            continue;
        }
        for import in imports(&fs::read_to_string(&path).unwrap()) {
            if layer(&import) > layer(module) {
                wrong.push(format!("{}: {import}", inside.display()));
            }
        }
    }
    assert_eq!(wrong, [""; 0]);
}
