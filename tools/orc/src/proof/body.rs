// SPDX-License-Identifier: GPL-2.0 OR MIT

//! One function, decoded: its instructions, what the kernel may patch them to,
//! where its blocks start, and which claim covers each instruction.

use std::collections::BTreeMap;

use crate::claim::{Claim, Claims};
use crate::text::{Fixup, Function, Patch, Target, TextSection};

use super::returns::Returns;
use super::section::Entrance;
use crate::a64::insn::{Flow, Insn, Regs, Step};

/// Where a branch of a function goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// An instruction of the function, by number.
    Inside(usize),
    /// An offset of the same section, outside the function.
    Outside(u64),
    /// Another section, or another file.
    Elsewhere,
}

impl Place {
    /// The offset, if it is known, of a place outside the function.
    pub fn outside(self) -> Option<Option<u64>> {
        match self {
            Self::Inside(_) => None,
            Self::Outside(offset) => Some(Some(offset)),
            Self::Elsewhere => Some(None),
        }
    }
}

/// One function, decoded.
pub(super) struct Body<'a> {
    pub text: &'a TextSection,
    pub function: &'a Function,
    /// Which functions of the section may return.
    returns: &'a Returns,
    insns: Vec<Insn>,
    /// Other instructions that the kernel may put at one's place, and how many
    /// sites there are for which it is not known what it puts there.
    variants: BTreeMap<usize, Vec<Insn>>,
    pub opaque_sites: usize,
    /// Where control goes when an instruction faults, and what is written before.
    fixups: BTreeMap<usize, Vec<(Place, Regs)>>,
    /// Branches out of the function that come straight back: what is done on the
    /// way, and where they come back.
    detours: BTreeMap<usize, (Vec<Step>, usize)>,
    /// Where indirect branches are known to go.
    indirect: BTreeMap<usize, Vec<usize>>,
    /// Targets that a relocation gives, by instruction.
    relocated: BTreeMap<usize, Target>,
    /// Whether a block starts at an instruction; one more than there are.
    leaders: Vec<bool>,
    /// Whether an instruction is data.
    data: Vec<bool>,
    /// Index of the claim of each instruction.
    claim_of: Vec<u32>,
    open_jumps: bool,
}

impl<'a> Body<'a> {
    /// How many instructions the linker moves away together, with the branch back.
    pub const LONGEST_DETOUR: usize = 4;

    /// `entrances` are the ways in other than the start.
    pub fn new(
        text: &'a TextSection,
        function: &'a Function,
        entrances: &[Entrance],
        returns: &'a Returns,
    ) -> Self {
        let bytes = usize::try_from(function.start)
            .ok()
            .zip(usize::try_from(function.end).ok())
            .and_then(|(start, end)| text.bytes.get(start..end))
            .unwrap_or_default();
        let insns: Vec<Insn> = bytes
            .chunks_exact(4)
            .map(|word| Insn::decode(u32::from_le_bytes([word[0], word[1], word[2], word[3]])))
            .collect();
        let count = insns.len();
        let mut body = Self {
            text,
            function,
            returns,
            insns,
            variants: BTreeMap::new(),
            opaque_sites: 0,
            fixups: BTreeMap::new(),
            detours: BTreeMap::new(),
            indirect: BTreeMap::new(),
            relocated: text
                .branches
                .range(function.start..function.end)
                .map(|(offset, target)| (((offset - function.start) / 4) as usize, *target))
                .collect(),
            leaders: vec![false; count + 1],
            data: vec![false; count],
            claim_of: Vec::new(),
            open_jumps: false,
        };
        body.read_data(text);
        body.read_patches(text.patches_in(function));
        body.read_fixups(text.fixups_in(function));
        body.read_indirect(&text.indirect);
        body.read_claims();
        body.find_detours(text);
        body.find_leaders();
        body.open_jumps = (0..count).any(|index| {
            body.insns[index].flow == Flow::IndirectJump && body.indirect(index).is_empty()
        });
        for entrance in entrances {
            if let Some(index) = body.index(entrance.to) {
                body.leaders[index] = true;
            }
        }
        body
    }

    /// How many instructions it has.
    pub fn len(&self) -> usize {
        self.insns.len()
    }

    /// Whether what is called at `index` may return, if that is known. A function
    /// that does not is called by its name.
    pub fn call_returns(&self, index: usize) -> Option<bool> {
        let by = match self.insns[index].flow {
            Flow::Call(by) => by,
            Flow::IndirectCall => return Some(true),
            _ => return None,
        };
        match self.place(index, by, false) {
            Place::Outside(offset) => self.returns.at(self.text, offset),
            _ => None,
        }
    }

    /// Whether there are indirect branches whose targets are not known.
    pub fn has_open_jumps(&self) -> bool {
        self.open_jumps
    }

    pub fn insn(&self, index: usize) -> &Insn {
        &self.insns[index]
    }

    /// What the kernel may patch an instruction to.
    pub fn variants(&self, index: usize) -> &[Insn] {
        self.variants.get(&index).map_or(&[], Vec::as_slice)
    }

    /// Where control goes when an instruction faults, and what is written before.
    pub fn fixups(&self, index: usize) -> &[(Place, Regs)] {
        self.fixups.get(&index).map_or(&[], Vec::as_slice)
    }

    /// What the branch at `index` does outside the function, and where it comes
    /// back to, if that is all it does there.
    pub fn detour(&self, index: usize) -> Option<(&[Step], usize)> {
        let (steps, to) = self.detours.get(&index)?;
        Some((steps, *to))
    }

    /// Where the indirect branch at `index` is known to go.
    pub fn indirect(&self, index: usize) -> &[usize] {
        self.indirect.get(&index).map_or(&[], Vec::as_slice)
    }

    pub fn is_leader(&self, index: usize) -> bool {
        self.leaders[index]
    }

    pub fn is_data(&self, index: usize) -> bool {
        self.data[index]
    }

    pub fn offset(&self, index: usize) -> u64 {
        self.function.start + 4 * index as u64
    }

    /// The instruction at an offset of the section, if it is one of this function.
    pub fn index(&self, offset: u64) -> Option<usize> {
        let index = usize::try_from(offset.checked_sub(self.function.start)? / 4).ok()?;
        (index < self.len() && offset % 4 == 0).then_some(index)
    }

    pub fn claims(&self) -> &'a [Claim] {
        match &self.function.claims {
            Some(Claims::Rows(rows)) => rows,
            _ => &[],
        }
    }

    pub fn claim(&self, index: usize) -> Option<&'a Claim> {
        self.claims().get(*self.claim_of.get(index)? as usize)
    }

    /// Whether two instructions have the same claim.
    pub fn same_claim(&self, one: usize, other: usize) -> bool {
        self.claim_of.get(one) == self.claim_of.get(other)
    }

    /// Where a direct branch at `index`, over this many bytes, goes. What a patch
    /// puts there has no relocation.
    pub fn place(&self, index: usize, distance: i64, is_patch: bool) -> Place {
        let offset = match self.relocated.get(&index) {
            Some(Target::External) if !is_patch => return Place::Elsewhere,
            Some(Target::Local(offset)) if !is_patch => Some(*offset),
            _ => self.offset(index).checked_add_signed(distance),
        };
        offset.map_or(Place::Elsewhere, |offset| self.place_of(offset))
    }

    fn place_of(&self, offset: u64) -> Place {
        self.index(offset)
            .map_or(Place::Outside(offset), Place::Inside)
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
                if let Some(index) = self.index(patch.offset + 4 * at) {
                    let insn = Insn::decode(*word);
                    if insn != self.insns[index] {
                        self.variants.entry(index).or_default().push(insn);
                    }
                }
            }
        }
    }

    fn read_fixups(&mut self, fixups: &[Fixup]) {
        for fixup in fixups {
            let place = fixup.target.offset();
            let place = place.map_or(Place::Elsewhere, |offset| self.place_of(offset));
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

    fn read_claims(&mut self) {
        let claims = self.claims();
        if claims.is_empty() {
            return;
        }
        let mut current = 0;
        for index in 0..self.len() {
            let offset = self.offset(index);
            while claims.get(current + 1).is_some_and(|c| c.start <= offset) {
                current += 1;
            }
            self.claim_of.push(current as u32);
        }
    }

    /// Finds branches to a piece of code without CFI that does nothing but a few
    /// plain instructions and a branch back: what a linker makes of an instruction
    /// that it moves out of the way of an erratum (843419).
    fn find_detours(&mut self, text: &TextSection) {
        for index in 0..self.len() {
            let Flow::Jump(by) = self.insns[index].flow else {
                continue;
            };
            let Place::Outside(offset) = self.place(index, by, false) else {
                continue;
            };
            if let Some(detour) = self.read_detour(text, offset) {
                self.detours.insert(index, detour);
            }
        }
    }

    fn read_detour(&self, text: &TextSection, offset: u64) -> Option<(Vec<Step>, usize)> {
        let after = text.functions.partition_point(|f| f.start <= offset);
        let function = after.checked_sub(1).and_then(|at| text.functions.get(at));
        if function.is_some_and(|f| offset < f.end && f.claims.is_some()) {
            return None;
        }
        let mut steps = Vec::new();
        for at in 0..Self::LONGEST_DETOUR {
            let place = offset + 4 * at as u64;
            if text.branches.contains_key(&place) {
                return None;
            }
            let bytes = text.bytes.get(usize::try_from(place).ok()?..)?;
            let insn = Insn::decode(u32::from_le_bytes(*bytes.first_chunk()?));
            match insn.flow {
                Flow::Next => steps.push(insn.step),
                Flow::Jump(by) => {
                    let to = self.index(place.checked_add_signed(by)?)?;
                    return Some((steps, to));
                }
                _ => return None,
            }
        }
        None
    }

    fn find_leaders(&mut self) {
        self.leaders[0] = true;
        for index in 0..self.len() {
            self.find_leaders_of(index, self.insns[index], false);
            for variant in self.variants.get(&index).cloned().unwrap_or_default() {
                self.find_leaders_of(index, variant, true);
            }
            if self.data[index] {
                self.leaders[index + 1] = true;
            }
            if let Some((_, to)) = self.detours.get(&index) {
                self.leaders[*to] = true;
            }
            for (place, _) in self.fixups.get(&index).cloned().unwrap_or_default() {
                if let Place::Inside(to) = place {
                    self.leaders[to] = true;
                }
            }
            for to in self.indirect.get(&index).into_iter().flatten() {
                self.leaders[*to] = true;
            }
        }
    }

    fn find_leaders_of(&mut self, index: usize, insn: Insn, is_patch: bool) {
        let (target, ends) = match insn.flow {
            Flow::Next => return,
            Flow::Jump(distance) => (Some(distance), true),
            // A call that is not expected to return ends a block as well.
            Flow::Conditional(distance) => (Some(distance), true),
            Flow::Call(distance) => (Some(distance), true),
            _ => (None, true),
        };
        if ends {
            self.leaders[index + 1] = true;
        }
        if let Some(Place::Inside(to)) = target.map(|by| self.place(index, by, is_patch)) {
            self.leaders[to] = true;
        }
    }
}
