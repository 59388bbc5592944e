// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What a person wants to see beside a divergence: where its source is, what
//! compiled it, and the instructions around it with the CFI beside them.

use serde::Serialize;

use crate::disasm;
use crate::elf::Image;
use crate::input::Input;
use crate::show::{printable, Said};
use crate::source::{Debug, Lines};
use crate::text::TextSection;

use super::{hex, Divergence, Place};

/// Instructions shown before the first and after the last one affected.
const AROUND: u64 = 4;
/// Of a longer run, instructions shown at either end of it.
const ENDS: u64 = 6;

/// What is shown beside a divergence.
#[derive(Debug, Serialize)]
pub struct Detail {
    /// File and line, where the file has DWARF.
    pub source: Option<Source>,
    /// The compiler and its version, or `unknown compiler`.
    pub compiler: String,
    /// All that DWARF says of the compiler, options included.
    pub producer: Option<String>,
    /// The language, where DWARF says it.
    pub language: Option<String>,
    /// The instructions.
    pub listing: Vec<Line>,
}

/// A place in a source file.
#[derive(Debug, Serialize)]
pub struct Source {
    /// Its name, as DWARF has it.
    pub file: String,
    /// The line.
    pub line: u32,
}

/// One instruction.
#[derive(Debug, Serialize)]
pub struct Line {
    /// Bytes from the start of the function.
    #[serde(serialize_with = "hex")]
    pub offset: u64,
    /// The instruction.
    #[serde(serialize_with = "hex")]
    pub word: u64,
    /// The same, disassembled.
    pub text: String,
    /// What the CFI claims there.
    pub claim: Option<String>,
    /// Whether the divergence is there.
    pub affected: bool,
}

/// Adds what is shown to each of these divergences.
///
/// `image` is the file that `input` is of, with its DWARF if it has any.
pub fn add<'f>(
    input: &Input<'_>,
    image: &Image<'_>,
    findings: impl Iterator<Item = &'f mut Divergence>,
) {
    let debug = Debug::of(image);
    let describer = Describer {
        input,
        lines: debug.as_ref().and_then(Lines::new),
        comment: comment(image),
    };
    for found in findings {
        found.detail = describer.detail(&found.place, found.instructions);
    }
}

struct Describer<'d> {
    input: &'d Input<'d>,
    lines: Option<Lines<'d>>,
    /// The compilers that the section `.comment` names.
    comment: Vec<String>,
}

impl Describer<'_> {
    fn detail(&self, place: &Place, instructions: u64) -> Option<Detail> {
        let text = self.input.texts.get(place.text)?;
        let lines = self.lines.as_ref();
        let at = lines.and_then(|lines| lines.at(text.section, place.section_offset));
        let unit = lines.and_then(|lines| lines.unit(text.section, place.section_offset));
        let producer = unit.as_ref().map(|unit| printable(&unit.producer));
        let language = unit.and_then(|unit| unit.language);
        let language = language.or_else(|| is_rust(&place.symbol).then(|| "Rust".into()));
        Some(Detail {
            source: at.map(|(file, line)| Source {
                file: printable(&file),
                line,
            }),
            compiler: match &producer {
                Some(producer) => without_options(producer).to_string(),
                None => self.likely_compiler(&place.symbol),
            },
            producer,
            language,
            listing: listing(&text.text, place, instructions),
        })
    }

    /// The compiler, without DWARF: what made a symbol of Rust's mangling is known
    /// where only one Rust compiler is named; else it may be any of those named.
    fn likely_compiler(&self, symbol: &str) -> String {
        let rust = self.comment.iter().filter(|name| name.contains("rustc"));
        let rust: Vec<&String> = rust.collect();
        match rust[..] {
            [only] if is_rust(symbol) => only.clone(),
            _ if self.comment.is_empty() => "unknown compiler".into(),
            _ => self.comment.join(" or "),
        }
    }
}

/// Whether a symbol is of Rust's own mangling (v0).
fn is_rust(symbol: &str) -> bool {
    symbol.starts_with("_R")
}

/// GCC's producer ends with its options.
fn without_options(producer: &str) -> &str {
    producer.split(" -").next().unwrap_or(producer)
}

/// The compilers that `.comment` names, each once. Linkers name themselves, too.
fn comment(image: &Image<'_>) -> Vec<String> {
    let section = image.section(".comment");
    let strings = section.map_or(&[][..], |section| section.data);
    let mut names: Vec<String> = strings
        .split(|byte| *byte == 0)
        .map(|string| printable(&String::from_utf8_lossy(string)))
        .filter(|name| !name.is_empty() && !name.starts_with("Linker:"))
        .collect();
    names.sort();
    names.dedup();
    names
}

/// The instructions affected and some around them; of many only the ends.
fn listing(text: &TextSection, place: &Place, instructions: u64) -> Vec<Line> {
    let first = place.section_offset;
    let end = first.saturating_add(instructions.saturating_mul(4));
    let Some(function) = text.function_at(first) else {
        return Vec::new();
    };
    let from = first.saturating_sub(4 * AROUND).max(function.start);
    let to = end.saturating_add(4 * AROUND).min(function.end);
    let is_shown = |offset: &u64| *offset < first + 4 * ENDS || end <= *offset + 4 * ENDS;
    (from..to)
        .step_by(4)
        .filter(is_shown)
        .filter_map(|offset| {
            let line = disasm::line(text, offset)?;
            Some(Line {
                offset: offset - function.start,
                word: line.word.into(),
                text: printable(&line.text),
                claim: function.row_at(offset).map(|row| Said(row).to_string()),
                affected: (first..end).contains(&offset),
            })
        })
        .collect()
}
