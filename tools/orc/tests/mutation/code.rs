// SPDX-License-Identifier: GPL-2.0 OR MIT

//! One function as the oracle runs it: decoded by fARM64, with the edges of its
//! control flow.

use std::collections::BTreeMap;

use fARM64::{Decoder, DecoderOptions, FlowControl, Instruction, Operand};
use orctool::claim::{CfiRow, Claim, Claims};
use orctool::text::{Function, Target, TextSection};

use crate::returns::Returns;

/// Added to offsets of the section, so that no branch target is below zero.
const ADDRESS: u64 = 1 << 40;

/// Where a direct branch goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// An instruction of the function.
    Inside(usize),
    /// The entry of a function: its number, if it is of the same section.
    Entry(Option<usize>),
    /// Anything else: a part of another function, or no function.
    Other,
}

/// One instruction.
#[derive(Clone, Copy)]
pub struct Op {
    pub insn: Instruction,
    pub flow: FlowControl,
    /// Where a direct branch goes.
    pub place: Place,
}

/// What the kernel may write over a part of the function.
pub struct Patch {
    pub first: usize,
    pub ops: Vec<Op>,
}

/// One function.
pub struct Code {
    pub ops: Vec<Op>,
    pub data: Vec<bool>,
    pub patches: Vec<Patch>,
    /// Where control goes when an instruction faults; registers written before.
    pub fixups: BTreeMap<usize, (Place, u32)>,
    /// Whether control comes to the code after a call or a trap. If not, that may be
    /// entered from elsewhere alone.
    continues: Vec<bool>,
    /// By instruction: which row of the compiler's CFI.
    row: Vec<Option<usize>>,
    claims: Vec<Claim>,
    /// What direct branches do not reach: targets of indirect ones.
    indirect: Vec<usize>,
    /// Whether what comes after the function is another one.
    pub runs_into_function: bool,
}

impl Code {
    /// `claims` are those of the compiler, whatever the text says of them; `returns`
    /// says which functions of the section may return.
    pub fn new(
        text: &TextSection,
        function: &Function,
        claims: Option<&Claims>,
        returns: &Returns,
    ) -> Self {
        let range = function.start as usize..function.end as usize;
        let words: Vec<u32> = text.bytes[range]
            .chunks_exact(4)
            .map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]))
            .collect();
        let reader = Reader { text, function };
        let ops = words.iter().enumerate();
        let ops: Vec<Op> = ops.map(|(at, word)| reader.op(at, *word, true)).collect();
        let claims = claims.and_then(Claims::whole).unwrap_or_default();
        let offsets = (0..ops.len()).map(|index| function.start + 4 * index as u64);
        let row: Vec<Option<usize>> = offsets
            .clone()
            .map(|offset| claims.partition_point(|c| c.start <= offset).checked_sub(1))
            .collect();
        let first_data = text
            .data
            .partition_point(|range| range.end <= function.start);
        let data = text.data[first_data..].iter();
        let data: Vec<_> = data.take_while(|r| r.start < function.end).collect();
        let is_data = |offset: u64| data.iter().any(|range| range.contains(&offset));
        let mut code = Self {
            data: offsets.map(is_data).collect(),
            patches: reader.patches(),
            fixups: reader.fixups(),
            continues: Vec::new(),
            indirect: Vec::new(),
            runs_into_function: reader.is_start(function.end),
            ops,
            row,
            claims,
        };
        code.continues = (0..code.len())
            .map(|index| code.continues(index, returns))
            .collect();
        code.indirect = code.unreached();
        code
    }

    pub fn len(&self) -> usize {
        self.ops.len()
    }

    fn claim(&self, index: usize) -> Option<&Claim> {
        self.claims.get((*self.row.get(index)?)?)
    }

    /// Whether the compiler says that the frame is the same at two instructions,
    /// if not by the same register.
    fn same_frame(&self, left: usize, right: usize) -> bool {
        if right >= self.len() {
            return false;
        }
        match (self.claim(left), self.claim(right)) {
            (Some(left), Some(right)) => {
                left.return_address == right.return_address
                    && left.caller_fp == right.caller_fp
                    && (left.cfa == right.cfa || left.cfa.base != right.cfa.base)
            }
            (left, right) => left.is_none() && right.is_none(),
        }
    }

    /// Whether control comes to the next instruction after a call or a trap.
    fn continues(&self, index: usize, returns: &Returns) -> bool {
        let op = &self.ops[index];
        let known = match (op.flow, op.place) {
            (FlowControl::Call, Place::Entry(Some(callee))) => returns.may(callee),
            (FlowControl::IndirectCall, _) => Some(true),
            _ => None,
        };
        let is_last = index + 1 == self.len();
        !is_last && known.unwrap_or_else(|| self.same_frame(index, index + 1))
    }

    pub fn returns(&self, index: usize) -> bool {
        self.continues[index]
    }

    /// Where an indirect branch at `index` may go within the function.
    pub fn targets(&self, index: usize) -> Vec<usize> {
        let same = |to: &&usize| self.same_frame(index, **to);
        self.indirect.iter().filter(same).copied().collect()
    }

    /// Where control may go from an instruction, within the function, whatever the
    /// kernel has patched.
    pub fn successors(&self, index: usize) -> Vec<usize> {
        let mut to = self.after(index, &self.ops[index]);
        let covers = |patch: &&Patch| patch.first <= index;
        for patch in self.patches.iter().filter(covers) {
            if let Some(op) = patch.ops.get(index - patch.first) {
                to.extend(self.after(index, op));
            }
        }
        if let Some((Place::Inside(fixup), _)) = self.fixups.get(&index) {
            to.push(*fixup);
        }
        to.retain(|to| *to < self.len());
        to
    }

    /// The same for one of the instructions that may be at a place.
    fn after(&self, index: usize, op: &Op) -> Vec<usize> {
        let direct = match op.place {
            Place::Inside(to) => Some(to),
            _ => None,
        };
        match op.flow {
            _ if op.insn.is_invalid() || self.data[index] => Vec::new(),
            FlowControl::Next => vec![index + 1],
            FlowControl::UnconditionalBranch => direct.into_iter().collect(),
            FlowControl::ConditionalBranch => direct.into_iter().chain([index + 1]).collect(),
            FlowControl::Call | FlowControl::IndirectCall | FlowControl::Exception => self
                .returns(index)
                .then_some(index + 1)
                .into_iter()
                .collect(),
            FlowControl::IndirectBranch => self.targets(index),
            FlowControl::Return => Vec::new(),
        }
    }

    /// By instruction: how many steps it is from one of `goals`, if it leads there.
    pub fn distances(&self, goals: &[usize]) -> Vec<u32> {
        let mut from: Vec<Vec<usize>> = vec![Vec::new(); self.len()];
        for index in 0..self.len() {
            for to in self.successors(index) {
                from[to].push(index);
            }
        }
        let mut distances = vec![u32::MAX; self.len()];
        let mut queue = std::collections::VecDeque::new();
        for goal in goals {
            distances[*goal] = 0;
            queue.push_back(*goal);
        }
        while let Some(index) = queue.pop_front() {
            for before in std::mem::take(&mut from[index]) {
                if distances[before] == u32::MAX {
                    distances[before] = distances[index] + 1;
                    queue.push_back(before);
                }
            }
        }
        distances
    }

    /// Whether control comes to an instruction from the entry.
    pub fn reached(&self) -> Vec<bool> {
        let mut reached = vec![false; self.len()];
        self.reach(0, &mut reached);
        reached
    }

    fn reach(&self, from: usize, reached: &mut [bool]) {
        let mut open = vec![from];
        while let Some(index) = open.pop() {
            if index < self.len() && !std::mem::replace(&mut reached[index], true) {
                open.extend(self.successors(index));
            }
        }
    }

    /// The first instructions of what direct branches from the entry do not reach.
    fn unreached(&self) -> Vec<usize> {
        let mut reached = self.reached();
        let mut roots = Vec::new();
        while let Some(root) = reached.iter().position(|is_reached| !is_reached) {
            roots.push(root);
            self.reach(root, &mut reached);
        }
        roots
    }
}

/// Decodes the instructions of a function.
struct Reader<'a> {
    text: &'a TextSection,
    function: &'a Function,
}

impl Reader<'_> {
    fn op(&self, index: usize, word: u32, is_relocated: bool) -> Op {
        let offset = self.function.start + 4 * index as u64;
        let bytes = word.to_le_bytes();
        let insn = Decoder::new(&bytes, ADDRESS + offset, DecoderOptions::default()).decode();
        let is_direct = (0..insn.op_count()).any(|n| matches!(insn.op(n), Operand::Label(_)));
        let place = match self.text.branches.get(&offset) {
            Some(Target::Section { .. } | Target::External) if is_relocated => Place::Entry(None),
            Some(Target::Local(to)) if is_relocated => self.place(*to),
            _ if is_direct => self.place(insn.near_branch_target().wrapping_sub(ADDRESS)),
            _ => Place::Other,
        };
        let flow = insn.flow_control();
        Op { insn, flow, place }
    }

    fn index(&self, offset: u64) -> Option<usize> {
        let inside = (self.function.start..self.function.end).contains(&offset);
        inside.then(|| ((offset - self.function.start) / 4) as usize)
    }

    fn place(&self, offset: u64) -> Place {
        if let Some(index) = self.index(offset) {
            return Place::Inside(index);
        }
        let functions = &self.text.functions;
        let at = functions.binary_search_by_key(&offset, |function| function.start);
        let entry = at.ok().filter(|at| match &functions[*at].claims {
            Some(Claims::Rows(rows)) => {
                let claim = rows.first().map(CfiRow::claim);
                claim.is_none_or(|claim| claim.is_some_and(is_entry))
            }
            _ => !self.is_detour(&functions[*at]),
        });
        match entry {
            Some(at) => Place::Entry(Some(at)),
            None => Place::Other,
        }
    }

    /// Whether this is an instruction that a linker moved out of the way of an
    /// erratum (843419), and a branch back into the function.
    fn is_detour(&self, other: &Function) -> bool {
        let words = &self.text.bytes[other.start as usize..other.end as usize];
        let branch = match words {
            [_, _, _, _, a, b, c, d] => u32::from_le_bytes([*a, *b, *c, *d]),
            _ => return false,
        };
        let bytes = branch.to_le_bytes();
        let insn = Decoder::new(&bytes, other.start + 4, DecoderOptions::default()).decode();
        insn.flow_control() == FlowControl::UnconditionalBranch
            && self.index(insn.near_branch_target()).is_some()
    }

    fn is_start(&self, offset: u64) -> bool {
        let functions = &self.text.functions;
        let at = functions.binary_search_by_key(&offset, |function| function.start);
        at.is_ok()
    }

    fn patches(&self) -> Vec<Patch> {
        let patches = &self.text.patches;
        let first = patches.partition_point(|patch| patch.offset < self.function.start);
        patches[first..]
            .iter()
            .take_while(|patch| patch.offset < self.function.end)
            .filter_map(|patch| {
                let first = self.index(patch.offset)?;
                let words = patch.replacement.iter().enumerate();
                let ops = words.map(|(at, word)| self.op(first + at, *word, false));
                Some(Patch {
                    first,
                    ops: ops.collect(),
                })
            })
            .collect()
    }

    fn fixups(&self) -> BTreeMap<usize, (Place, u32)> {
        let fixups = &self.text.fixups;
        let first = fixups.partition_point(|fixup| fixup.offset < self.function.start);
        fixups[first..]
            .iter()
            .take_while(|fixup| fixup.offset < self.function.end)
            .filter_map(|fixup| {
                let place = match fixup.target {
                    Target::Local(offset) => self.place(offset),
                    Target::Section { .. } | Target::External => Place::Other,
                };
                Some((self.index(fixup.offset)?, (place, fixup.written)))
            })
            .collect()
    }
}

/// Whether a function is entered with this row by whoever calls it.
pub fn is_entry(claim: &Claim) -> bool {
    use orctool::claim::{CfaBase, Location};
    claim.cfa.base == CfaBase::Sp
        && claim.cfa.offset == 0
        && claim.return_address == Location::Register
        && claim.caller_fp == Location::Register
        && !claim.signal_frame
}
