// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Blocks that no direct branch, jump label or fixup leads to: the targets of
//! indirect branches (A6). They are entered with the claim of their own row, which the
//! indirect branches must agree with. No jump table is decoded.

use crate::graph::{Body, Place, Way};

use super::facts::Facts;
use super::flow::Blocks;
use super::judge;

/// Enters each block that nothing reaches with the claim of its own row; how many.
///
/// Only an indirect branch can lead to one, as jump labels and fixups are known.
/// Without one that agrees with the block, the call or the trap just before it
/// returns after all, and its facts show what is wrong.
pub(super) fn enter_by_claim(body: &Body<'_>, blocks: &mut Blocks<'_>) -> u64 {
    let mut unreached = Unreached::new(body, blocks);
    let mut entered = Vec::new();
    let (mut by_claim, mut version) = (0, blocks.open.version);
    let mut is_first = blocks.open.state().is_none();
    loop {
        let state = blocks.open.state();
        if state.is_some() && is_first {
            // What was given up for want of an indirect branch.
            unreached = Unreached::new(body, blocks);
            is_first = false;
        }
        // What was entered may have led to indirect branches, or back to them in
        // another state. It ends, as facts only are lost.
        let is_news = std::mem::replace(&mut version, blocks.open.version) != version;
        let mut is_settled = true;
        if let Some(state) = state.as_ref().filter(|_| is_news) {
            for &root in &entered {
                is_settled &= !blocks.come_back(root, state);
            }
        }
        let roots = unreached.roots();
        if roots.is_empty() && is_settled {
            return by_claim;
        }
        for root in roots {
            let claim = body.claim(root).zip(state.as_ref());
            let agrees = claim.is_some_and(|(claim, facts)| judge::implies(facts, claim).is_ok());
            by_claim += u64::from(agrees);
            // If not, it may be entered all the same, and lead to blocks that are
            // proved.
            let before = blocks.dropped(root).filter(|_| !agrees);
            if state.is_some() || before.is_some() {
                entered.push(root);
            }
            for facts in state.iter().chain(&before) {
                blocks.enter(root, facts);
            }
        }
        blocks.run();
        unreached.close(blocks.take_news());
    }
}

/// Enters each block of a leaf that nothing reaches in the state of the entry; how
/// many.
pub(super) fn enter_as_entry(body: &Body<'_>, blocks: &mut Blocks<'_>) -> u64 {
    let mut unreached = Unreached::new(body, blocks);
    let mut entered = 0;
    loop {
        let roots = unreached.roots();
        if roots.is_empty() {
            return entered;
        }
        for root in roots {
            blocks.enter(root, &Facts::entry());
            entered += 1;
        }
        blocks.run();
        unreached.close(blocks.take_news());
    }
}

/// Blocks that nothing reaches, and which of them lead to which.
struct Unreached {
    /// Those that were not yet given out, by number of the first instruction: how
    /// many such blocks lead there, and where it leads itself.
    open: Vec<Option<Block>>,
    /// Some of those that no other leads to.
    sources: Vec<usize>,
    /// There is none before this.
    first: usize,
}

#[derive(Default)]
struct Block {
    predecessors: usize,
    successors: Vec<usize>,
}

impl Unreached {
    fn new(body: &Body<'_>, blocks: &mut Blocks<'_>) -> Self {
        blocks.take_news();
        let is_open = |index: usize| {
            body.is_leader(index) && !blocks.is_reached(index) && !body.is_data(index)
        };
        let all = 0..body.len();
        let mut open: Vec<Option<Block>> = all
            .map(|index| is_open(index).then(Block::default))
            .collect();
        for index in 0..open.len() {
            if open[index].is_none() {
                continue;
            }
            let successors = successors(body, index);
            for &to in &successors {
                if let Some(Some(block)) = open.get_mut(to) {
                    block.predecessors += 1;
                }
            }
            if let Some(block) = &mut open[index] {
                block.successors = successors;
            }
        }
        let is_source = |block: &Option<Block>| block.as_ref().is_some_and(|b| b.predecessors == 0);
        let sources = (0..open.len()).filter(|&index| is_source(&open[index]));
        Self {
            sources: sources.collect(),
            open,
            first: 0,
        }
    }

    /// Blocks that no other such block leads to; or the first of them, where they all
    /// lead to each other. Each is given out once.
    fn roots(&mut self) -> Vec<usize> {
        let mut roots: Vec<usize> = std::mem::take(&mut self.sources);
        roots.retain(|&index| self.open[index].is_some());
        if roots.is_empty() {
            while self.open.get(self.first).is_some_and(Option::is_none) {
                self.first += 1;
            }
            roots.extend((self.first < self.open.len()).then_some(self.first));
        }
        roots.sort_unstable();
        self.close(roots.clone());
        roots
    }

    /// Takes out blocks that are reached, or given out.
    fn close(&mut self, blocks: Vec<usize>) {
        for index in blocks {
            let Some(block) = self.open[index].take() else {
                continue;
            };
            for to in block.successors {
                if let Some(Some(block)) = self.open.get_mut(to) {
                    block.predecessors -= 1;
                    if block.predecessors == 0 {
                        self.sources.push(to);
                    }
                }
            }
        }
    }
}

/// The blocks that the one at `start` leads to without a call.
fn successors(body: &Body<'_>, start: usize) -> Vec<usize> {
    let mut found = Vec::new();
    let mut index = start;
    loop {
        let mut goes_on = false;
        body.edges(index, |edge| {
            goes_on |= edge.way.is_next();
            let leads = matches!(edge.way, Way::Branch | Way::Fixup(_) | Way::Indirect);
            if let (Place::Inside(to), true) = (edge.to, leads) {
                found.push(to);
            }
        });
        index += 1;
        if !goes_on || index >= body.len() {
            return found;
        }
        if body.is_leader(index) {
            found.push(index);
            return found;
        }
    }
}
