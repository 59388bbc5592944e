// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Findings that are known already, so that a build fails on new ones alone.
//!
//! A baseline is a text file that people can read, sort and comment:
//!
//! ```text
//! # orctool check baseline 1
//! vmlinux→qcom_link_stack_sanitisation→call-without-frame→cfa=sp+0 ra=x30 fp=x29→1
//! ```
//!
//! The fields, with one tab (→) between them: name of the file without its directory,
//! symbol, class, claim (`-` for none), and how many findings there are of that
//! kind. Addresses and offsets are not in it: they move with every change of the
//! configuration or of the code before; nor is the hash that LLVM appends to some
//! symbols. The claim is: it says which row of the
//! function is meant, and when the function's frame changes someone looks again.
//! Of more findings of one kind than the baseline has, the last ones are new.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{Divergence, File};

const HEADER: &str = "# orctool check baseline 1";
const NO_CLAIM: &str = "-";

/// Findings that are known.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Baseline {
    known: BTreeMap<Key, u64>,
}

/// What makes a finding the same one in another build.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    file: String,
    symbol: String,
    class: String,
    claim: String,
}

/// What is wrong with a baseline, and in which line.
#[derive(Debug, PartialEq, Eq)]
pub struct Malformed {
    /// Counts from 1.
    pub line: usize,
    /// What is wrong.
    pub what: &'static str,
}

impl Baseline {
    /// Reads a baseline.
    ///
    /// # Errors
    ///
    /// [`Malformed`] at the first line that is not as the module's text says.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let malformed = |line: usize, what| Malformed {
            line: line + 1,
            what,
        };
        if text.lines().next() != Some(HEADER) {
            return Err(malformed(0, "does not start as a baseline of this version"));
        }
        let mut known = BTreeMap::new();
        for (number, line) in text.lines().enumerate() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let fields: Vec<&str> = line.split('\t').collect();
            let [file, symbol, class, claim, count] = fields[..] else {
                return Err(malformed(number, "not five fields with a tab between them"));
            };
            let count = count.parse().ok().filter(|count| *count != 0);
            let count = count.ok_or_else(|| malformed(number, "not a number of findings"))?;
            let key = Key {
                file: file.into(),
                symbol: symbol.into(),
                class: class.into(),
                claim: claim.into(),
            };
            if known.insert(key, count).is_some() {
                return Err(malformed(number, "the same findings a second time"));
            }
        }
        Ok(Self { known })
    }

    /// The baseline of which all these findings are part.
    #[must_use]
    pub fn of(files: &[File]) -> Self {
        let mut known: BTreeMap<Key, u64> = BTreeMap::new();
        for file in files {
            for found in &file.findings {
                *known.entry(Key::new(file, found)).or_default() += 1;
            }
        }
        Self { known }
    }

    /// The file's text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = format!("{HEADER}\n# file, symbol, class, claim, number of findings\n");
        for (key, count) in &self.known {
            let _ = writeln!(out, "{key}\t{count}");
        }
        out
    }

    /// Marks the findings that are known; gives the entries of these files that
    /// there are no, or fewer, findings for, each with how many are gone.
    pub fn mark(&self, files: &mut [File]) -> Vec<String> {
        let mut left = self.known.clone();
        left.retain(|key, _| files.iter().any(|file| key.file == base_name(file)));
        for file in files.iter_mut() {
            let keys: Vec<Key> = file.findings.iter().map(|f| Key::new(file, f)).collect();
            for (found, key) in file.findings.iter_mut().zip(keys) {
                if let Some(count) = left.get_mut(&key).filter(|count| **count != 0) {
                    *count -= 1;
                    found.known = true;
                }
            }
        }
        let gone = left.into_iter().filter(|(_, count)| *count != 0);
        gone.map(|(key, count)| format!("{key}\t{count}")).collect()
    }
}

impl Key {
    fn new(file: &File, found: &Divergence) -> Self {
        Self {
            file: base_name(file),
            symbol: stable(&found.place.symbol).to_string(),
            class: found.class.into(),
            claim: found.claim.clone().unwrap_or_else(|| NO_CLAIM.into()),
        }
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            file,
            symbol,
            class,
            claim,
        } = self;
        write!(f, "{file}\t{symbol}\t{class}\t{claim}")
    }
}

/// Without the hash of the module that LLVM appends when it makes a local symbol
/// global (ThinLTO): it changes with any change of that file.
fn stable(symbol: &str) -> &str {
    match symbol.split_once(".llvm.") {
        Some((name, hash)) if hash.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => symbol,
    }
}

fn base_name(file: &File) -> String {
    let name = file.file.rsplit('/').next().unwrap_or(&file.file);
    name.to_string()
}
