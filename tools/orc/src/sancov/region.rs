// SPDX-License-Identifier: GPL-2.0 OR MIT

//! From blocks to instructions: which instructions run from the start of a listed
//! block up to the starts of others, and which of them are indirect branches.
//!
//! An entry of the list is a block of LLVM's intermediate code. In machine code it
//! may be several blocks, and a copy of it may have been put where it was branched
//! to. So the code of a block is everything that direct control flow reaches from
//! its address before it comes to the address of a listed block.

use std::collections::{BTreeMap, BTreeSet};

use crate::proof::{is_entry, Point};

use super::list::{List, Successor};

/// A block with more successors than this ends with a switch or a computed goto.
const CONDITIONAL_SUCCESSORS: usize = 2;

/// The code of one listed block.
#[derive(Debug, Default)]
pub(super) struct Region {
    /// Starts of listed blocks that direct flow leads to, and the instructions from
    /// which it does.
    pub reached: BTreeMap<u64, Vec<u64>>,
    /// Indirect branches in it.
    pub jumps: BTreeSet<u64>,
}

/// The regions of a function, by the start of the block.
pub(super) struct Regions<'r> {
    list: &'r List,
    points: &'r [Point],
    regions: BTreeMap<u64, Region>,
}

impl<'r> Regions<'r> {
    /// `points` are all instructions of the function.
    pub fn new(list: &'r List, points: &'r [Point]) -> Self {
        let starts = list.starts();
        let mut seen = vec![None; points.len()];
        let regions = list.blocks.keys().map(|start| {
            let mut region = Region::default();
            walk(points, &starts, *start, &mut seen, &mut region);
            (*start, region)
        });
        Self {
            regions: regions.collect(),
            list,
            points,
        }
    }

    /// Where each indirect branch may go: all successors of the blocks that it may
    /// be the end of.
    pub fn targets(&self) -> BTreeMap<u64, BTreeSet<u64>> {
        let mut targets: BTreeMap<u64, BTreeSet<u64>> = BTreeMap::new();
        for (start, region) in &self.regions {
            if region.jumps.is_empty() {
                continue;
            }
            let ends = self.ends(*start, region);
            for jump in &region.jumps {
                let may_call = ends.calls_indirectly && self.is_in_entry_state(*jump);
                let known = targets.entry(*jump).or_default();
                known.extend(ends.successors.iter().filter(|to| {
                    // The label of a deleted block is at the start of the function.
                    let is_doubtful = may_call || self.is_start(**to);
                    !is_doubtful || self.is_in_entry_state(*jump) && self.is_in_entry_state(**to)
                }));
            }
        }
        targets
    }

    /// Whether the indirect branch may be a call at the end of the function: those
    /// are not in the list, only that a block calls through a register.
    pub fn may_be_tail_call(&self, jump: u64) -> bool {
        self.is_in_entry_state(jump)
            && self
                .list
                .blocks
                .values()
                .any(|block| block.calls_indirectly)
    }

    /// The code of the block that starts there.
    pub fn of(&self, start: u64) -> Option<&'_ Region> {
        self.regions.get(&start)
    }

    /// Whether the function starts there.
    pub fn is_start(&self, offset: u64) -> bool {
        self.points
            .first()
            .is_some_and(|first| first.offset == offset)
    }

    /// The instruction at this offset.
    pub fn point(&self, offset: u64) -> Option<&'r Point> {
        self.points.get(index(self.points, offset)?)
    }

    fn is_in_entry_state(&self, offset: u64) -> bool {
        let claim = self.point(offset).and_then(|point| point.claim.as_ref());
        claim.is_some_and(is_entry)
    }

    /// The blocks whose end may be in the region of `start`: that block itself, and
    /// those that were copied to where it branches to them. A conditional branch
    /// is no `br`: behind one such block there must be a copy of another.
    fn ends(&self, start: u64, region: &Region) -> Ends {
        let mut ends = Ends::default();
        let mut open = vec![start];
        let mut seen = BTreeSet::new();
        while let Some(block) = open.pop() {
            let Some(block) = self.list.blocks.get(&block).filter(|_| seen.insert(block)) else {
                continue;
            };
            ends.calls_indirectly |= block.calls_indirectly;
            for successor in &block.successors {
                let Successor::At(to) = *successor else {
                    continue;
                };
                if self.point(to).is_none() {
                    continue;
                }
                ends.successors.insert(to);
                let is_copied = !region.reached.contains_key(&to);
                if is_copied && block.successors.len() <= CONDITIONAL_SUCCESSORS {
                    open.push(to);
                }
            }
        }
        ends
    }
}

/// What is said of the blocks that an indirect branch may end.
#[derive(Default)]
struct Ends {
    successors: BTreeSet<u64>,
    calls_indirectly: bool,
}

fn index(points: &[Point], offset: u64) -> Option<usize> {
    points
        .binary_search_by_key(&offset, |point| point.offset)
        .ok()
}

/// Follows direct flow from `start`. `seen` has, for each instruction, the start
/// of the region in which it was seen last.
fn walk(
    points: &[Point],
    starts: &BTreeSet<u64>,
    start: u64,
    seen: &mut [Option<u64>],
    region: &mut Region,
) {
    let mut open: Vec<usize> = index(points, start).into_iter().collect();
    while let Some(at) = open.pop() {
        if seen[at].replace(start) == Some(start) {
            continue;
        }
        let point = &points[at];
        if point.is_indirect_jump {
            // Where it goes is the question.
            region.jumps.insert(point.offset);
            continue;
        }
        for way in &point.ways {
            if starts.contains(&way.to) {
                region.reached.entry(way.to).or_default().push(point.offset);
            } else {
                open.extend(index(points, way.to));
            }
        }
    }
}
