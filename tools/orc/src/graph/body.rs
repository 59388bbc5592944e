// SPDX-License-Identifier: GPL-2.0 OR MIT

//! One function of the graph, decoded: its instructions, what the kernel may patch
//! them to, the ways from each, where its blocks start, and which row of the CFI
//! covers each instruction.

use std::collections::BTreeMap;

use crate::a64::insn::{Flow, Insn, Reg, Regs};
use crate::a64::{self, NOP};
use crate::claim::{CfiRow, Claim, Claims};
use crate::text::{Fixup, Function, Patch, Target, TextSection, Trap};

use super::edge::Lead;
use super::veneer::Veneer;
use super::{At, Graph, Returns, Way};

/// Where a way from an instruction of a function leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// An instruction of the function, by number.
    Inside(usize),
    /// One of the file, outside the function.
    Outside(At),
    /// Another file, or not known.
    Elsewhere,
}

/// What may be executed at an instruction's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variant {
    /// What that does.
    pub insn: Insn,
    /// The target that a relocation gives it.
    relocated: Option<Target>,
}

/// One way from an instruction.
#[derive(Clone, Copy, Debug)]
pub struct Edge<'b> {
    /// How it goes.
    pub way: Way,
    /// Where it leads.
    pub to: Place,
    /// What is done on the way.
    pub veneer: Option<&'b Veneer>,
}

impl Edge<'_> {
    /// Whether it leads out of the function, to where a branch, a call or a fault
    /// goes on.
    #[must_use]
    pub const fn is_exit(&self) -> bool {
        let leads = matches!(
            self.way,
            Way::Branch | Way::Call | Way::Fixup(_) | Way::Indirect
        );
        leads && !matches!(self.to, Place::Inside(_))
    }
}

/// One function, decoded.
pub struct Body<'a> {
    graph: &'a Graph<'a>,
    /// Its section in the graph.
    pub section: usize,
    /// The function.
    pub function: &'a Function,
    /// Which functions of the file may return.
    returns: &'a Returns,
    insns: Vec<Insn>,
    /// Other instructions that the kernel may put at one's place, and how many
    /// sites there are for which it is not known what it puts there.
    variants: BTreeMap<usize, Vec<Variant>>,
    /// How many sites there are for which nobody says what the kernel puts there.
    pub opaque_sites: usize,
    /// Where control goes when an instruction faults, and what is written before.
    fixups: BTreeMap<usize, Vec<(Place, Regs)>>,
    /// Where indirect branches are known to go.
    indirect: BTreeMap<usize, Vec<usize>>,
    /// Targets that a relocation gives, by instruction.
    relocated: BTreeMap<usize, Target>,
    /// Whether a block starts at an instruction; one more than there are.
    leaders: Vec<bool>,
    /// Whether an instruction is data.
    data: Vec<bool>,
    /// Index of the row of each instruction.
    row_of: Vec<u32>,
    open_jumps: bool,
}

impl<'a> Body<'a> {
    /// Function number `number`; blocks start also at the `entrances`.
    #[must_use]
    pub fn new(
        graph: &'a Graph<'a>,
        number: usize,
        entrances: impl Iterator<Item = u64>,
        returns: &'a Returns,
    ) -> Self {
        let (section, function) = graph.function(number);
        let text = graph.text(section);
        let insns = decode(text, function);
        let count = insns.len();
        let mut body = Self {
            graph,
            section,
            function,
            returns,
            insns,
            variants: BTreeMap::new(),
            opaque_sites: 0,
            fixups: BTreeMap::new(),
            indirect: BTreeMap::new(),
            relocated: text
                .branches
                .range(function.range())
                .map(|(offset, target)| (((offset - function.start) / 4) as usize, *target))
                .collect(),
            leaders: vec![false; count + 1],
            data: vec![false; count],
            row_of: Vec::new(),
            open_jumps: false,
        };
        body.read_data(text);
        body.read_patches(text.patches_in(&function.range()));
        body.read_fixups(text.fixups_in(&function.range()));
        body.read_indirect(&text.indirect);
        body.read_rows();
        body.find_leaders();
        for entrance in entrances.chain(body.entries()) {
            if let Some(index) = body.index(entrance) {
                body.leaders[index] = true;
            }
        }
        body
    }

    /// Where functions start inside this one.
    pub fn entries(&self) -> impl Iterator<Item = u64> + 'a {
        let entries = &self.graph.text(self.section).entries;
        let first = entries.partition_point(|at| *at <= self.function.start);
        let end = self.function.end;
        entries[first..]
            .iter()
            .copied()
            .take_while(move |at| *at < end)
    }

    /// Whether its start is none: see [`Graph::is_continued`].
    #[must_use]
    pub fn is_continued(&self) -> bool {
        let continued = &self.graph.text(self.section).continued;
        continued.binary_search(&self.function.start).is_ok()
    }

    /// How many instructions it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.insns.len()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.insns.is_empty()
    }

    /// Whether control comes back from the call or the trap at `index`, if that is
    /// known. A function that does not return is called by its name.
    #[must_use]
    pub fn goes_on(&self, index: usize) -> Option<bool> {
        match self.insns[index].flow {
            Flow::Call(by) => {
                let relocated = self.relocated.get(&index).copied();
                let to = self.graph.target(self.at(index), by, relocated)?;
                self.returns.at(self.graph, to)
            }
            Flow::IndirectCall => Some(true),
            Flow::Trap => self.trap_goes_on(index),
            _ => None,
        }
    }

    /// Whether what the call at `index` calls leaves a register as it is, if that is
    /// known: by its instructions, which make no call and stay in it but for a return.
    #[must_use]
    pub fn callee_keeps(&self, index: usize, reg: Reg) -> Option<bool> {
        let Flow::Call(by) = self.insns[index].flow else {
            return Some(false);
        };
        if !self.variants(index).is_empty() {
            return Some(false);
        }
        let relocated = self.relocated.get(&index).copied();
        let to = self.graph.target(self.at(index), by, relocated)?;
        Some(keeps(self.graph, to, reg))
    }

    fn trap_goes_on(&self, index: usize) -> Option<bool> {
        let text = self.graph.text(self.section);
        match text.traps.get(&self.offset(index)) {
            Some(Trap::Warning) => Some(true),
            Some(Trap::Bug) => None,
            None => {
                let word = text.word(self.offset(index))?;
                a64::trap_may_be_skipped(word).then_some(true)
            }
        }
    }

    /// Calls `see` for each way from the instruction at `index`, and from all that it
    /// may be patched to.
    pub fn edges(&self, index: usize, mut see: impl FnMut(Edge<'_>)) {
        for (to, written) in self.fixups(index) {
            see(Edge {
                way: Way::Fixup(*written),
                to: *to,
                veneer: None,
            });
        }
        self.edges_of(index, &self.original(index), &mut see);
        for variant in self.variants(index) {
            self.edges_of(index, variant, &mut see);
        }
    }

    /// The same for one variant of the instruction, without its fixups.
    pub fn edges_of(&self, index: usize, variant: &Variant, see: &mut impl FnMut(Edge<'_>)) {
        let at = self.at(index);
        self.graph.ways(
            at,
            &variant.insn,
            variant.relocated,
            &mut |way, lead| match way {
                Way::Open if !self.indirect(index).is_empty() => {
                    for to in self.indirect(index) {
                        see(Edge {
                            way: Way::Indirect,
                            to: Place::Inside(*to),
                            veneer: None,
                        });
                    }
                }
                _ => see(self.edge(index, way, lead)),
            },
        );
    }

    fn edge<'g>(&self, index: usize, way: Way, lead: Lead<'g>) -> Edge<'g> {
        let to = match way.is_next() {
            true if index + 1 < self.len() => Place::Inside(index + 1),
            true => Place::Outside(self.end()),
            false => lead.to.map_or(Place::Elsewhere, |to| self.place_of(to)),
        };
        Edge {
            way,
            to,
            veneer: lead.veneer,
        }
    }

    /// Where control comes to that runs over its end.
    #[must_use]
    pub fn end(&self) -> At {
        self.graph.past_padding(At {
            section: self.section,
            offset: self.function.end,
        })
    }

    /// Whether all that the instruction at `index` can do is to go on to the next.
    #[must_use]
    pub fn only_goes_on(&self, index: usize) -> bool {
        self.insns[index].flow == Flow::Next
            && self.variants(index).is_empty()
            && self.fixups(index).is_empty()
    }

    /// Whether there are indirect branches whose targets are not known.
    #[must_use]
    pub fn has_open_jumps(&self) -> bool {
        self.open_jumps
    }

    /// The instruction as the file has it.
    #[must_use]
    pub fn original(&self, index: usize) -> Variant {
        Variant {
            insn: self.insns[index],
            relocated: self.relocated.get(&index).copied(),
        }
    }

    /// The place of an instruction in the file.
    #[must_use]
    pub fn at(&self, index: usize) -> At {
        At {
            section: self.section,
            offset: self.offset(index),
        }
    }

    /// The instruction as the file has it, decoded.
    #[must_use]
    pub fn insn(&self, index: usize) -> &Insn {
        &self.insns[index]
    }

    /// What the kernel may patch an instruction to.
    pub fn variants(&self, index: usize) -> &[Variant] {
        self.variants.get(&index).map_or(&[], Vec::as_slice)
    }

    /// Where control goes when an instruction faults, and what is written before.
    pub fn fixups(&self, index: usize) -> &[(Place, Regs)] {
        self.fixups.get(&index).map_or(&[], Vec::as_slice)
    }

    /// Where the indirect branch at `index` is known to go.
    pub fn indirect(&self, index: usize) -> &[usize] {
        self.indirect.get(&index).map_or(&[], Vec::as_slice)
    }

    /// Whether a block starts there.
    #[must_use]
    pub fn is_leader(&self, index: usize) -> bool {
        self.leaders[index]
    }

    /// Whether it is data.
    #[must_use]
    pub fn is_data(&self, index: usize) -> bool {
        self.data[index]
    }

    /// Its offset in the section.
    #[must_use]
    pub fn offset(&self, index: usize) -> u64 {
        self.function.start + 4 * index as u64
    }

    /// The instruction at an offset of the section, if it is one of this function.
    pub fn index(&self, offset: u64) -> Option<usize> {
        let index = usize::try_from(offset.checked_sub(self.function.start)? / 4).ok()?;
        (index < self.len() && offset % 4 == 0).then_some(index)
    }

    /// The rows of the CFI.
    #[must_use]
    pub fn rows(&self) -> &'a [CfiRow] {
        match &self.function.claims {
            Some(Claims::Rows(rows)) => rows,
            _ => &[],
        }
    }

    /// The row that covers an instruction.
    #[must_use]
    pub fn row(&self, index: usize) -> Option<&'a CfiRow> {
        self.rows().get(*self.row_of.get(index)? as usize)
    }

    /// The same, if a table can hold it.
    #[must_use]
    pub fn claim(&self, index: usize) -> Option<&'a Claim> {
        self.row(index)?.claim()
    }

    /// Whether the same row covers two instructions.
    pub fn same_row(&self, one: usize, other: usize) -> bool {
        self.row_of.get(one) == self.row_of.get(other)
    }

    fn place_of(&self, at: At) -> Place {
        let index = self.index(at.offset).filter(|_| at.section == self.section);
        index.map_or(Place::Outside(at), Place::Inside)
    }

    fn read_data(&mut self, text: &TextSection) {
        if text.data.is_empty() {
            return;
        }
        for index in 0..self.len() {
            self.data[index] = text.is_data(self.offset(index));
        }
    }

    fn read_patches(&mut self, patches: &[Patch]) {
        for patch in patches {
            if patch.replacement.is_empty() && self.index(patch.offset).is_some() {
                self.opaque_sites += 1;
            }
            for (word, at) in patch.replacement.iter().zip(0..patch.len / 4) {
                let offset = patch.offset + 4 * at;
                let Some(index) = self.index(offset) else {
                    continue;
                };
                let variant = Variant {
                    insn: Insn::decode(*word),
                    relocated: patch.target_at(offset),
                };
                if variant != self.original(index) {
                    self.variants.entry(index).or_default().push(variant);
                }
            }
        }
    }

    fn read_fixups(&mut self, fixups: &[Fixup]) {
        for fixup in fixups {
            let place = self.graph.at(self.section, fixup.target);
            let place = place.map_or(Place::Elsewhere, |at| self.place_of(at));
            if let Some(index) = self.index(fixup.offset) {
                // The access may have been done in part.
                let written = self.insns[index].writes().union(Regs::of(fixup.written));
                self.fixups.entry(index).or_default().push((place, written));
            }
        }
    }

    fn read_indirect(&mut self, indirect: &BTreeMap<u64, Vec<u64>>) {
        for (from, targets) in indirect.range(self.function.start..self.function.end) {
            let targets = targets.iter().filter_map(|to| self.index(*to)).collect();
            if let Some(index) = self.index(*from) {
                self.indirect.insert(index, targets);
            }
        }
    }

    fn read_rows(&mut self) {
        let rows = self.rows();
        if rows.is_empty() {
            return;
        }
        let mut current = 0;
        for index in 0..self.len() {
            let offset = self.offset(index);
            while rows
                .get(current + 1)
                .is_some_and(|row| row.start() <= offset)
            {
                current += 1;
            }
            self.row_of.push(current as u32);
        }
    }

    /// Blocks start after each instruction that does more than to go on, and where
    /// its ways lead.
    fn find_leaders(&mut self) {
        self.leaders[0] = true;
        let mut leads = Vec::new();
        for index in 0..self.len() {
            if self.data[index] {
                self.leaders[index + 1] = true;
            }
            if self.only_goes_on(index) {
                continue;
            }
            let (mut ends, mut is_open) = (false, false);
            self.edges(index, |edge| {
                is_open |= edge.way == Way::Open;
                ends |= !matches!(edge.way, Way::Next | Way::Fixup(_));
                if let (Place::Inside(to), false) = (edge.to, edge.way.is_next()) {
                    leads.push(to);
                }
            });
            self.open_jumps |= is_open && !self.data[index];
            self.leaders[index + 1] |= ends;
            leads.drain(..).for_each(|to| self.leaders[to] = true);
        }
    }
}

/// Whether the function at `to` leaves a register as it is, by each of its instructions.
fn keeps(graph: &Graph<'_>, to: At, reg: Reg) -> bool {
    let Some(number) = graph.starting_at(to) else {
        return false;
    };
    let (section, function) = graph.function(number);
    let (text, range) = (graph.text(section), function.range());
    // What ftrace puts in the place of NOPs writes x9 and more.
    let is_patched = |insn: &Insn| *insn == Insn::NOP;
    let stays = |insn: &Insn, offset: u64| match insn.flow {
        Flow::Next => offset + 4 < range.end,
        Flow::Return(to) => to == Reg::X30,
        Flow::Jump(by) | Flow::Conditional(by) => {
            let to = offset.checked_add_signed(by);
            to.is_some_and(|to| range.contains(&to)) && !text.branches.contains_key(&offset)
        }
        _ => false,
    };
    let is_fixed = text.patches_in(&range).is_empty() && text.fixups_in(&range).is_empty();
    is_fixed
        && range.clone().step_by(4).all(|offset| {
            let word = text.word(offset).filter(|_| !text.is_data(offset));
            let insn = word.map(Insn::decode);
            insn.is_some_and(|insn| {
                !is_patched(&insn) && !insn.writes().contains(reg) && stays(&insn, offset)
            })
        })
}

fn decode(text: &TextSection, function: &Function) -> Vec<Insn> {
    let bytes = usize::try_from(function.start)
        .ok()
        .zip(usize::try_from(function.end).ok())
        .and_then(|(start, end)| text.bytes.get(start..end))
        .unwrap_or_default();
    let words = bytes.chunks_exact(4);
    let decode = |word: &[u8]| {
        let word = word.first_chunk().copied().map_or(NOP, u32::from_le_bytes);
        Insn::decode(word)
    };
    words.map(decode).collect()
}
