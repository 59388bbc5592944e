// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Which functions a text section holds: the ranges that CFI describes, and the
//! symbols of what it does not describe (assembly).

use std::collections::BTreeMap;
use std::ops::Range;

use object::elf;

use crate::a64::insn::Insn;
use crate::cfi::Described;
use crate::claim::{CfiRow, Claim, Claims};
use crate::elf::{Image, Symbol};
use crate::text::{Function, Kind};

/// Delimiters, in the kernel's linker script, of text that follows conventions of
/// its own and never runs on a task's stack (`arch/arm64/kernel/vmlinux.lds.S`).
const FOREIGN: [(&str, &str); 6] = [
    ("__hyp_idmap_text_start", "__hyp_idmap_text_end"),
    ("__hyp_text_start", "__hyp_text_end"),
    ("__idmap_text_start", "__idmap_text_end"),
    ("__entry_tramp_text_start", "__entry_tramp_text_end"),
    ("__hibernate_exit_text_start", "__hibernate_exit_text_end"),
    ("__relocate_new_kernel_start", "__relocate_new_kernel_end"),
];

/// The parts of a section that are refused as foreign, sorted, without overlap.
pub fn foreign(image: &Image<'_>, section: usize) -> Vec<Range<u64>> {
    let text = &image.sections[section];
    let mut found: Vec<Range<u64>> = Vec::new();
    // The script is that of vmlinux.
    for (start, end) in FOREIGN.into_iter().filter(|_| !image.relocatable) {
        let limits = image.symbol_address(start).zip(image.symbol_address(end));
        let Some((start, end)) = limits else {
            continue;
        };
        let start = start.max(text.address);
        let end = end.min(text.end());
        if start < end {
            found.push(start - text.address..end - text.address);
        }
    }
    found.sort_by_key(|range| range.start);
    let mut merged: Vec<Range<u64>> = Vec::new();
    for range in found {
        match merged.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}

/// What the symbols and the CFI say of the functions of a section.
#[derive(Debug, Default)]
pub struct Found {
    /// Those outside its foreign parts, sorted, without overlap.
    pub functions: Vec<Function>,
    /// As [`crate::text::TextSection::entries`].
    pub entries: Vec<u64>,
    /// As [`crate::text::TextSection::continued`].
    pub continued: Vec<u64>,
}

/// The functions of a section.
pub fn functions(
    image: &Image<'_>,
    section: usize,
    cfi: &[Described],
    foreign: &[Range<u64>],
) -> Found {
    let symbols = Symbols::new(image, section);
    let first = cfi.partition_point(|entry| entry.section < section);
    let mut functions: Vec<Function> = cfi[first..]
        .iter()
        .take_while(|entry| entry.section == section)
        .map(|entry| symbols.described(entry))
        .collect();
    functions.sort_by_key(|f| f.start);
    let text = image.sections[section].data;
    let mut end = 0;
    for function in &mut functions {
        symbols.take_in_nops(function, text, end);
        end = function.end;
    }
    let continued = symbols.continued(&functions, text);
    let bare = symbols.bare(&functions);
    functions.extend(bare);
    functions.sort_by_key(|f| f.start);
    functions.retain(|f| !foreign.iter().any(|r| f.start < r.end && r.start < f.end));
    Found {
        entries: symbols.entries(&functions),
        continued,
        functions,
    }
}

/// Data in a section, by its mapping symbols: from each `$d` to the next `$x`.
pub fn data(image: &Image<'_>, section: usize) -> Vec<Range<u64>> {
    let text = &image.sections[section];
    let mut marks: Vec<(u64, bool)> = image
        .symbols_of(section)
        .filter_map(|s| Some((s.address.checked_sub(text.address)?, is_data_mark(&s.name)?)))
        .collect();
    marks.sort_unstable();
    let mut data = Vec::new();
    let mut start = None;
    for (at, is_data) in marks {
        match (start, is_data) {
            (None, true) => start = Some(at),
            (Some(from), false) if from < at => {
                data.push(from..at);
                start = None;
            }
            (Some(_), false) => start = None,
            _ => {}
        }
    }
    if let Some(from) = start {
        data.push(from..text.data.len() as u64);
    }
    data
}

/// Whether a mapping symbol starts data (`$d`) or instructions (`$x`).
fn is_data_mark(name: &str) -> Option<bool> {
    let mark = name.strip_prefix('$')?;
    let (kind, rest) = mark.split_at_checked(1)?;
    if !rest.is_empty() && !rest.starts_with('.') {
        return None;
    }
    match kind {
        "d" => Some(true),
        "x" => Some(false),
        _ => None,
    }
}

/// The symbols of one section that may name a function.
struct Symbols<'i> {
    /// By offset, the symbol that names what starts there.
    named: BTreeMap<u64, &'i Symbol<'i>>,
    text_address: u64,
    text_bytes: u64,
}

impl<'i> Symbols<'i> {
    fn new(image: &'i Image<'i>, section: usize) -> Self {
        let text = &image.sections[section];
        let mut named: BTreeMap<u64, &'i Symbol<'i>> = BTreeMap::new();
        for symbol in image.symbols_of(section) {
            let is_code = [elf::STT_FUNC.0, elf::STT_NOTYPE.0].contains(&symbol.kind);
            let Some(offset) = symbol.address.checked_sub(text.address) else {
                continue;
            };
            if !is_code || symbol.name.is_empty() || is_data_mark(&symbol.name).is_some() {
                continue;
            }
            let current = named.entry(offset).or_insert(symbol);
            if rank(symbol) < rank(current) {
                *current = symbol;
            }
        }
        Self {
            named,
            text_address: text.address,
            text_bytes: text.data.len() as u64,
        }
    }

    /// The function that CFI describes.
    fn described(&self, entry: &Described) -> Function {
        let symbol = self.named.get(&entry.range.start);
        let kind = match symbol {
            Some(symbol) if symbol.kind == elf::STT_FUNC.0 => Kind::Func,
            _ => Kind::Code,
        };
        let name = match symbol {
            Some(symbol) => symbol.name.to_string(),
            None => self.name_inside(entry.range.start),
        };
        Function {
            name,
            start: entry.range.start,
            end: entry.range.end,
            kind,
            claims: Some(entry.claims.clone()),
        }
    }

    /// Has a function that CFI describes start where its symbol does, if all that
    /// stands between is NOPs.
    ///
    /// GCC starts an FDE behind the NOPs of `-fpatchable-function-entry`, where
    /// ftrace puts its call. Nothing has happened at them yet: the row that they
    /// get says so, and is proved like any other. `end` is that of the function
    /// before.
    fn take_in_nops(&self, function: &mut Function, text: &[u8], end: u64) {
        let before = self.named.range(..function.start).next_back();
        let Some((&start, symbol)) = before.filter(|_| !self.named.contains_key(&function.start))
        else {
            return;
        };
        let is_around = symbol.kind == elf::STT_FUNC.0
            && end <= start
            && start.saturating_add(symbol.size) >= function.end;
        if let Some(Claims::Rows(rows)) = &mut function.claims {
            if is_around && are_nops(text, start..function.start) {
                rows.insert(0, CfiRow::Claim(Claim::entry(start)));
                function.name = symbol.name.to_string();
                function.start = start;
                function.kind = Kind::Func;
            }
        }
    }

    /// The described functions that start in the middle of what a symbol names: with
    /// CFI for a second part of it, whose start is no entry. Where only NOPs come
    /// before, the CFI starts late, and it is one.
    fn continued(&self, described: &[Function], text: &[u8]) -> Vec<u64> {
        let mut highest = 0;
        let named = self.named.iter();
        let ends = named.map(|(start, symbol)| {
            highest = start.saturating_add(symbol.size).max(highest);
            (*start, highest)
        });
        let ends: Vec<(u64, u64)> = ends.collect();
        let starts = described.iter().map(|function| function.start);
        let is_continued = |start: &u64| {
            let after = ends.partition_point(|(at, _)| at < start);
            let end = after.checked_sub(1).map_or(0, |last| ends[last].1);
            let is_function = |symbol: &&Symbol<'_>| symbol.kind == elf::STT_FUNC.0;
            let is_named = self.named.get(start).is_some_and(is_function);
            end > *start && !is_named && !self.starts_late(*start, text)
        };
        starts.filter(is_continued).collect()
    }

    /// Whether all that is between a symbol's start and this place is NOPs.
    fn starts_late(&self, start: u64, text: &[u8]) -> bool {
        let mut before = start;
        while before >= 4 && are_nops(text, before - 4..before) {
            before -= 4;
            if self.named.get(&before).is_some_and(|s| s.size != 0) {
                return true;
            }
        }
        false
    }

    /// The symbols of functions inside others.
    fn entries(&self, functions: &[Function]) -> Vec<u64> {
        let mut entries = Vec::new();
        for (at, symbol) in &self.named {
            let after = functions.partition_point(|f| f.start <= *at);
            let around = after.checked_sub(1).map(|index| &functions[index]);
            let is_inside = around.is_some_and(|f| f.start < *at && *at < f.end);
            if is_inside && symbol.kind == elf::STT_FUNC.0 && at % 4 == 0 {
                entries.push(*at);
            }
        }
        entries
    }

    /// The name of a place that has no symbol of its own.
    fn name_inside(&self, offset: u64) -> String {
        match self.named.range(..=offset).next_back() {
            Some((start, symbol)) => format!("{}+{:#x}", symbol.name, offset - start),
            None => format!("{:#x}", self.text_address + offset),
        }
    }

    /// The functions without CFI. `described` is sorted.
    ///
    /// Only a symbol that CFI does not touch at all can be entered as a function:
    /// what is left beside an FDE, or where symbols overlap, is `Kind::Code`.
    fn bare(&self, described: &[Function]) -> Vec<Function> {
        let mut bare: Vec<Function> = Vec::new();
        for (start, symbol) in &self.named {
            // An instruction has four bytes; symbols of other places are data.
            let end = start.saturating_add(symbol.size).min(self.text_bytes) & !3;
            if start % 4 != 0 || end <= *start {
                continue;
            }
            let function = Function {
                name: symbol.name.to_string(),
                start: *start,
                end,
                kind: if symbol.kind == elf::STT_FUNC.0 {
                    Kind::Func
                } else {
                    Kind::Code
                },
                claims: None,
            };
            match bare.last_mut() {
                Some(last) if *start < last.end => merge(last, &function),
                _ => bare.push(function),
            }
        }
        bare.into_iter()
            .flat_map(|function| beside(function, described))
            .collect()
    }
}

/// Which of two symbols at one place names the function: a sized one, a function,
/// a global one, then the first by name.
fn rank<'s>(symbol: &'s Symbol<'_>) -> (bool, bool, bool, &'s str) {
    (
        symbol.size == 0,
        symbol.kind != elf::STT_FUNC.0,
        symbol.binding == elf::STB_LOCAL.0,
        &symbol.name,
    )
}

/// Whether all words in this range do nothing.
fn are_nops(text: &[u8], range: Range<u64>) -> bool {
    let bytes = usize::try_from(range.start)
        .ok()
        .zip(usize::try_from(range.end).ok())
        .and_then(|(start, end)| text.get(start..end));
    bytes.is_some_and(|bytes| {
        let words = bytes.chunks_exact(4);
        let is_nop = |word: &[u8]| {
            let word = word.first_chunk().copied().map(u32::from_le_bytes);
            word.is_some_and(|word| Insn::decode(word) == Insn::NOP)
        };
        words.remainder().is_empty() && words.into_iter().all(is_nop)
    })
}

/// Adds a symbol that starts inside `outer`.
fn merge(outer: &mut Function, inner: &Function) {
    // A function within a function is one more entry into it. Two that merely
    // overlap have no common entry, so neither is one.
    if inner.end > outer.end || inner.kind != outer.kind {
        outer.end = outer.end.max(inner.end);
        outer.kind = Kind::Code;
    }
}

/// What `described` leaves of a function without CFI.
fn beside(function: Function, described: &[Function]) -> Vec<Function> {
    let first = described.partition_point(|d| d.end <= function.start);
    let overlapping: Vec<&Function> = described[first..]
        .iter()
        .take_while(|d| d.start < function.end)
        .collect();
    if overlapping.is_empty() {
        return vec![function];
    }
    let mut rest = Vec::new();
    let mut at = function.start;
    for d in overlapping {
        if at < d.start {
            rest.push(remainder(&function, at, d.start));
        }
        at = at.max(d.end);
    }
    if at < function.end {
        rest.push(remainder(&function, at, function.end));
    }
    rest
}

fn remainder(function: &Function, start: u64, end: u64) -> Function {
    Function {
        name: format!("{}+{:#x}", function.name, start - function.start),
        start,
        end,
        kind: Kind::Code,
        claims: None,
    }
}
