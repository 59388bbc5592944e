// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The assumptions that a single instruction can need: of the list in
//! [`crate::proof`], those about memory and SP.

use super::finding::Counts;
use crate::graph::Body;

use super::facts::Facts;

/// What is assumed of an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Assumption {
    /// A3.
    StoreElsewhere,
    /// A4.
    StoreInArray,
    /// A5.
    SpByRunTime,
    /// A13.
    OtherStack,
}

/// Counts what the instruction at `index`, before which `facts` are known, rests on, in
/// each of its variants.
pub(super) fn count(body: &Body<'_>, index: usize, facts: &Facts, counts: &mut Counts) {
    let insn = body.insn(index);
    if body.only_goes_on(index) && !insn.step.may_change_frame() {
        return;
    }
    let variants = body.variants(index).iter().map(|variant| &variant.insn);
    for insn in std::iter::once(insn).chain(variants) {
        if !insn.step.may_change_frame() {
            continue;
        }
        let counter = match facts.relies_on(&insn.step) {
            Some(Assumption::StoreElsewhere) => &mut counts.stores_elsewhere,
            Some(Assumption::StoreInArray) => &mut counts.stores_in_arrays,
            Some(Assumption::SpByRunTime) => &mut counts.sp_by_run_time,
            Some(Assumption::OtherStack) => &mut counts.other_stacks,
            None => continue,
        };
        *counter += 1;
    }
}
