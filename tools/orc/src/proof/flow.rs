// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The forward dataflow over one function: from each entry along the ways of the
//! graph until the facts at every block no longer change.

use std::collections::BTreeMap;

use crate::a64::insn::{Reg, Step};
use crate::graph::body::{Edge, Variant};
use crate::graph::{Body, Place, Way};

use super::facts::Facts;
use super::value::Value;
use super::{judge, parked};

/// Facts that reach the start of every block.
pub(super) struct Blocks<'a> {
    body: &'a Body<'a>,
    /// By instruction, which of `facts` are those before it; [`NOT_REACHED`] where no
    /// block starts, or nothing is known to reach it.
    states: Vec<u32>,
    facts: Vec<Facts>,
    /// By number in `facts`, how often they have changed.
    changes: Vec<u8>,
    pending: Pending,
    /// Edges after calls and traps that were not followed: the facts that would
    /// have gone along, by the instruction they lead to.
    dropped: BTreeMap<usize, Facts>,
    /// Blocks that were reached since they were last asked for.
    news: Vec<usize>,
    /// What is known where control goes on to a place that nobody names.
    pub open: OpenWays,
}

/// No index in [`Blocks::facts`]: a function has less than 2^30 instructions.
const NOT_REACHED: u32 = u32::MAX;

/// Ranges that still grow after this many changes grow in a loop.
const CHANGES: u8 = 4;

/// Whether the next instruction follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Next {
    /// No.
    Never,
    /// Yes, if the call or the trap returns.
    IfItReturns,
    /// Yes.
    Always,
}

impl<'a> Blocks<'a> {
    pub fn new(body: &'a Body<'a>) -> Self {
        let blocks = (0..body.len()).filter(|&index| body.is_leader(index));
        Self {
            body,
            states: vec![NOT_REACHED; body.len()],
            facts: Vec::with_capacity(blocks.clone().count()),
            changes: Vec::with_capacity(blocks.count()),
            pending: Pending::new(body.len()),
            dropped: BTreeMap::new(),
            news: Vec::new(),
            open: OpenWays::default(),
        }
    }

    /// Adds a way into the function: at `index`, with `facts`. Whether that changed
    /// what is known there.
    pub fn enter(&mut self, index: usize, facts: &Facts) -> bool {
        self.come(index, facts, false)
    }

    /// The same by a way that may come back from there.
    pub fn come_back(&mut self, index: usize, facts: &Facts) -> bool {
        self.come(index, facts, true)
    }

    fn come(&mut self, index: usize, facts: &Facts, is_back: bool) -> bool {
        let number = self.states[index] as usize;
        let known = self.facts.get_mut(number).zip(self.changes.get_mut(number));
        let changed = match known {
            Some((state, changes)) => {
                let changed = state.meet_with(facts, is_back, *changes >= CHANGES);
                *changes = changes.saturating_add(changed.into());
                changed
            }
            None => {
                self.states[index] = self.facts.len() as u32;
                self.facts.push(facts.clone());
                self.changes.push(0);
                self.news.push(index);
                true
            }
        };
        if changed {
            self.pending.add(index);
        }
        changed
    }

    /// Whether anything is known to reach the block at `index`.
    pub fn is_reached(&self, index: usize) -> bool {
        self.state(index).is_some()
    }

    /// The blocks that were reached since this was last asked.
    pub fn take_news(&mut self) -> Vec<usize> {
        std::mem::take(&mut self.news)
    }

    fn state(&self, index: usize) -> Option<&Facts> {
        self.facts.get(self.states[index] as usize)
    }

    /// The facts of the call or trap just before `index`, where its edge was not
    /// followed.
    pub fn dropped(&self, index: usize) -> Option<Facts> {
        self.dropped.get(&index).cloned()
    }

    /// Runs until nothing changes: visits the blocks that are pending, in order, and
    /// again from the start. It ends, as facts only are lost.
    pub fn run(&mut self) {
        while let Some(index) = self.pending.next() {
            self.visit(index);
        }
    }

    /// Calls `see` for each instruction that is reached, in order, with the facts
    /// before it.
    pub fn each(mut self, mut see: impl FnMut(usize, &Facts)) {
        let mut current = NOT_REACHED;
        for index in 0..self.body.len() {
            if self.body.is_leader(index) {
                current = self.states[index];
            }
            if let Some(facts) = self.facts.get_mut(current as usize) {
                see(index, facts);
                execute(self.body, index, facts, &mut |_, _| ());
            }
        }
    }

    fn visit(&mut self, start: usize) {
        let body = self.body;
        let Some(state) = self.state(start) else {
            return;
        };
        let mut facts = state.clone();
        let mut index = start;
        loop {
            let next = execute(body, index, &mut facts, &mut |edge, facts| {
                if let Place::Inside(to) = edge.to {
                    self.come(to, facts, to <= index);
                }
                self.see_open(&edge, facts);
            });
            let follows = match next {
                Next::Never => false,
                Next::Always => true,
                Next::IfItReturns => !is_no_return(body, index, &facts),
            };
            index += 1;
            if index >= body.len() || body.is_data(index) {
                return;
            }
            if !follows {
                if next == Next::IfItReturns {
                    self.dropped.insert(index, facts);
                }
                return;
            }
            if body.is_leader(index) {
                self.enter(index, &facts);
                return;
            }
        }
    }
}

impl Blocks<'_> {
    /// Notes in what state control goes on to where nobody names the place.
    ///
    /// With another address in x30 than the return address, that may also be a call made
    /// by hand: `adr x30, 1f; br x0; 1:`. So may be a branch, if one was put there.
    fn see_open(&mut self, edge: &Edge<'_>, facts: &Facts) {
        let is_open = match edge.way {
            Way::Open | Way::Indirect => true,
            Way::Return(reg) => facts.get(reg) == Value::Near,
            Way::Branch => edge.is_exit() && facts.get(Reg::X30) == Value::Near,
            _ => false,
        };
        if !is_open {
            return;
        }
        if facts.get(Reg::X30) == Value::ReturnAddress {
            self.open.see(facts);
        } else {
            let mut after = facts.clone();
            after.apply_call();
            self.open.see(&after);
        }
    }
}

/// Blocks that are to be visited: a bit for each instruction.
struct Pending {
    words: Vec<u64>,
    /// Those before it wait for the next pass.
    next: usize,
}

impl Pending {
    fn new(count: usize) -> Self {
        Self {
            words: vec![0; count.div_ceil(64)],
            next: 0,
        }
    }

    fn add(&mut self, index: usize) {
        self.words[index / 64] |= 1 << (index % 64);
    }

    fn next(&mut self) -> Option<usize> {
        let found = self.from(self.next).or_else(|| self.from(0))?;
        self.words[found / 64] &= !(1 << (found % 64));
        self.next = found + 1;
        Some(found)
    }

    fn from(&self, index: usize) -> Option<usize> {
        let first = self.words.get(index / 64)? & (u64::MAX << (index % 64));
        if first != 0 {
            return Some(index / 64 * 64 + first.trailing_zeros() as usize);
        }
        let rest = self.words.iter().enumerate().skip(index / 64 + 1);
        let (word, bits) = rest.into_iter().find(|(_, bits)| **bits != 0)?;
        Some(word * 64 + bits.trailing_zeros() as usize)
    }
}

/// What is known at the indirect branches of a function. One whose targets are named
/// may have others, too.
#[derive(Default)]
pub(super) struct OpenWays {
    /// What those have in common that can only be jumps within the function.
    inner: Option<Facts>,
    /// Whether some may be either that or a tail call.
    may_be_tail_call: bool,
    /// How often that has changed.
    pub version: u32,
}

impl OpenWays {
    fn see(&mut self, facts: &Facts) {
        if facts.is_entry_state(Reg::X30) {
            self.version += u32::from(!self.may_be_tail_call);
            self.may_be_tail_call = true;
            return;
        }
        let changed = match &mut self.inner {
            Some(known) => {
                let both = known.meet(facts);
                let changed = both != *known;
                *known = both;
                changed
            }
            None => {
                self.inner = Some(facts.clone());
                true
            }
        };
        self.version += u32::from(changed);
    }

    /// In what state the function is left for a block of its own (A6). One that may be a
    /// tail call is taken for nothing else as long as there is another.
    pub fn state(&self) -> Option<Facts> {
        let entry = || self.may_be_tail_call.then(Facts::entry);
        self.inner.clone().or_else(entry)
    }
}

/// Whether the call or trap at `index` can't have returned (A7): its row changes
/// there to one of another frame, which `facts`, those after it, do not imply.
///
/// Not so where the called function is known to have a way out, or where the frame
/// stays the same: nobody expects then that the code after the call is entered from
/// elsewhere, and it is the facts that disagree. But if it is known to have none, an
/// indirect branch may be all that leads there, whatever the claim.
pub(super) fn is_no_return(body: &Body<'_>, index: usize, facts: &Facts) -> bool {
    match body.goes_on(index) {
        Some(true) => false,
        Some(false) if body.has_open_jumps() => true,
        _ => {
            let rows = body.row(index).zip(body.row(index + 1));
            rows.is_some_and(|(before, after)| {
                !judge::same_frame(before, after) && judge::implies_row(facts, after) == Some(false)
            })
        }
    }
}

/// Executes the instruction at `index`, and all that it may be patched to: `facts`
/// become those at the next instruction. `taken` gets each other way, with the facts
/// there.
pub(super) fn execute(
    body: &Body<'_>,
    index: usize,
    facts: &mut Facts,
    taken: &mut impl FnMut(Edge<'_>, &Facts),
) -> Next {
    let Some(original) = body.original(index) else {
        facts.apply(&body.insn(index).step);
        return Next::Always;
    };
    for (place, written) in body.fixups(index) {
        let mut facts = facts.clone();
        facts.clobber(*written);
        taken(Edge::fixup(*place, *written), &facts);
    }
    let variants = body.variants(index);
    if variants.is_empty() {
        return execute_one(body, index, original, facts, taken);
    }
    let before = facts.clone();
    let mut next = execute_one(body, index, original, facts, taken);
    for variant in variants {
        let mut after = before.clone();
        let also = execute_one(body, index, variant, &mut after, taken);
        match (next, also) {
            (_, Next::Never) => {}
            (Next::Never, _) => {
                *facts = after;
                next = also;
            }
            (_, _) => {
                *facts = facts.meet(&after);
                next = next.max(also);
            }
        }
    }
    next
}

fn execute_one(
    body: &Body<'_>,
    index: usize,
    variant: &Variant,
    facts: &mut Facts,
    taken: &mut impl FnMut(Edge<'_>, &Facts),
) -> Next {
    facts.apply(&variant.insn.step);
    let mut next = Next::Never;
    for edge in body.edges_of(variant).iter().copied() {
        match edge.way {
            Way::Next => next = Next::Always,
            Way::Link => {
                facts.set(Reg::X30, Value::Unknown);
                next = Next::Always;
            }
            Way::AfterCall => {
                let kept = parked::kept(body, index, facts);
                facts.apply_call();
                kept.restore(facts);
                next = Next::IfItReturns;
            }
            Way::AfterTrap => next = Next::IfItReturns,
            Way::Call => {
                if let Some(entered) = called(edge.to, facts) {
                    taken(edge, &through(&edge, entered));
                }
            }
            Way::Branch | Way::Fixup(_) | Way::Indirect | Way::Open => match edge.veneer {
                Some(_) => taken(edge, &through(&edge, facts.clone())),
                None => taken(edge, facts),
            },
            Way::Return(_) | Way::Exit => taken(edge, facts),
        }
    }
    next
}

/// The facts where a way leads, which starts with these: after what is done on it.
fn through(edge: &Edge<'_>, mut facts: Facts) -> Facts {
    for steps in edge.veneer.into_iter().flat_map(|veneer| &veneer.steps) {
        facts = any_of(steps, &facts);
    }
    facts
}

/// The facts after one of these steps.
fn any_of(steps: &[Step], before: &Facts) -> Facts {
    let after = |step| {
        let mut facts = before.clone();
        facts.apply(step);
        facts
    };
    let all = steps.iter().map(after);
    all.reduce(|all, one| all.meet(&one)).unwrap_or(Facts::NONE)
}

/// The facts where a call leads. One into the middle of the function is either a
/// call of a function in there, or no call at all: what both have in common holds.
fn called(to: Place, facts: &Facts) -> Option<Facts> {
    match to {
        Place::Inside(0) | Place::Elsewhere => None,
        Place::Outside(_) => Some(Facts::entry()),
        Place::Inside(_) => {
            let mut within = facts.clone();
            within.set(Reg::X30, Value::Unknown);
            Some(within.meet(&Facts::entry()))
        }
    }
}
