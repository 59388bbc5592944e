// SPDX-License-Identifier: GPL-2.0 OR MIT

//! How far SP can be from the CFA where the CFA comes from x29.

use super::words::*;
use super::*;

const RECORD: X29 = X29::Record(16);

/// The rule at the call of a function that does this to SP between its prologue and
/// the call. Nothing but that is unproved.
fn at_call(body: &[u32]) -> Rule {
    let words = [
        &[PUSH_16, MOV_FP_SP],
        body,
        &[BLR_X1, MOV_SP_FP, POP_16, RET],
    ]
    .concat();
    let call = 2 + body.len() as u64;
    let cfi = [
        (0, sp(0)),
        (1, sp(16).record(16)),
        (2, fp(16)),
        (call + 3, sp(0)),
    ];
    let proof = Builder::default().function(&words, &cfi).proof();
    assert_eq!(findings(&proof), []);
    let rows = rows(&proof);
    let after = rows.partition_point(|(start, _)| *start <= call);
    rows[after - 1].1
}

fn bounds(least: u32, most: Option<u32>) -> Rule {
    fp(16).with_bounds(RECORD, least, most)
}

/// `and x8, x8, #0x3f0`, as clang 19 and GCC 12 subtract it.
#[test]
fn a_random_offset_is_bounded_by_its_mask() {
    let of_clang = [AND_X8_3F0, MOV_X9_SP, SUB_X9_X8, MOV_SP_X9];
    assert_eq!(at_call(&of_clang), bounds(16, Some(16 + 0x3f0)));
    assert_eq!(
        at_call(&[AND_X8_3F0, SUB_SP_X8]),
        bounds(16, Some(16 + 0x3f0))
    );
}

#[test]
fn a_mask_that_is_rounded_up_is_bounded() {
    let body = [AND_W8_3FC, ADD_W8_15, AND_X8_7F0, SUB_SP_X8];
    assert_eq!(at_call(&body), bounds(16, Some(16 + 0x400)));
}

#[test]
fn a_bit_field_is_bounded_by_its_width() {
    let body = [UBFX_X8_3_6, LSL_X8_4, SUB_SP_X8];
    assert_eq!(at_call(&body), bounds(16, Some(16 + 0x3f0)));
}

/// The frame goes on below an amount that was subtracted.
#[test]
fn a_fixed_part_below_counts_for_both_bounds() {
    let body = [AND_X8_3F0, SUB_SP_X8, SUB_SP_16];
    assert_eq!(at_call(&body), bounds(32, Some(32 + 0x3f0)));
}

#[test]
fn the_fixed_part_is_least_where_nothing_else_is_known() {
    assert_eq!(at_call(&[SUB_SP_X8]), bounds(16, None));
    assert_eq!(at_call(&[SUB_SP_16, SUB_SP_X8]), bounds(32, None));
    assert_eq!(
        at_call(&[SUB_SP_16, MOV_X9_SP, SUB_X9_X8, MOV_SP_X9]),
        bounds(32, None)
    );
    // 63 bits of a number are no bound.
    assert_eq!(at_call(&[LSL_X8_4, SUB_SP_X8]), bounds(16, None));
}

/// What is rounded down is a multiple of 16, as SP and the CFA are.
#[test]
fn an_aligned_frame_is_less_than_the_alignment_larger() {
    assert_eq!(
        at_call(&[SUB_X9_SP_64, ROUND_SP_X9]),
        bounds(80, Some(80 + 48))
    );
}

#[test]
fn paths_that_meet_are_bounded_by_both() {
    assert_eq!(at_call(&[cbz(2), SUB_SP_32]), bounds(16, Some(48)));
    assert_eq!(
        at_call(&[AND_X8_3F0, cbz(2), SUB_SP_X8]),
        bounds(16, Some(16 + 0x3f0))
    );
}

/// It also ends.
#[test]
fn a_loop_has_no_bound() {
    assert_eq!(at_call(&[AND_X8_3F0, SUB_SP_X8, cbz(-2)]), bounds(16, None));
    assert_eq!(at_call(&[SUB_SP_16, cbz(-1)]), bounds(32, None));
}

/// The amount grows in a loop, and SP is moved once.
#[test]
fn a_number_that_grows_in_a_loop_has_no_bound() {
    let body = [AND_W8_3FC, ADD_W8_15, cbz(-1), SUB_SP_X8];
    assert_eq!(at_call(&body), bounds(16, None));
}

/// A saved SP is one of this stack; what else was in the frame nobody knows.
#[test]
fn only_what_was_loaded_elsewhere_is_another_stack() {
    let at = |body: &[u32]| match at_call(body) {
        Rule::Frame(frame) => frame.sp,
        Rule::Unreliable(why) => panic!("{why:?}"),
    };
    assert_eq!(at(&[LDR_X16_X17, OTHER_STACK]), StackPointer::OtherStack);
    assert_eq!(at(&[LDR_X9_FP, MOV_SP_X9]), StackPointer::Anywhere);
    assert_eq!(at(&[MOV_X9_X8, MOV_SP_X9]), StackPointer::Anywhere);
    assert_eq!(
        at(&[LDR_X16_X17, cbz(2), OTHER_STACK]),
        StackPointer::Anywhere
    );
    let moved_on = [LDR_X16_X17, OTHER_STACK, SUB_SP_16];
    assert_eq!(at(&moved_on), StackPointer::Anywhere);
}
