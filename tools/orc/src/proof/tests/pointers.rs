// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Stores through addresses that are made of SP, or of the caller's x29.

use super::words::*;
use super::*;

const BODY: Row = sp(16).record(16);

/// Whether the record outlives these words in a function with a frame of 16 bytes.
fn is_kept(words: &[u32]) -> bool {
    let all: Vec<u32> = [PUSH_16, MOV_FP_SP]
        .iter()
        .chain(words)
        .chain(&[NOP, POP_16, RET])
        .copied()
        .collect();
    let end = all.len() as u64;
    let cfi = [(0, sp(0)), (1, BODY), (end - 1, sp(0))];
    findings(&Builder::default().function(&all, &cfi).proof()).is_empty()
}

#[test]
fn a_store_by_known_sums_hits_the_record() {
    assert!(is_kept(&[MOV_X2_SP, MOV_X1_8]));
    assert!(!is_kept(&[MOV_X2_SP, MOV_X1_8, ADD_X0_X1_X2, STR_XZR_X0]));
    assert!(!is_kept(&[MOV_X2_SP, ORR_X0_X2_8, STR_XZR_X0]));
    assert!(!is_kept(&[MOV_X1_8, STR_XZR_SP_X1]));
    // By an amount that is not known it is one into a local array.
    assert!(is_kept(&[MOV_X2_SP, ADD_X0_X1_X2, STR_XZR_X0]));
    assert!(is_kept(&[STR_XZR_SP_X1]));
}

#[test]
fn a_store_through_one_of_two_addresses_hits_both() {
    assert!(!is_kept(&[MOV_X0_SP, cbz(2), ADD_X0_SP_8, STR_XZR_X0]));
    assert!(!is_kept(&[
        MOV_X2_SP,
        ADD_X0_SP_8,
        CSEL_X0_X0_X2,
        STR_XZR_X0
    ]));
    // One of them may be no address in this stack.
    assert!(!is_kept(&[cbz(2), ADD_X0_SP_8, STR_XZR_X0]));
    assert!(is_kept(&[cbz(2), NOP, STR_XZR_X0]));
}

#[test]
fn a_loop_over_an_array_stays_in_it() {
    // Below the record, from [sp] up.
    let words = [SUB_SP_32, MOV_X0_SP, STR_XZR_X0_POST, cbz(-1), ADD_SP_32];
    let all: Vec<u32> = [PUSH_16, MOV_FP_SP]
        .into_iter()
        .chain(words)
        .chain([POP_16, RET])
        .collect();
    let frame = sp(48).record(16);
    let cfi = [(0, sp(0)), (1, BODY), (3, frame), (7, BODY), (8, sp(0))];
    assert_eq!(
        findings(&Builder::default().function(&all, &cfi).proof()),
        []
    );
    // Not if it starts at the record.
    assert!(!is_kept(&[MOV_X0_SP, STR_XZR_X0_POST, cbz(-1)]));
}

#[test]
fn a_store_through_the_callers_x29_may_hit_anything() {
    let row = Row {
        caller_fp: Location::Register,
        ..BODY
    };
    let is_kept = |word: &[u32]| {
        let words: Vec<u32> = [SUB_SP_16, STR_LR_SP_8]
            .iter()
            .chain(word)
            .chain(&[NOP, LDR_LR_SP_8, ADD_SP_16, RET])
            .copied()
            .collect();
        let end = words.len() as u64;
        let cfi = [
            (0, sp(0)),
            (1, sp(16)),
            (2, row),
            (end - 2, sp(16)),
            (end - 1, sp(0)),
        ];
        findings(&Builder::default().function(&words, &cfi).proof()).is_empty()
    };
    assert!(is_kept(&[NOP]));
    assert!(!is_kept(&[DC_ZVA_FP]));
    assert!(!is_kept(&[ADD_X0_FP_8, STR_XZR_X0]));
    assert!(!is_kept(&[ADD_X0_FP_8, CSEL_X0_X0_X2, STR_XZR_X0]));
}

#[test]
fn x29_may_be_an_ordinary_register() {
    // Clang uses it so where x18 is the shadow call stack's.
    let words = [
        SUB_SP_16,
        STR_FP_SP_8,
        ADD_FP_X0_W1,
        STRB_FP,
        LDR_FP_SP_8,
        ADD_SP_16,
        RET,
    ];
    let row = Row {
        caller_fp: Location::Slot(8),
        ..sp(16)
    };
    let cfi = [(0, sp(0)), (1, sp(16)), (2, row), (5, sp(16)), (6, sp(0))];
    assert_eq!(
        findings(&Builder::default().function(&words, &cfi).proof()),
        []
    );
}

#[test]
fn sp_that_goes_up_by_an_amount_pops_the_record() {
    let cfi = [(0, sp(0)), (1, BODY), (2, fp(16))];
    let proof = |change| {
        let words = [PUSH_16, MOV_FP_SP, change, NOP, MOV_SP_FP, b(0)];
        Builder::default().function(&words, &cfi).proof()
    };
    assert_eq!(findings(&proof(SUB_SP_X8)), []);
    assert_eq!(findings(&proof(ADD_SP_X1))[0].0, 3);
}

#[test]
fn a_frame_may_be_as_large_as_a_bitmask_says() {
    let words = [
        PUSH_16,
        MOV_FP_SP,
        ORR_X12_30000,
        SUB_SP_X12,
        NOP,
        ADD_SP_X12,
        POP_16,
        RET,
    ];
    let large = sp(0x3_0010).record(16);
    let cfi = [(0, sp(0)), (1, BODY), (4, large), (6, BODY), (7, sp(0))];
    assert_eq!(
        findings(&Builder::default().function(&words, &cfi).proof()),
        []
    );
}
