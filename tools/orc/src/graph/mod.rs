// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The control flow of a file: all text sections, every way from one instruction to
//! another, every way in. Built once; the proof asks it and decodes no branch itself.
//!
//! ```text
//!            ┌ Next ────────── the next instruction
//!            │ Branch ──────── where a direct branch leads     ┌ Inside(n)   the function
//!  one       │ Call ────────── where a call leads, at entry    │ Outside(at) another one,
//!  variant ──┤ AfterCall ───── the next one, if it returns   ──┤             of any section
//!  of an     │ AfterTrap ───── the next one, if the trap does  └ Elsewhere   another file
//!  instruction Link ────────── `bl .+4`: x30 written, no call
//!            │ Indirect, Open  `br`: to known targets, or not
//!            └ Return, Exit ── `ret`; `eret`
//!  Fixup ───────────────────── where the kernel goes on after a fault
//! ```
//!
//! An instruction has a variant for each word that may be executed there: the one in
//! the file, and what the kernel patches in ([`body`]). A direct branch to what a
//! linker put out of line leads to where that comes back ([`veneer`]).
//!
//! Ways in are the starts of functions, symbols of functions inside others, direct
//! branches and fixups of all sections. Code that is in no function leads in from a
//! state of which nothing is known ([`stray`]).

pub mod body;
pub mod edge;
mod kept;
pub mod noreturn;
mod stray;
mod veneer;

use std::collections::BTreeMap;
use std::sync::OnceLock;

use crate::a64::insn::{Insn, Reg, Regs};
use crate::text::{Function, Target, TextSection};

pub use body::{Body, Place};
pub use edge::Way;
pub use noreturn::Returns;
pub use stray::Stray;

use veneer::Veneer;

/// An instruction of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct At {
    /// Number of the section in the graph.
    pub section: usize,
    /// Offset in it.
    pub offset: u64,
}

/// The control flow of a file.
#[derive(Debug)]
pub struct Graph<'a> {
    texts: Vec<&'a TextSection>,
    /// By section, how many functions there are in those before it; one more.
    first: Vec<usize>,
    /// By index in the ELF file, the number of a section.
    by_index: BTreeMap<usize, usize>,
    /// Of a linked file: the address of each section, sorted.
    by_address: Vec<(u64, usize)>,
    veneers: BTreeMap<At, Veneer>,
    strays: Vec<Stray>,
    /// By function, what calls of it leave as it is; found where it is asked for.
    kept: Vec<OnceLock<Regs>>,
}

impl<'a> Graph<'a> {
    /// The graph of a file with these text sections.
    #[must_use]
    pub fn new(texts: Vec<&'a TextSection>) -> Self {
        let mut first = vec![0];
        let mut count = 0;
        for text in &texts {
            count += text.functions.len();
            first.push(count);
        }
        let numbered = || texts.iter().enumerate();
        let linked = numbered().filter(|(_, text)| text.address != 0);
        let mut by_address: Vec<_> = linked.map(|(n, text)| (text.address, n)).collect();
        by_address.sort_unstable();
        let mut graph = Self {
            kept: vec![OnceLock::new(); count],
            first,
            by_index: numbered()
                .map(|(number, text)| (text.index, number))
                .collect(),
            by_address,
            veneers: BTreeMap::new(),
            strays: Vec::new(),
            texts,
        };
        graph.veneers = veneer::find(&graph);
        let (strays, unnamed) = stray::Search::new(&graph).run();
        graph.strays = strays;
        graph.veneers.extend(unnamed);
        graph
    }

    /// How many sections there are.
    #[must_use]
    pub fn sections(&self) -> usize {
        self.texts.len()
    }

    /// A section.
    #[must_use]
    pub fn text(&self, section: usize) -> &'a TextSection {
        self.texts[section]
    }

    /// How many functions there are. They are numbered by section and place.
    #[must_use]
    pub fn functions(&self) -> usize {
        self.first.last().copied().unwrap_or(0)
    }

    /// The numbers of the functions of a section.
    #[must_use]
    pub fn functions_of(&self, section: usize) -> std::ops::Range<usize> {
        self.first[section]..self.first[section + 1]
    }

    /// The section of a function, and the function.
    #[must_use]
    pub fn function(&self, number: usize) -> (usize, &'a Function) {
        let section = self.first.partition_point(|first| *first <= number) - 1;
        let text = self.texts[section];
        (section, &text.functions[number - self.first[section]])
    }

    /// The number of the function that an instruction is in.
    #[must_use]
    pub fn number(&self, at: At) -> Option<usize> {
        let functions = &self.texts.get(at.section)?.functions;
        let index = functions.partition_point(|f| f.start <= at.offset);
        let index = index.checked_sub(1)?;
        (at.offset < functions[index].end).then(|| self.first[at.section] + index)
    }

    /// The number of the function that starts there.
    #[must_use]
    pub fn starting_at(&self, at: At) -> Option<usize> {
        let functions = &self.texts.get(at.section)?.functions;
        let index = functions.binary_search_by_key(&at.offset, |function| function.start);
        Some(self.first[at.section] + index.ok()?)
    }

    /// Whether a function starts where CFI does, in the middle of another one.
    #[must_use]
    pub fn is_continued(&self, number: usize) -> bool {
        let (section, function) = self.function(number);
        let continued = &self.texts[section].continued;
        continued.binary_search(&function.start).is_ok()
    }

    /// Whether a function is what a linker put out of line. It is looked at where it
    /// comes from.
    #[must_use]
    pub fn is_out_of_line(&self, number: usize) -> bool {
        let (section, function) = self.function(number);
        let offset = function.start;
        self.veneers.contains_key(&At { section, offset })
    }

    /// Where control comes to that runs over the end of a function: past padding.
    #[must_use]
    pub fn past_padding(&self, end: At) -> At {
        let text = self.texts[end.section];
        let next = text.functions.partition_point(|f| f.start < end.offset);
        let next = text.functions.get(next).map(|function| function.start);
        let is_nop = |offset| {
            let word = text.word(offset).filter(|_| !text.is_data(offset));
            word.is_some_and(|word| Insn::decode(word) == Insn::NOP)
        };
        match next {
            Some(next) if (end.offset..next).step_by(4).all(is_nop) => At {
                offset: next,
                ..end
            },
            _ => end,
        }
    }

    /// Whether a function leaves a register as it is, by each of its instructions.
    #[must_use]
    pub fn keeps(&self, number: usize, reg: Reg) -> bool {
        let kept = self.kept.get(number);
        kept.is_some_and(|kept| {
            kept.get_or_init(|| kept::registers(self, number))
                .contains(reg)
        })
    }

    /// Ways in from code that is in no function.
    #[must_use]
    pub fn strays(&self) -> &[Stray] {
        &self.strays
    }

    /// Where a direct branch at `at` leads that goes over `distance` bytes, or to
    /// the target that a relocation gives.
    fn target(&self, at: At, distance: i64, relocated: Option<Target>) -> Option<At> {
        match relocated {
            Some(Target::External) => None,
            Some(target) => self.at(at.section, target),
            None => self.reach(at, distance),
        }
    }

    /// The place that a target seen from a section is.
    fn at(&self, section: usize, target: Target) -> Option<At> {
        match target {
            Target::Local(offset) => Some(At { section, offset }),
            Target::Section { index, offset } => {
                let section = *self.by_index.get(&index)?;
                Some(At { section, offset })
            }
            Target::External => None,
        }
    }

    /// The place `distance` bytes after `at`, in a linked file also of another
    /// section.
    fn reach(&self, at: At, distance: i64) -> Option<At> {
        let section = at.section;
        let text = self.texts[section];
        let offset = at.offset.checked_add_signed(distance);
        match offset.filter(|offset| *offset < text.bytes.len() as u64) {
            Some(offset) => Some(At { section, offset }),
            None if text.address == 0 => offset.map(|offset| At { section, offset }),
            None => {
                let address = text.address.checked_add(at.offset)?;
                self.at_address(address.checked_add_signed(distance)?)
            }
        }
    }

    fn at_address(&self, address: u64) -> Option<At> {
        let after = self
            .by_address
            .partition_point(|(start, _)| *start <= address);
        let (start, section) = self.by_address[after.checked_sub(1)?];
        let offset = address - start;
        let is_inside = offset < self.texts[section].bytes.len() as u64;
        is_inside.then_some(At { section, offset })
    }
}
