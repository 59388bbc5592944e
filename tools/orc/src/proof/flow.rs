// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The forward dataflow over one function: from each entry along direct branches
//! until the facts at every block no longer change.

use std::collections::BTreeMap;

use super::body::{Body, Place};
use super::facts::Facts;
use super::judge;
use super::value::Value;
use crate::a64::insn::{Flow, Insn, Reg};

/// Facts that reach the start of every block.
pub(super) struct Blocks<'a> {
    body: &'a Body<'a>,
    /// By instruction, which of `facts` are those before it; [`NOT_REACHED`] where no
    /// block starts, or nothing is known to reach it.
    states: Vec<u32>,
    facts: Vec<Facts>,
    /// By number in `facts`, how often they have changed.
    changes: Vec<u8>,
    pending: Vec<bool>,
    /// Edges after calls and traps that were not followed: the facts that would
    /// have gone along, by the instruction they lead to.
    dropped: BTreeMap<usize, Facts>,
}

const ENTRY: Facts = Facts::entry();

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
            pending: vec![false; body.len()],
            dropped: BTreeMap::new(),
        }
    }

    /// Adds a way into the function: at `index`, with `facts`. Whether that changed
    /// what is known there.
    pub fn enter(&mut self, index: usize, facts: &Facts) -> bool {
        let number = self.states[index] as usize;
        let known = self.facts.get_mut(number).zip(self.changes.get_mut(number));
        let changed = match known {
            Some((state, changes)) => {
                let changed = state.meet_with(facts, *changes >= CHANGES);
                *changes = changes.saturating_add(changed.into());
                changed
            }
            None => {
                self.states[index] = self.facts.len() as u32;
                self.facts.push(facts.clone());
                self.changes.push(0);
                true
            }
        };
        self.pending[index] |= changed;
        changed
    }

    /// Whether anything is known to reach the block at `index`.
    pub fn is_reached(&self, index: usize) -> bool {
        self.state(index).is_some()
    }

    fn state(&self, index: usize) -> Option<&Facts> {
        self.facts.get(self.states[index] as usize)
    }

    /// The facts of the call or trap just before `index`, where its edge was not
    /// followed.
    pub fn dropped(&self, index: usize) -> Option<Facts> {
        self.dropped.get(&index).cloned()
    }

    /// Runs until nothing changes. It ends, as facts only are lost.
    pub fn run(&mut self) {
        while self.pass() {}
    }

    /// Calls `see` for each instruction that is reached, in order, with the facts
    /// before it.
    pub fn each(&self, mut see: impl FnMut(usize, &Facts)) {
        let mut facts = Facts::NONE;
        let mut is_reached = false;
        for index in 0..self.body.len() {
            if self.body.is_leader(index) {
                let state = self.state(index);
                is_reached = state.is_some();
                if let Some(state) = state {
                    facts.clone_from(state);
                }
            }
            if is_reached {
                see(index, &facts);
                execute(self.body, index, &mut facts, &mut |_, _| ());
            }
        }
    }

    /// Visits the blocks that are pending, in order; whether there was one.
    fn pass(&mut self) -> bool {
        let mut any = false;
        for index in 0..self.body.len() {
            if std::mem::take(&mut self.pending[index]) {
                any = true;
                self.visit(index);
            }
        }
        any
    }

    fn visit(&mut self, start: usize) {
        let body = self.body;
        let Some(mut facts) = self.state(start).cloned() else {
            return;
        };
        let mut index = start;
        loop {
            let next = execute(body, index, &mut facts, &mut |place, facts| {
                if let Place::Inside(to) = place {
                    self.enter(to, facts);
                }
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

/// Whether the call or trap at `index` can't have returned: its claim changes
/// there to one of another frame, which `facts`, those after it, do not imply.
///
/// Not so where the called function is known to have a way out, or where the frame
/// stays the same: nobody expects then that the code after the call is entered from
/// elsewhere, and it is the facts that disagree. But if it is known to have none, an
/// indirect branch may be all that leads there, whatever the claim.
pub(super) fn is_no_return(body: &Body<'_>, index: usize, facts: &Facts) -> bool {
    match body.call_returns(index) {
        Some(true) => false,
        Some(false) if body.has_open_jumps() => true,
        _ => {
            let claims = body.claim(index).zip(body.claim(index + 1));
            claims.is_some_and(|(before, after)| {
                !judge::same_frame(before, after) && judge::implies(facts, after).is_err()
            })
        }
    }
}

/// Executes the instruction at `index`, and all that it may be patched to: `facts`
/// become those at the next instruction. `taken` gets each place that it branches
/// to, with the facts there.
pub(super) fn execute(
    body: &Body<'_>,
    index: usize,
    facts: &mut Facts,
    taken: &mut impl FnMut(Place, &Facts),
) -> Next {
    for (place, written) in body.fixups(index) {
        let mut facts = facts.clone();
        facts.clobber(*written);
        taken(*place, &facts);
    }
    let variants = body.variants(index);
    if variants.is_empty() {
        return execute_one(body, index, body.insn(index), false, facts, taken);
    }
    let before = facts.clone();
    let mut next = execute_one(body, index, body.insn(index), false, facts, taken);
    for variant in variants {
        let mut after = before.clone();
        let also = execute_one(body, index, variant, true, &mut after, taken);
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
    insn: &Insn,
    is_patch: bool,
    facts: &mut Facts,
    taken: &mut impl FnMut(Place, &Facts),
) -> Next {
    facts.apply(&insn.step);
    match insn.flow {
        Flow::Next => Next::Always,
        Flow::Jump(by) => {
            let mut place = body.place(index, by, is_patch);
            if let Some((steps, back)) = body.detour(index).filter(|_| !is_patch) {
                steps.iter().for_each(|step| facts.apply(step));
                place = Place::Inside(back);
            }
            taken(place, facts);
            Next::Never
        }
        Flow::Conditional(by) => {
            taken(body.place(index, by, is_patch), facts);
            Next::Always
        }
        Flow::Call(by) => {
            let place = body.place(index, by, is_patch);
            if place == Place::Inside(index + 1) {
                // No call: whoever returns from there returns to there.
                facts.set(Reg::X30, Value::Unknown);
                return Next::Always;
            }
            call(place, facts, taken);
            Next::IfItReturns
        }
        Flow::IndirectCall => {
            facts.apply_call();
            Next::IfItReturns
        }
        Flow::Trap => Next::IfItReturns,
        Flow::IndirectJump => {
            for to in body.indirect(index) {
                taken(Place::Inside(*to), facts);
            }
            Next::Never
        }
        Flow::Return(_) | Flow::ExceptionReturn => Next::Never,
    }
}

/// A call into the middle of a function is either a call of a function in there,
/// or no call at all: what both have in common holds.
fn call(place: Place, facts: &mut Facts, taken: &mut impl FnMut(Place, &Facts)) {
    match place {
        Place::Inside(0) | Place::Elsewhere => {}
        Place::Outside(_) => taken(place, &ENTRY),
        Place::Inside(_) => {
            let mut within = facts.clone();
            within.set(Reg::X30, Value::Unknown);
            taken(place, &within.meet(&ENTRY));
        }
    }
    facts.apply_call();
}
