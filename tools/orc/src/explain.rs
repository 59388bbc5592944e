// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Everything that is known about one PC, as plain data for people and machines.
//!
//! ```text
//! text of a person or of the kernel ── said ── place ── claim, facts, rule ── walk
//! ```
//!
//! A walk comes to a PC in one of two ways, and looks up another row for each: where
//! it was interrupted, the one at the PC; where a call returns to it, that of the
//! call. Both are explained.

use std::collections::BTreeMap;
use std::path::Path;

use orc::reason::Reason;
use serde::Serialize;

use crate::disasm::{self, Line};
use crate::error::{Error, Fault};
use crate::input::{Input, Text};
use crate::patches;
use crate::place::{self, Found};
use crate::proof::insn::{Flow, Insn};
use crate::source::{Debug, Lines};
use crate::text::{Target, TextSection};

pub mod reason;
pub mod row;
pub mod said;
pub mod text;
pub mod walk;

use reason::{Fit, Rows};
use row::{Row, Section};
use said::Said;
use walk::Kind;

/// Instructions shown before and after the one that is explained.
const AROUND: u64 = 4;

/// What is known about the places that were asked for.
#[derive(Debug, Serialize)]
pub struct Explanation {
    /// The file.
    pub file: String,
    /// The place, without what stood around it.
    pub asked: String,
    /// What the kernel said about it.
    pub kernel: Option<Kernel>,
    /// Why no row is about it, where the kernel's reason is that there is none.
    pub no_row: Option<String>,
    /// Where the CFI is that claims and facts need, if this file has none any more.
    pub cfi_is_in: Option<&'static str>,
    /// The places. Several functions may have one name.
    pub places: Vec<Place>,
}

/// A reason that the kernel gave.
#[derive(Debug, Serialize)]
pub struct Kernel {
    /// As it gave it.
    pub reason: String,
    /// That in a sentence; none for a reason that this version does not know.
    pub meaning: Option<&'static str>,
    /// The number of the frame, 0 for the innermost.
    pub frame: Option<u32>,
}

/// One place.
#[derive(Debug, Serialize)]
pub struct Place {
    /// `SYMBOL+OFFSET`, by the function that is there.
    pub place: String,
    /// The section.
    pub section: String,
    /// Bytes from its start.
    pub section_offset: String,
    /// The address; none in a relocatable file.
    pub address: Option<String>,
    /// What makes one doubt that the file is the right one.
    pub doubt: Option<String>,
    /// Whether the kernel's reason fits the rows.
    pub fit: Option<Fit>,
    /// The instruction and those around it, in the same function.
    pub instructions: Vec<Shown>,
    /// What holds where it was interrupted.
    pub interrupted: Row,
    /// What holds where the call before it returns to it; none without a call.
    pub returns_to: Option<Row>,
}

/// One instruction.
#[derive(Debug, Serialize)]
pub struct Shown {
    /// Its address, or in a relocatable file its offset in the section.
    pub address: String,
    /// Its word.
    pub word: String,
    /// Its text.
    pub text: String,
    /// Whether it is the one that is explained.
    pub is_here: bool,
}

/// Explains the place that `text` names.
///
/// # Errors
///
/// [`Error::Usage`] when the file has no such place, or `text` is about another
/// file; [`Error::Fault`] when nothing describes the text there.
pub fn explain(file: &Path, input: &Input<'_>, text: &str) -> Result<Explanation, Error> {
    let usage = |what: String| Error::Usage(format!("{}: {}", file.display(), what.escape_debug()));
    let said =
        Said::parse(text).ok_or_else(|| usage("no place in what is to be explained".into()))?;
    let mut explanation = Explanation {
        file: file.display().to_string(),
        asked: said.place.clone(),
        kernel: Kernel::new(&said),
        no_row: None,
        cfi_is_in: input.cfi.is_none().then(|| cfi_is_in(input)),
        places: Vec::new(),
    };
    if said.is_made_at_run_time() && explanation.kernel.is_some() {
        explanation.no_row = Some("code that is made at run time, which no file holds".into());
        return Ok(explanation);
    }
    if let Some(other) = other_file(input, &said) {
        return Err(usage(other));
    }
    let found = place::search(input, &said.place);
    if found.is_empty() && said.known_reason().is_some_and(is_about_no_row) {
        explanation.no_row = Some("no row of this file is about it".into());
        return Ok(explanation);
    }
    let found = match found.is_empty() {
        true => place::find(file, input, &said.place)?,
        false => of_this_size(input, &said, found),
    };
    let places = Places::read(input, &said, &found).map_err(|e| e.in_file(file))?;
    explanation.places = places.explain(&found);
    Ok(explanation)
}

/// What has the CFI of a file that has lost it with its tables made.
fn cfi_is_in(input: &Input<'_>) -> &'static str {
    match input.image.relocatable {
        true => "the .o that it is linked from",
        false => "vmlinux.unstripped",
    }
}

/// Reasons of PCs that no table describes.
fn is_about_no_row(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::NullPc | Reason::MisalignedPc | Reason::NotText | Reason::NoTable | Reason::NoRow | Reason::BpfOther
    )
}

/// Which file to give instead, if the kernel's text is about another one.
fn other_file(input: &Input<'_>, said: &Said) -> Option<String> {
    let place = &said.place;
    match (&said.module, module_name(input)) {
        (Some(module), _) if !input.image.relocatable => Some(format!(
            "{place} is in the module {module}: give {module}.ko"
        )),
        (Some(module), Some(own)) if own != *module => Some(format!(
            "{place} is in the module {module}, and this is {own}: give {module}.ko"
        )),
        (None, Some(own)) if said.is_kernels => Some(format!(
            "{place} is in the kernel itself, and this is the module {own}: give vmlinux"
        )),
        _ => None,
    }
}

/// The name that a module's `.modinfo` gives.
fn module_name(input: &Input<'_>) -> Option<String> {
    let section = input.image.section(".modinfo")?;
    let mut strings = section.data.split(|byte| *byte == 0);
    let name = strings.find_map(|string| string.strip_prefix(b"name="))?;
    let name = String::from_utf8_lossy(name).into_owned();
    input.image.relocatable.then_some(name)
}

/// Of several functions of one name, those of the size that the kernel gives; all
/// of them when none has it.
fn of_this_size(input: &Input<'_>, said: &Said, found: Vec<Found>) -> Vec<Found> {
    let fits =
        |found: &&Found| said.size.is_some() && place::symbol_size(input, found) == said.size;
    let fitting: Vec<Found> = found.iter().filter(fits).copied().collect();
    match fitting.is_empty() {
        true => found,
        false => fitting,
    }
}

impl Kernel {
    fn new(said: &Said) -> Option<Self> {
        Some(Self {
            reason: said.reason.clone()?,
            meaning: said.known_reason().map(reason::meaning),
            frame: said.frame,
        })
    }
}

/// What explains the places of one file.
struct Places<'i> {
    input: &'i Input<'i>,
    said: &'i Said,
    sections: BTreeMap<usize, Section<'i>>,
}

impl<'i> Places<'i> {
    fn read(input: &'i Input<'_>, said: &'i Said, found: &[Found]) -> Result<Self, Fault> {
        let mut sections = BTreeMap::new();
        for Found { text, .. } in found {
            if !sections.contains_key(text) {
                sections.insert(*text, Section::new(input, *text)?);
            }
        }
        Ok(Self {
            input,
            said,
            sections,
        })
    }

    fn explain(&self, found: &[Found]) -> Vec<Place> {
        let debug = Debug::of(&self.input.image);
        let lines = debug.as_ref().and_then(Lines::new);
        let places = found.iter().map(|found| self.place(found, lines.as_ref()));
        places.flatten().collect()
    }

    fn place(&self, found: &Found, lines: Option<&Lines<'_>>) -> Option<Place> {
        let section = self.sections.get(&found.text)?;
        let text = &section.text.text;
        let at = found.offset;
        let call = at.checked_sub(4).filter(|call| is_call(text, *call));
        let rows = Rows {
            at: section.rows.at(at),
            call: call.and_then(|call| section.rows.at(call)),
        };
        let address = (!self.input.image.relocatable).then(|| hex(text.address + at));
        Some(Place {
            place: section.name(at),
            section: text.name.clone(),
            section_offset: hex(at),
            address,
            doubt: self.doubt(found),
            fit: self.said.known_reason().map(|reason| rows.fit(reason)),
            instructions: self.window(found),
            interrupted: section.row(at, Kind::Interrupted, lines)?,
            returns_to: call.and_then(|call| section.row(call, Kind::ReturnsTo, lines)),
        })
    }

    fn window(&self, found: &Found) -> Vec<Shown> {
        let text = &self.input.texts[found.text];
        let lines = disasm::window(&text.text, found.offset, AROUND, AROUND);
        lines
            .into_iter()
            .map(|line| Shown {
                address: hex(text.text.address + line.offset),
                word: format!("{:08x}", line.word),
                text: self.with_target(text, &line),
                is_here: line.offset == found.offset,
            })
            .collect()
    }

    /// The text of an instruction, with the symbol that a relocation of its target
    /// names.
    fn with_target(&self, text: &Text, line: &Line) -> String {
        let image = &self.input.image;
        let is_elsewhere = text.text.branches.get(&line.offset) == Some(&Target::External);
        // They were read with the text, so there is no fault left to find.
        let relocations = match is_elsewhere {
            true => image.relocations(text.section).unwrap_or_default(),
            false => Vec::new(),
        };
        let mut here = relocations.iter().filter(|r| r.offset == line.offset);
        let branch = here.find(|r| patches::is_branch(r.kind));
        match branch.map(|r| &image.symbols[r.symbol]) {
            Some(symbol) if !symbol.name.is_empty() => line
                .text
                .replace(disasm::ELSEWHERE, &format!("<{}>", symbol.name)),
            _ => line.text.clone(),
        }
    }

    fn doubt(&self, found: &Found) -> Option<String> {
        let said = self.said.size?;
        let own = place::symbol_size(self.input, found)?;
        (said != own).then(|| {
            format!("the kernel's symbol has {said:#x} bytes, this one {own:#x}: another build?")
        })
    }
}

/// Whether a call is at this offset, or may be patched into it.
fn is_call(text: &TextSection, offset: u64) -> bool {
    let Some(line) = disasm::line(text, offset) else {
        return false;
    };
    let patched = text.patches.iter().filter_map(|patch| {
        let index = offset.checked_sub(patch.offset)? / 4;
        patch.replacement.get(usize::try_from(index).ok()?)
    });
    let is_call = |word: u32| matches!(Insn::decode(word).flow, Flow::Call(_) | Flow::IndirectCall);
    is_call(line.word) || patched.copied().any(is_call)
}

/// A number as JSON readers keep it: many take numbers for doubles.
fn hex(number: u64) -> String {
    format!("{number:#x}")
}
