// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Each assumption of the list is counted where it is relied on, and nowhere else.

use super::words::*;
use super::*;
use crate::proof::Counts;

const BODY: Row = sp(16).record(16);
const LDR_X9_X1: u32 = 0xf940_0029;
const SUB_SP_X1: u32 = 0xcb21_63ff;

/// What is counted where these are the instructions between prologue and epilogue.
fn counts(body: &[u32]) -> Counts {
    let mut words = vec![PUSH_16, MOV_FP_SP];
    words.extend(body);
    words.extend([MOV_SP_FP, POP_16, RET]);
    let end = words.len() as u64 - 1;
    let cfi = [(0, sp(0)), (1, BODY), (2, fp(16)), (end, sp(0))];
    Builder::default().function(&words, &cfi).proof().counts
}

/// The counters that [`counts`] leaves at other values than those without a body.
fn relied(body: &[u32]) -> Vec<(&'static str, u64)> {
    let counts = counts(body);
    let all = [
        ("A1", counts.calls),
        ("A2", counts.entries - 1),
        ("A3", counts.stores_elsewhere),
        ("A4", counts.stores_in_arrays),
        ("A5", counts.sp_by_run_time),
        ("A6", counts.entered_by_claim),
        ("A7", counts.no_return + counts.calls_at_end),
        ("A8", counts.dead_ends),
        ("A9", counts.opaque_sites),
        ("A10", counts.veneers),
        ("A11", counts.kept_over_calls),
        ("A12", counts.parts),
        ("A13", counts.other_stacks),
    ];
    all.into_iter().filter(|(_, count)| *count != 0).collect()
}

#[test]
fn a_frame_relies_on_its_entry_alone() {
    assert_eq!(relied(&[]), []);
    assert_eq!(relied(&[NOP, LDR_X0, SUB_X0]), []);
    assert_eq!(counts(&[]).entries, 1);
}

#[test]
fn calls_are_counted() {
    assert_eq!(relied(&[bl(1000), BLR_X1]), [("A1", 2)]);
}

#[test]
fn stores_are_counted_by_what_their_address_is_made_of() {
    // By x0, as it came; by SP and an index; by x29 and SP, and numbers that are known.
    assert_eq!(relied(&[STR_XZR_X0]), [("A3", 1)]);
    assert_eq!(relied(&[STR_XZR_SP_X1]), [("A4", 1)]);
    assert_eq!(relied(&[SUB_SP_32, STR_X0_SP_8]), []);
    assert_eq!(relied(&[SUB_SP_32, ADD_X0_SP_8, STR_XZR_X0]), []);
    // x0 is SP plus x1.
    assert_eq!(relied(&[MOV_X2_SP, ADD_X0_X1_X2, STR_XZR_X0]), [("A4", 1)]);
    // It is one of two, of which one is not of this frame.
    let one = [MOV_X2_SP, CSEL_X0_X0_X2, STR_XZR_X0];
    assert_eq!(relied(&one), [("A3", 1)]);
}

#[test]
fn moves_of_sp_are_counted_if_run_time_tells_how_far() {
    assert_eq!(relied(&[SUB_SP_X1]), [("A5", 1)]);
    assert_eq!(relied(&[MOV_X12_4128, SUB_SP_X12]), []);
    assert_eq!(relied(&[LDR_X9_X1, MOV_SP_X9]), [("A13", 1)]);
}

#[test]
fn a_part_is_counted_as_no_entry() {
    let part = Builder::default().function(&[POP_16, RET], &[(0, BODY), (1, sp(0))]);
    let counts = part.proof().counts;
    assert_eq!((counts.entries, counts.parts), (0, 1));
}

#[test]
fn a_leaf_relies_on_its_entry_and_its_stores() {
    let counts = Builder::default()
        .assembly(&[STR_XZR_X0, RET])
        .proof()
        .counts;
    assert_eq!((counts.leaf, counts.entries), (2, 1));
    assert_eq!((counts.stores_elsewhere, counts.parts), (1, 0));
}
