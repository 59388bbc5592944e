// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Ways out of code of which nothing is proved.
//!
//! Whoever branches into the middle of a function, or to a part of one, gives it
//! the state that it has itself. Of this code that is not known, so all that was
//! proved behind such a branch may be wrong. The start of a function is entered as
//! AAPCS64 says, also from here; so is what is called.
//!
//! The row of a leaf says that the return address is in x30. That is where the
//! leaf will return to, in whatever state it was entered, so it stays true.

use super::body::{Body, Place};
use super::facts::Facts;
use super::section::{Entrance, Prover};
use crate::a64::insn::Flow;

/// The ways from `body` into other functions that are not their plain entry.
pub(super) fn ways_out(prover: &Prover<'_>, body: &Body<'_>) -> Vec<Entrance> {
    let mut ways = Vec::new();
    if is_detour(body) {
        return ways;
    }
    let mut add = |place, facts: &Facts| {
        if let Place::Outside(to) = place {
            ways.extend(prover.entrance(to, facts));
        }
    };
    for index in (0..body.len()).filter(|&index| !body.is_data(index)) {
        let patched = body.variants(index).iter().map(|insn| (insn, true));
        for (insn, is_patch) in std::iter::once((body.insn(index), false)).chain(patched) {
            match insn.flow {
                Flow::Jump(by) | Flow::Conditional(by) => {
                    add(body.place(index, by, is_patch), &Facts::NONE);
                }
                Flow::Call(by) => add(body.place(index, by, is_patch), &Facts::entry()),
                _ => {}
            }
        }
        for (place, _) in body.fixups(index) {
            add(*place, &Facts::NONE);
        }
    }
    let last = body.len().checked_sub(1);
    if last.is_some_and(|last| body.insn(last).flow.may_go_on()) {
        add(Place::Outside(body.function.end), &Facts::NONE);
    }
    ways
}

/// Whether this is an instruction that the linker moved away, and a branch back:
/// it belongs to the function that it comes from and goes back to, and is looked
/// at there.
fn is_detour(body: &Body<'_>) -> bool {
    let flow = |index: usize| body.insn(index).flow;
    match body.len().checked_sub(1) {
        Some(last) if last < Body::LONGEST_DETOUR => {
            (0..last).all(|index| flow(index) == Flow::Next) && matches!(flow(last), Flow::Jump(_))
        }
        _ => false,
    }
}
