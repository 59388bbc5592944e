// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Whether the return address in a slot is signed.

use super::words::*;
use super::*;

/// What the row of the call says of a function that does this before it pushes its
/// record. Nothing of it is unproved.
fn saved_after(body: &[u32]) -> Option<bool> {
    let words = [body, &[PUSH_16, MOV_FP_SP, BLR_X1, POP_16, RET]].concat();
    let push = body.len() as u64;
    let saved = sp(16).record(16);
    let cfi = [(0, sp(0)), (push + 1, saved), (push + 4, sp(0))];
    let proof = Builder::default().function(&words, &cfi).proof();
    assert_eq!(findings(&proof), []);
    let rows = rows(&proof);
    let after = rows.partition_point(|(start, _)| *start <= push + 2);
    match rows[after - 1].1 {
        Rule::Frame(frame) => frame.signed,
        Rule::Unreliable(why) => panic!("{why:?}"),
    }
}

#[test]
fn the_instruction_before_the_push_decides() {
    assert_eq!(saved_after(&[]), Some(false));
    assert_eq!(saved_after(&[PACIASP]), Some(true));
    assert_eq!(saved_after(&[PACIASP, AUTIASP]), Some(false));
    assert_eq!(saved_after(&[MOV_X8_LR, PACIASP, MOV_LR_X8]), Some(false));
    assert_eq!(saved_after(&[PACIASP, MOV_X8_LR, MOV_LR_X8]), Some(true));
}

#[test]
fn other_codes_are_not_known() {
    assert_eq!(saved_after(&[PACIBSP]), None);
    assert_eq!(saved_after(&[PACIASP, PACIASP]), None);
    assert_eq!(saved_after(&[AUTIASP]), None);
    // With another modifier than the CFA.
    assert_eq!(saved_after(&[PACIBSP, AUTIASP]), None);
}

#[test]
fn a_modifier_that_is_not_the_cfa_is_not_known() {
    let words = [SUB_SP_16, PACIASP, PUSH_16, BLR_X1, POP_16, ADD_SP_16, RET];
    let whole = sp(32).record(32);
    let cfi = [(0, sp(0)), (1, sp(16)), (3, whole), (5, sp(16)), (6, sp(0))];
    let proof = Builder::default().function(&words, &cfi).proof();
    assert_eq!(findings(&proof), []);
    let row = signed(whole.with(X29::Caller), None);
    assert!(rows(&proof).contains(&(3, row)), "{:?}", rows(&proof));
}

/// No row is lost where paths meet.
#[test]
fn paths_that_disagree_are_not_known() {
    assert_eq!(saved_after(&[cbz(2), PACIASP]), None);
    assert_eq!(saved_after(&[PACIASP, cbz(2), AUTIASP]), None);
    assert_eq!(saved_after(&[PACIASP, cbz(2), NOP]), Some(true));
}
