// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Blocks that no direct branch, jump label or fixup leads to: the targets of
//! indirect branches. They are entered with the claim of their own row, which the
//! indirect branches must agree with. No jump table is decoded.

use crate::claim::Claim;

use super::body::{Body, Place};
use super::facts::Facts;
use super::flow::Blocks;
use super::judge;
use crate::a64::insn::{Flow, Insn, Reg};

/// Enters each block that nothing reaches with the claim of its own row; how many.
///
/// Only an indirect branch can lead to one, as jump labels and fixups are known.
/// Without one that agrees with the block, the call or the trap just before it
/// returns after all, and its facts show what is wrong.
pub(super) fn enter_by_claim(body: &Body<'_>, blocks: &mut Blocks<'_>) -> u64 {
    let mut given_up = vec![false; body.len()];
    let mut entered = Vec::new();
    let mut by_claim = 0;
    while !entered.is_empty() || !roots(body, blocks, &given_up).is_empty() {
        let jumps = Jumps::new(body, blocks);
        // What was entered may have led to indirect branches, or back to them in
        // another state. It ends, as facts only are lost.
        let mut is_settled = true;
        for &root in &entered {
            let claimed = body.claim(root).and_then(|claim| jumps.complete(claim));
            if let Some(facts) = claimed.or_else(|| jumps.state()) {
                is_settled &= !blocks.enter(root, &facts);
            }
        }
        if jumps.state().is_some() {
            given_up.fill(false);
        }
        let roots = roots(body, blocks, &given_up);
        if roots.is_empty() && is_settled {
            break;
        }
        for root in roots {
            let claimed = body.claim(root).and_then(|claim| jumps.complete(claim));
            by_claim += u64::from(claimed.is_some());
            // If not, it may be entered all the same, and lead to blocks that are
            // proved.
            let ways = match claimed {
                Some(facts) => [Some(facts), None],
                None => [jumps.state(), blocks.dropped(root)],
            };
            given_up[root] = ways.iter().all(Option::is_none);
            if !given_up[root] {
                entered.push(root);
            }
            for facts in ways.iter().flatten() {
                blocks.enter(root, facts);
            }
        }
        blocks.run();
    }
    by_claim
}

/// Blocks that nothing reaches and that no other such block leads to; or the first
/// of them, where they all lead to each other.
pub(super) fn roots(body: &Body<'_>, blocks: &Blocks<'_>, given_up: &[bool]) -> Vec<usize> {
    let is_open = |index: usize| {
        body.is_leader(index)
            && !blocks.is_reached(index)
            && !given_up[index]
            && !body.is_data(index)
    };
    let mut open: Vec<usize> = (0..body.len()).filter(|&index| is_open(index)).collect();
    if open.is_empty() {
        return open;
    }
    let mut has_predecessor = vec![false; body.len() + 1];
    for &start in &open {
        let mut index = start;
        loop {
            let mut follows = false;
            let patched = body.variants(index).iter().map(|insn| (insn, true));
            for (insn, is_patch) in std::iter::once((body.insn(index), false)).chain(patched) {
                if let Some(Place::Inside(to)) = target(body, index, insn, is_patch) {
                    has_predecessor[to] = true;
                }
                follows |= insn.flow.may_go_on();
            }
            for (place, _) in body.fixups(index) {
                if let Place::Inside(to) = place {
                    has_predecessor[*to] = true;
                }
            }
            if let Some((_, to)) = body.detour(index) {
                has_predecessor[to] = true;
            }
            for to in body.indirect(index) {
                has_predecessor[*to] = true;
            }
            index += 1;
            if !follows || index >= body.len() {
                break;
            }
            if body.is_leader(index) {
                has_predecessor[index] = true;
                break;
            }
        }
    }
    let first = open[0];
    open.retain(|&index| !has_predecessor[index]);
    if open.is_empty() {
        open.push(first);
    }
    open
}

fn target(body: &Body<'_>, index: usize, insn: &Insn, is_patch: bool) -> Option<Place> {
    match insn.flow {
        Flow::Jump(by) | Flow::Conditional(by) => Some(body.place(index, by, is_patch)),
        _ => None,
    }
}

/// Facts at the indirect branches of a function.
struct Jumps {
    /// At those that can only be jumps within the function.
    inner: Vec<Facts>,
    /// Whether some may be either that or a tail call.
    may_be_tail_call: bool,
}

impl Jumps {
    fn new(body: &Body<'_>, blocks: &Blocks<'_>) -> Self {
        let mut jumps = Self {
            inner: Vec::new(),
            may_be_tail_call: false,
        };
        blocks.each(|index, facts| {
            if body.insn(index).flow != Flow::IndirectJump {
                return;
            }
            match facts.is_entry_state(Reg::X30) {
                true => jumps.may_be_tail_call = true,
                false => jumps.inner.push(facts.clone()),
            }
        });
        jumps
    }

    /// The facts at a block that is entered with this claim: those of the indirect
    /// branches, all of which must agree with it, as any may be the way in.
    fn complete(&self, claim: &Claim) -> Option<Facts> {
        let facts = self.state()?;
        judge::implies(&facts, claim).is_ok().then_some(facts)
    }

    /// In what state the function is left for a block of its own. One that may be a
    /// tail call is taken for nothing else as long as there is another.
    fn state(&self) -> Option<Facts> {
        self.facts()
            .or_else(|| self.may_be_tail_call.then(Facts::entry))
    }

    /// What the indirect branches that can't be tail calls have in common.
    fn facts(&self) -> Option<Facts> {
        let (first, others) = self.inner.split_first()?;
        Some(others.iter().fold(first.clone(), |all, one| all.meet(one)))
    }
}
