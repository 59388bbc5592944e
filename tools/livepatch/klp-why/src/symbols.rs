// SPDX-License-Identifier: GPL-2.0 OR MIT

//! `/proc/kallsyms`: other names of a replaced function, and other functions of its name.
//!
//! A stack gives one name to an address that can have several, and the same name to
//! functions of several files.

use std::collections::{HashMap, HashSet};

use crate::livepatch::Function;
use crate::roots::{read, Roots};

/// Where a function is: a module, or vmlinux.
pub type Module = Option<String>;

/// A function of a module.
type Key = (Module, Function);

/// An address or a name, and the module it is in.
type Place<'a> = (Option<&'a str>, &'a str);

/// What is known of one function's names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// All names at its address, in no order. Empty where addresses are hidden.
    pub all: Vec<String>,
    /// How many functions of the same object have its name.
    pub same_name: usize,
}

/// What is known of the functions that were asked for.
pub type Symbols = HashMap<Key, Names>;

/// Looks functions up. Of those that can't be found there is nothing in the result.
pub fn find(roots: &Roots, wanted: &HashSet<Key>) -> Symbols {
    match read(&roots.proc().join("kallsyms")) {
        Ok(file) => search(&String::from_utf8_lossy(&file), wanted),
        Err(_) => Symbols::new(),
    }
}

fn search(file: &str, wanted: &HashSet<Key>) -> Symbols {
    let names: HashSet<&str> = wanted.iter().map(|(_, f)| f.name.as_str()).collect();
    let mut addresses: HashMap<Place, Vec<&str>> = HashMap::new();
    for line in file.lines().filter_map(Line::parse) {
        if names.contains(line.name) {
            let same = addresses.entry((line.module, line.name)).or_default();
            same.push(line.address);
        }
    }
    let mut found = Symbols::new();
    let mut by_address: HashMap<Place, Vec<&Key>> = HashMap::new();
    for key in wanted {
        let (module, function) = key;
        let module = module.as_deref();
        let Some(same) = addresses.get(&(module, function.name.as_str())) else {
            continue;
        };
        found.entry(key.clone()).or_default().same_name = same.len();
        let address = function.position.checked_sub(1).and_then(|n| same.get(n));
        if let Some(address) = address.filter(|address| address.bytes().any(|b| b != b'0')) {
            by_address.entry((module, address)).or_default().push(key);
        }
    }
    for line in file.lines().filter_map(Line::parse) {
        for &key in by_address
            .get(&(line.module, line.address))
            .into_iter()
            .flatten()
        {
            if let Some(names) = found.get_mut(key) {
                names.all.push(line.name.to_string());
            }
        }
    }
    found
}

struct Line<'a> {
    address: &'a str,
    name: &'a str,
    module: Option<&'a str>,
}

impl<'a> Line<'a> {
    /// `ffff800080012345 t name` or `... t name\t[module]`: functions only.
    fn parse(line: &'a str) -> Option<Self> {
        let mut fields = line.split_ascii_whitespace();
        let (address, kind, name) = (fields.next()?, fields.next()?, fields.next()?);
        let module = fields.next();
        let module = module.and_then(|m| m.strip_prefix('[')?.strip_suffix(']'));
        matches!(kind, "t" | "T" | "w" | "W").then_some(Self {
            address,
            name,
            module,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(module: Option<&str>, name: &str, position: usize) -> (Module, Function) {
        let name = name.to_string();
        (module.map(str::to_string), Function { name, position })
    }

    const FILE: &str = "\
ffff800080000000 T one
ffff800080000100 t same
ffff800080000200 t same
ffff800080000200 t alias
ffff800080000200 d data
ffff800000000000 t same\t[ext4]
";

    #[test]
    fn finds_other_names_and_namesakes() {
        let keys = [
            wanted(None, "one", 1),
            wanted(None, "same", 2),
            wanted(Some("ext4"), "same", 1),
            wanted(None, "absent", 1),
        ];
        let found = search(FILE, &keys.iter().cloned().collect());
        assert_eq!(found[&keys[0]].all, ["one"]);
        assert_eq!(found[&keys[0]].same_name, 1);
        assert_eq!(found[&keys[1]].all, ["same", "alias"]);
        assert_eq!(found[&keys[1]].same_name, 2);
        assert_eq!(found[&keys[2]].all, ["same"]);
        assert_eq!(found[&keys[2]].same_name, 1);
        assert_eq!(found.get(&keys[3]), None);
    }

    #[test]
    fn hidden_addresses_give_no_other_names() {
        let file = "0000000000000000 T one\n0000000000000000 T two\n";
        let key = wanted(None, "one", 1);
        let found = search(file, &[key.clone()].into());
        assert!(found[&key].all.is_empty());
        assert_eq!(found[&key].same_name, 1);
    }
}
