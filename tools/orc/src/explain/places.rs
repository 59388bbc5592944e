// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What is known about places, put together.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::reason::Rows;
use super::row::Section;
use super::said::Said;
use super::walk::Kind;
use super::{Place, Shown};
use crate::a64::insn::{Flow, Insn};
use crate::disasm::{self, Line};
use crate::error::Fault;
use crate::generate::Proved;
use crate::input::{Input, Text};
use crate::patches;
use crate::place::{self, Found};
use crate::source::{Debug, Lines};
use crate::text::{Target, TextSection};

/// Instructions shown before and after the one that is explained.
const AROUND: u64 = 4;

/// What explains the places of one file.
pub(super) struct Places<'i> {
    input: &'i Input<'i>,
    said: &'i Said,
    sections: BTreeMap<usize, Section<'i>>,
}

impl<'i> Places<'i> {
    /// Proves the sections of these places, or reads their tables.
    ///
    /// # Errors
    ///
    /// A [`Fault`] when nothing describes one of them.
    pub fn read(input: &'i Input<'_>, said: &'i Said, found: &[Found]) -> Result<Self, Fault> {
        let mut sections = BTreeMap::new();
        let proved = input.cfi.as_ref().filter(|_| !found.is_empty());
        let proved = proved.map(|_| Rc::new(Proved::new(input, || ())));
        for Found { text, .. } in found {
            if !sections.contains_key(text) {
                sections.insert(*text, Section::new(input, *text, proved.clone())?);
            }
        }
        Ok(Self {
            input,
            said,
            sections,
        })
    }

    /// Explains them.
    pub fn explain(&self, found: &[Found]) -> Vec<Place> {
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
        let target = text.text.branches.get(&line.offset);
        let is_elsewhere = matches!(target, Some(Target::Section { .. } | Target::External));
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
