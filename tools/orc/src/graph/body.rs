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
#[derive(Clone, Copy, Debug)]
pub struct Variant {
    /// What that does.
    pub insn: Insn,
    /// Where its ways are in [`Body::ways`].
    ways: (u32, u32),
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
    /// The number of the function that starts there, if it leads out of this one.
    pub starting: Option<u32>,
}

impl<'b> Edge<'b> {
    /// Where control goes on after a fault.
    #[must_use]
    pub const fn fixup(to: Place, written: Regs) -> Self {
        Self {
            way: Way::Fixup(written),
            to,
            veneer: None,
            starting: None,
        }
    }

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
    /// By instruction, which of `sites` it is; [`PLAIN`] where all that it can do is to
    /// go on.
    site_of: Vec<u32>,
    sites: Vec<Site>,
    /// Ways from sites, by site and variant.
    ways: Vec<Edge<'a>>,
    /// How many sites there are for which nobody says what the kernel puts there.
    pub opaque_sites: usize,
    /// Whether a block starts at an instruction; one more than there are.
    leaders: Vec<bool>,
    /// Whether an instruction is data.
    data: Vec<bool>,
    /// Index of the row of each instruction.
    row_of: Vec<u32>,
    open_jumps: bool,
}

/// No index in [`Body::sites`].
const PLAIN: u32 = u32::MAX;

/// An instruction that may do more than to go on to the next.
struct Site {
    original: Variant,
    /// Other instructions that the kernel may put at its place.
    variants: Vec<Variant>,
    /// Where control goes when it faults, and what is written before.
    fixups: Vec<(Place, Regs)>,
    /// Whether control comes back from the call or the trap, if that is known.
    goes_on: Option<bool>,
}

/// What the tables of a file say of the instructions of a function, by number.
#[derive(Default)]
struct Tables {
    /// Other words, with the target that a relocation gives.
    variants: BTreeMap<usize, Vec<(Insn, Option<Target>)>>,
    fixups: BTreeMap<usize, Vec<(Place, Regs)>>,
    /// Where indirect branches are known to go.
    indirect: BTreeMap<usize, Vec<usize>>,
    /// Targets that a relocation gives.
    relocated: BTreeMap<usize, Target>,
}

impl Tables {
    /// Whether something else may be at an instruction's place, or come after it.
    fn have(&self, index: usize) -> bool {
        self.variants.contains_key(&index) || self.fixups.contains_key(&index)
    }
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
            site_of: vec![PLAIN; count],
            sites: Vec::new(),
            // Of four instructions one leads somewhere.
            ways: Vec::with_capacity(count / 4 + 4),
            opaque_sites: 0,
            leaders: vec![false; count + 1],
            data: vec![false; count],
            row_of: Vec::new(),
            open_jumps: false,
        };
        body.read_data(text);
        let relocated = text.branches.range(function.range());
        let relocated =
            relocated.map(|(offset, target)| (((offset - function.start) / 4) as usize, *target));
        let mut tables = Tables {
            relocated: relocated.collect(),
            ..Tables::default()
        };
        body.read_patches(text.patches_in(&function.range()), &mut tables);
        body.read_fixups(text.fixups_in(&function.range()), &mut tables);
        body.read_indirect(&text.indirect, &mut tables);
        body.read_rows();
        body.find_sites(&mut tables);
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
        self.site(index)?.goes_on
    }

    fn find_goes_on(
        &self,
        index: usize,
        relocated: Option<Target>,
        ways: &[Edge<'_>],
    ) -> Option<bool> {
        match self.insns[index].flow {
            Flow::Call(by) => {
                let call = ways.iter().find(|edge| edge.way == Way::Call)?;
                let called = match call.veneer {
                    // What is out of line has returned if its function has.
                    Some(_) => {
                        let to = self.graph.target(self.at(index), by, relocated)?;
                        self.graph.starting_at(to)
                    }
                    None => self.called(call),
                };
                self.returns.function(called?)
            }
            Flow::IndirectCall => Some(true),
            Flow::Trap => self.trap_goes_on(index),
            _ => None,
        }
    }

    /// The number of the function that a call leads to.
    fn called(&self, call: &Edge<'_>) -> Option<usize> {
        match call.to {
            Place::Inside(0) => self.graph.starting_at(self.at(0)),
            _ => call.starting.map(|number| number as usize),
        }
    }

    /// Whether what the call at `index` calls leaves a register as it is, if that is
    /// known: by its instructions, which make no call and stay in it but for a return.
    #[must_use]
    pub fn callee_keeps(&self, index: usize, reg: Reg) -> Option<bool> {
        let is_fixed = self.variants(index).is_empty();
        let mut keeps = Some(false);
        self.edges(index, |edge| {
            if edge.way == Way::Call && is_fixed {
                keeps = match edge.to {
                    // What is done on the way may write anything.
                    _ if edge.veneer.is_some() => Some(false),
                    Place::Elsewhere => None,
                    _ => {
                        let function = self.called(&edge);
                        Some(function.is_some_and(|number| self.graph.keeps(number, reg)))
                    }
                };
            }
        });
        keeps
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
    pub fn edges(&self, index: usize, mut see: impl FnMut(Edge<'a>)) {
        let Some(site) = self.site(index) else {
            see(self.edge(index, Way::Next, Lead::NOWHERE));
            return;
        };
        for (to, written) in &site.fixups {
            see(Edge::fixup(*to, *written));
        }
        for variant in std::iter::once(&site.original).chain(&site.variants) {
            self.edges_of(variant).iter().for_each(|edge| see(*edge));
        }
    }

    /// The same for one variant of a site, without its fixups.
    #[must_use]
    pub fn edges_of(&self, variant: &Variant) -> &[Edge<'a>] {
        let (first, end) = variant.ways;
        self.ways
            .get(first as usize..end as usize)
            .unwrap_or_default()
    }

    fn site(&self, index: usize) -> Option<&Site> {
        self.sites.get(*self.site_of.get(index)? as usize)
    }

    fn edge(&self, index: usize, way: Way, lead: Lead<'a>) -> Edge<'a> {
        let to = match way.is_next() {
            true if index + 1 < self.len() => Place::Inside(index + 1),
            true => Place::Outside(self.end()),
            false => lead.to.map_or(Place::Elsewhere, |to| self.place_of(to)),
        };
        let starting = match to {
            Place::Outside(to) if !way.is_next() => {
                let number = self.graph.starting_at(to);
                number.and_then(|number| u32::try_from(number).ok())
            }
            _ => None,
        };
        Edge {
            way,
            to,
            veneer: lead.veneer,
            starting,
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
        self.site_of[index] == PLAIN
    }

    /// Whether there are indirect branches whose targets are not known.
    #[must_use]
    pub fn has_open_jumps(&self) -> bool {
        self.open_jumps
    }

    /// What the file has at a site.
    #[must_use]
    pub fn original(&self, index: usize) -> Option<&Variant> {
        Some(&self.site(index)?.original)
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
    #[must_use]
    pub fn variants(&self, index: usize) -> &[Variant] {
        self.site(index).map_or(&[], |site| &site.variants)
    }

    /// Where control goes when an instruction faults, and what is written before.
    #[must_use]
    pub fn fixups(&self, index: usize) -> &[(Place, Regs)] {
        self.site(index).map_or(&[], |site| &site.fixups)
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

    fn read_patches(&mut self, patches: &[Patch], tables: &mut Tables) {
        for patch in patches {
            if patch.replacement.is_empty() && self.index(patch.offset).is_some() {
                self.opaque_sites += 1;
            }
            for (word, at) in patch.replacement.iter().zip(0..patch.len / 4) {
                let offset = patch.offset + 4 * at;
                let Some(index) = self.index(offset) else {
                    continue;
                };
                let variant = (Insn::decode(*word), patch.target_at(offset));
                let original = (self.insns[index], tables.relocated.get(&index).copied());
                if variant != original {
                    tables.variants.entry(index).or_default().push(variant);
                }
            }
        }
    }

    fn read_fixups(&self, fixups: &[Fixup], tables: &mut Tables) {
        for fixup in fixups {
            let place = self.graph.at(self.section, fixup.target);
            let place = place.map_or(Place::Elsewhere, |at| self.place_of(at));
            if let Some(index) = self.index(fixup.offset) {
                // The access may have been done in part.
                let written = self.insns[index].writes().union(Regs::of(fixup.written));
                let fixups = tables.fixups.entry(index).or_default();
                fixups.push((place, written));
            }
        }
    }

    fn read_indirect(&self, indirect: &BTreeMap<u64, Vec<u64>>, tables: &mut Tables) {
        for (from, targets) in indirect.range(self.function.start..self.function.end) {
            let targets = targets.iter().filter_map(|to| self.index(*to)).collect();
            if let Some(index) = self.index(*from) {
                tables.indirect.insert(index, targets);
            }
        }
    }

    fn read_rows(&mut self) {
        let rows = self.rows();
        if rows.is_empty() {
            return;
        }
        let mut current = 0;
        self.row_of.reserve_exact(self.len());
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

    /// Finds the instructions that may do more than to go on, and their ways. Blocks
    /// start after such an instruction, and where its ways lead.
    fn find_sites(&mut self, tables: &mut Tables) {
        self.leaders[0] = true;
        for index in 0..self.len() {
            if self.data[index] {
                self.leaders[index + 1] = true;
            }
            let insn = self.insns[index];
            if insn.flow == Flow::Next && !tables.have(index) {
                continue;
            }
            let variants = tables.variants.remove(&index).unwrap_or_default();
            let fixups = tables.fixups.remove(&index).unwrap_or_default();
            let first = self.ways.len();
            let relocated = tables.relocated.get(&index).copied();
            let original = self.find_ways(index, (insn, relocated), tables);
            let goes_on = self.find_goes_on(index, relocated, &self.ways[first..]);
            let variants = variants.into_iter();
            let variants = variants.map(|variant| self.find_ways(index, variant, tables));
            let variants = variants.collect();
            self.find_leaders(index, first, &fixups);
            self.site_of[index] = self.sites.len() as u32;
            self.sites.push(Site {
                original,
                variants,
                fixups,
                goes_on,
            });
        }
    }

    /// The ways from one variant of the instruction at `index`.
    fn find_ways(
        &mut self,
        index: usize,
        (insn, relocated): (Insn, Option<Target>),
        tables: &Tables,
    ) -> Variant {
        let mut found = std::mem::take(&mut self.ways);
        let first = found.len() as u32;
        let at = self.at(index);
        self.graph.ways(at, insn.flow, relocated, &mut |way, lead| {
            let known = tables.indirect.get(&index).filter(|_| way == Way::Open);
            match known.filter(|known| !known.is_empty()) {
                Some(known) => found.extend(known.iter().map(|to| Edge {
                    way: Way::Indirect,
                    to: Place::Inside(*to),
                    veneer: None,
                    starting: None,
                })),
                None => found.push(self.edge(index, way, lead)),
            }
        });
        let ways = (first, found.len() as u32);
        self.ways = found;
        Variant { insn, ways }
    }

    /// Where blocks start because of the instruction at `index`, whose ways are those
    /// from number `first` on.
    fn find_leaders(&mut self, index: usize, first: usize, fixups: &[(Place, Regs)]) {
        let (mut ends, mut is_open) = (false, false);
        for edge in &self.ways[first..] {
            is_open |= edge.way == Way::Open;
            ends |= edge.way != Way::Next;
            if let (Place::Inside(to), false) = (edge.to, edge.way.is_next()) {
                self.leaders[to] = true;
            }
        }
        for (to, _) in fixups {
            if let Place::Inside(to) = to {
                self.leaders[*to] = true;
            }
        }
        self.open_jumps |= is_open && !self.data[index];
        self.leaders[index + 1] |= ends;
    }
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
