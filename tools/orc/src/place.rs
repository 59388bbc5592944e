// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Places in the text as people and the kernel name them: `SYMBOL`,
//! `SYMBOL+OFFSET`, `SECTION+OFFSET`, `ADDRESS`. Numbers are hexadecimal, with or
//! without `0x`.

use std::collections::BTreeSet;
use std::path::Path;

use object::elf;

use crate::elf::Symbol;
use crate::error::Error;
use crate::input::{Input, Text};

/// An instruction that a place names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found {
    /// Index of the section in [`Input::texts`].
    pub text: usize,
    /// Offset in that section, a multiple of 4.
    pub offset: u64,
    /// Where the symbol starts; the same as `offset` for a place without one.
    pub symbol: u64,
    /// The place was a symbol alone, which means all of the function.
    pub is_whole: bool,
}

/// Addresses of the kernel are above this.
const KERNEL: u64 = 1 << 63;

/// How many names are suggested for one that is not there.
const NEAR: usize = 3;

/// The places of this name in the text that has been read, in its order. Several
/// functions may have one name; in a relocatable file an address is an offset in
/// each section.
///
/// # Errors
///
/// [`Error::Usage`] when there is none, with what the user may have meant.
pub fn find(file: &Path, input: &Input<'_>, place: &str) -> Result<Vec<Found>, Error> {
    match search(input, place) {
        found if found.is_empty() => {
            let what = unknown(input, place);
            // Of the words, some are the user's and some are the file's.
            let what = what.escape_debug();
            Err(Error::Usage(format!("{}: {what}", file.display())))
        }
        found => Ok(found),
    }
}

/// The same, where nothing found is no error.
#[must_use]
pub fn search(input: &Input<'_>, place: &str) -> Vec<Found> {
    let mut found = BTreeSet::new();
    for index in 0..input.texts.len() {
        let text = Searched { input, index };
        let mut here = text.all_of(place);
        if here.is_empty() {
            here = text.offset_from(place);
        }
        if here.is_empty() {
            here = text.address(place);
        }
        found.extend(here);
    }
    found.into_iter().collect()
}

/// The size that the kernel gives for the symbol of a place: the distance to the
/// next one (`kallsyms_lookup()`). `None` for the last symbol of a file.
#[must_use]
pub fn symbol_size(input: &Input<'_>, found: &Found) -> Option<u64> {
    let section = input.texts.get(found.text)?.section;
    let start = input.image.sections[section].address + found.symbol;
    let is_named = |s: &&Symbol<'_>| !s.name.is_empty() && !s.name.starts_with(['$', '.']);
    let symbols = input.image.symbols.iter().filter(is_named);
    let symbols = symbols.filter(|s| s.section == Some(section) || !input.image.relocatable);
    let next = symbols.map(|s| s.address).filter(|at| *at > start).min()?;
    Some(next - start)
}

/// Why nothing is found.
fn unknown(input: &Input<'_>, place: &str) -> String {
    let (name, _) = split(place).unwrap_or((place, 0));
    let what = format!("no {place} in the text with tables");
    let mut symbols = input.image.symbols.iter();
    let section = symbols.find_map(|s| s.section.filter(|_| s.name == name));
    if let Some(section) = section.and_then(|index| input.image.sections.get(index)) {
        return format!("{what}: {name} is in {}", section.name);
    }
    if name == place && number(place).is_some_and(|address| address > KERNEL) {
        return format!("{what}: KASLR moves the kernel's addresses, so give SYMBOL+OFFSET");
    }
    match near(input, name) {
        names if names.is_empty() => what,
        names => format!("{what}; near: {}", names.join(", ")),
    }
}

/// A few names of functions that are like this one: with another suffix
/// (`.isra.0`, `.llvm.123`) first, then those that it is a part of.
fn near(input: &Input<'_>, name: &str) -> Vec<String> {
    let stem = |name: &str| name.split('.').next().unwrap_or_default().to_string();
    let functions = input.texts.iter().flat_map(|t| &t.text.functions);
    let mut names: Vec<(bool, usize, &str)> = functions
        .filter(|f| !stem(name).is_empty() && f.name.contains(&stem(name)))
        .map(|f| (stem(&f.name) != stem(name), f.name.len(), f.name.as_str()))
        .collect();
    names.sort_unstable();
    names.dedup();
    let names = names.into_iter().take(NEAR);
    names.map(|(_, _, name)| name.to_string()).collect()
}

/// `NAME+OFFSET`, taken apart.
#[must_use]
pub fn split(place: &str) -> Option<(&str, u64)> {
    let (name, offset) = place.rsplit_once('+')?;
    Some((name, number(offset)?))
}

/// A hexadecimal number.
#[must_use]
pub fn number(digits: &str) -> Option<u64> {
    u64::from_str_radix(digits.strip_prefix("0x").unwrap_or(digits), 16).ok()
}

/// One section that is searched.
struct Searched<'i> {
    input: &'i Input<'i>,
    index: usize,
}

impl<'i> Searched<'i> {
    fn text(&self) -> &'i Text {
        &self.input.texts[self.index]
    }

    fn all_of(&self, place: &str) -> Vec<Found> {
        let starts = self.symbols(place).into_iter();
        starts.filter_map(|at| self.found(at, at, true)).collect()
    }

    fn offset_from(&self, place: &str) -> Vec<Found> {
        let Some((name, offset)) = split(place) else {
            return Vec::new();
        };
        let mut starts = self.symbols(name);
        if name == self.text().text.name {
            starts.insert(0);
        }
        let starts = starts.into_iter();
        starts
            .filter_map(|at| self.found(at, at.checked_add(offset)?, false))
            .collect()
    }

    fn address(&self, place: &str) -> Vec<Found> {
        let offset = number(place).and_then(|at| at.checked_sub(self.text().text.address));
        let found = offset.and_then(|at| self.found(at & !3, at, false));
        found.into_iter().collect()
    }

    fn found(&self, symbol: u64, offset: u64, is_whole: bool) -> Option<Found> {
        let is_inside = offset < self.text().text.bytes.len() as u64;
        is_inside.then_some(Found {
            text: self.index,
            offset: offset & !3,
            symbol,
            is_whole,
        })
    }

    /// Where the symbols of this name are. All of them: the kernel may name a place
    /// by another symbol than the one that the function is shown with.
    fn symbols(&self, name: &str) -> BTreeSet<u64> {
        let text = self.text();
        let functions = text.text.functions.iter();
        let mut starts: BTreeSet<u64> = functions
            .filter(|f| f.name == name)
            .map(|f| f.start)
            .collect();
        let start = self.input.image.sections[text.section].address;
        let symbols = self.input.image.symbols.iter();
        starts.extend(
            symbols
                .filter(|s| s.section == Some(text.section) && is_code(s) && s.name == name)
                .filter_map(|s| s.address.checked_sub(start)),
        );
        starts
    }
}

/// Whether a symbol may name a function; a section's does not.
fn is_code(symbol: &Symbol<'_>) -> bool {
    [elf::STT_FUNC.0, elf::STT_NOTYPE.0].contains(&symbol.kind)
}
