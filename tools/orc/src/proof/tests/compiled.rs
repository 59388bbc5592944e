// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What compilers emit, and rows that must come out of it.

use super::words::*;
use super::*;

/// GCC's usual function: SP-based rows, one for the whole body.
const BODY: [u32; 7] = [PACIASP, PUSH_32, MOV_FP_SP, bl(1000), POP_32, AUTIASP, RET];
const BODY_ROWS: [(u64, Row); 3] = [(0, sp(0)), (2, sp(32).record(32)), (5, sp(0))];

#[test]
fn splits_a_row_where_x29_changes() {
    let proof = Builder::default().function(&BODY, &BODY_ROWS).proof();
    assert_eq!(
        rows(&proof),
        [
            (0, ENTRY),
            (2, signed(sp(32).record(32).with(X29::Caller), Some(true))),
            (
                3,
                signed(sp(32).record(32).with(X29::Record(32)), Some(true))
            ),
            (5, ENTRY),
        ]
    );
    assert_eq!(findings(&proof), []);
    assert_eq!((proof.counts.instructions, proof.counts.proved), (7, 7));
    assert_eq!(proof.counts.assumed, 0);
}

#[test]
fn proves_x29_based_rows() {
    let rows_of_clang = [(0, sp(0)), (1, sp(16)), (2, fp(16)), (4, sp(16).record(16))];
    let words = [PUSH_16, MOV_FP_SP, SUB_SP_32, MOV_SP_FP, POP_16, RET];
    let cfi = [&rows_of_clang[..], &[(5, sp(0))]].concat();
    let proof = Builder::default().function(&words, &cfi).proof();
    // By SP, which is known: the walk can then tell when x29 is not what it was.
    let record = sp(16).record(16);
    let by_sp = Row {
        offset: 48,
        ..record
    };
    assert_eq!(
        rows(&proof),
        [
            (0, ENTRY),
            (1, sp(16).with(X29::Caller)),
            (2, record.with(X29::Record(16))),
            (3, by_sp.with(X29::Record(16))),
            (4, record.with(X29::Record(16))),
            (5, ENTRY),
        ]
    );
}

#[test]
fn takes_a_popped_slot_for_the_register_that_was_loaded() {
    // Clang: .cfi_def_cfa_offset 0 after the ldp, .cfi_restore after the autiasp.
    // An interrupt at the autiasp overwrites the slot; x30 has what was in it.
    let cfi = [
        (0, sp(0)),
        (2, sp(32).record(32)),
        (5, sp(0).record(32)),
        (6, sp(0)),
    ];
    let proof = Builder::default().function(&BODY, &cfi).proof();
    assert_eq!(rows(&proof).last(), Some(&(5, ENTRY)));
    assert_eq!(findings(&proof), []);
}

#[test]
fn a_popped_slot_must_have_held_what_is_claimed() {
    let cfi = [
        (0, sp(0)),
        (2, sp(32).record(32)),
        (5, sp(0).record(48)),
        (6, sp(0)),
    ];
    let proof = Builder::default().function(&BODY, &cfi).proof();
    assert_eq!(findings(&proof), [(5, 1, Class::LateRow)]);
    assert_eq!(rows(&proof)[3..], [(5, NOT_PROVED), (6, ENTRY)]);
}

#[test]
fn proves_each_of_several_returns() {
    let words = [PUSH_16, cbz(3), POP_16, RET, NOP, POP_16, RET];
    let body = sp(16).record(16);
    let cfi = [(0, sp(0)), (1, body), (3, sp(0)), (4, body), (6, sp(0))];
    let proof = Builder::default().function(&words, &cfi).proof();
    // The branch goes to 4.
    assert_eq!(findings(&proof), []);
    assert_eq!(proof.counts.proved, 7);
}

#[test]
fn enters_a_jump_table_block_with_its_claim() {
    let words = [
        PUSH_16, MOV_FP_SP, BR_X16, // to 3 or to 5
        POP_16, RET, NOP, POP_16, RET,
    ];
    let body = sp(16).record(16);
    let cfi = [(0, sp(0)), (1, body), (4, sp(0)), (5, body), (7, sp(0))];
    let proof = Builder::default().function(&words, &cfi).proof();
    assert_eq!(findings(&proof), []);
    let counts = proof.counts;
    assert_eq!((counts.proved, counts.assumed), (8, 5));
    let assumed: u64 = proof
        .assumed
        .iter()
        .map(|run| (run.end - run.start) / 4)
        .sum();
    assert_eq!(assumed, 5);
    assert_eq!(counts.entered_by_claim, 2);
    // Completed by what holds at the branch: x29 is the record, which it is not
    // at 1, where the same row holds.
    assert!(rows(&proof).contains(&(5, body.with(X29::Record(16)))));
}

#[test]
fn follows_an_indirect_branch_whose_targets_are_known() {
    let words = [
        PUSH_16, MOV_FP_SP, BR_X16, POP_16, RET, // 3
        NOP, BR_X16, POP_16, RET, // 5, to 7
    ];
    let body = sp(16).record(16);
    let cfi = [(0, sp(0)), (1, body), (4, sp(0)), (5, body), (8, sp(0))];
    let counts = |indirect: &[(u64, u64)]| {
        let mut builder = Builder::default().function(&words, &cfi);
        let known = indirect.iter().map(|(from, to)| (4 * from, vec![4 * to]));
        builder.text.indirect = known.collect();
        let proof = builder.proof();
        assert_eq!(findings(&proof), []);
        (proof.counts.entered_by_claim, proof.counts.assumed)
    };
    // 7 follows an indirect branch, so nothing is known to lead there, either.
    assert_eq!(counts(&[]), (3, 6));
    assert_eq!(counts(&[(2, 3)]), (2, 4));
    assert_eq!(counts(&[(2, 3), (6, 7)]), (1, 4));
    assert_eq!(counts(&[(2, 5), (6, 7)]), (1, 2));
}

#[test]
fn drops_the_edge_after_a_call_that_does_not_return() {
    // 4 is reached from 0 alone, without a frame.
    let words = [cbz(4), PUSH_16, MOV_FP_SP, bl(1000), RET];
    let cfi = [(0, sp(0)), (2, sp(16).record(16)), (4, sp(0))];
    let proof = Builder::default().function(&words, &cfi).proof();
    assert_eq!(findings(&proof), []);
    assert_eq!(proof.counts.no_return, 1);
    assert_eq!(proof.counts.assumed, 0);
}

#[test]
fn a_call_may_end_the_function() {
    let words = [PUSH_16, MOV_FP_SP, bl(1000)];
    let cfi = [(0, sp(0)), (1, sp(16).record(16))];
    let proof = Builder::default().function(&words, &cfi).proof();
    assert_eq!(findings(&proof), []);
}

/// gic_peek_irq() of GCC 12: a `switch` whose default is `unreachable()`.
fn dead_end(last: u32) -> Builder {
    let words = [PUSH_16, cbz(3), POP_16, RET, NOP, last];
    let body = sp(16).record(16);
    let cfi = [(0, sp(0)), (1, body), (3, sp(0)), (4, body)];
    Builder::default().function(&words, &cfi)
}

#[test]
fn a_conditional_branch_that_ends_a_function_is_always_taken() {
    let padding = |mut builder: Builder| {
        builder.text.bytes.extend(NOP.to_le_bytes());
        builder
    };
    for builder in [dead_end(cbz(-3)), padding(dead_end(cbz(-3)))] {
        let proof = builder.proof();
        assert_eq!(findings(&proof), []);
        assert_eq!(proof.counts.dead_ends, 1);
    }
    let next = dead_end(cbz(-3)).function(&[RET], &[(0, sp(0))]).prove();
    assert_eq!(findings(&next[0]), []);
    assert_eq!(findings(&next[1]), []);
    assert_eq!(next[0].counts.dead_ends, 1);
}

#[test]
fn nothing_else_may_end_a_function() {
    let falls = [(5, 1, Class::FallsThrough)];
    assert_eq!(findings(&dead_end(NOP).proof()), falls);
    // Into data of its own.
    let mut builder = dead_end(cbz(-3));
    builder.text.functions[0].end += 4;
    builder.text.bytes.extend([0; 4]);
    builder.text.data.push(24..28);
    assert_eq!(findings(&builder.proof()), falls);
    // A cold part is entered by its function: here in the wrong state, here in
    // the right one, and that is no assumption.
    let cold = |row| dead_end(cbz(-3)).function(&[b(-4)], &[(0, row)]).prove();
    assert_eq!(findings(&cold(sp(32).record(16))[0]), falls);
    let right = cold(sp(16).record(16));
    assert_eq!((findings(&right[0]), findings(&right[1])), (vec![], vec![]));
    assert_eq!(right[0].counts.dead_ends, 0);
}

/// GCC's CFI starts behind the NOPs for ftrace, and the symbol before them.
#[test]
fn nops_before_a_described_function_run_into_it() {
    let proofs = Builder::default()
        .assembly(&[NOP, NOP])
        .function(&BODY, &[(0, sp(0)), (2, sp(32).record(32)), (5, sp(0))])
        .prove();
    assert_eq!(rows(&proofs[0]), [(0, ENTRY)]);
    assert_eq!(findings(&proofs[1]), []);
    // Not in another state than that of an entry.
    let proofs = Builder::default()
        .assembly(&[NOP, NOP])
        .function(&[NOP, RET], &[(0, sp(16))])
        .prove();
    assert_eq!(rows(&proofs[0]), [(0, NO_CFI)]);
}

#[test]
fn continues_after_a_trap() {
    let words = [PUSH_16, MOV_FP_SP, BRK, POP_16, RET];
    let cfi = [(0, sp(0)), (1, sp(16).record(16)), (4, sp(0))];
    let proof = Builder::default().function(&words, &cfi).proof();
    assert_eq!(findings(&proof), []);
    assert_eq!(proof.counts.assumed, 0);
}

#[test]
fn allows_a_tail_call() {
    let words = [PUSH_16, POP_16, b(1000)];
    let cfi = [(0, sp(0)), (1, sp(16).record(16)), (2, sp(0))];
    let proof = Builder::default().function(&words, &cfi).proof();
    assert_eq!(findings(&proof), []);
}

#[test]
fn follows_the_shadow_call_stack() {
    let words = [SCS_PUSH, PUSH_16, MOV_FP_SP, bl(1000), POP_16, SCS_POP, RET];
    let cfi = [(0, sp(0)), (2, sp(16).record(16)), (5, sp(0))];
    let proof = Builder::default().function(&words, &cfi).proof();
    assert_eq!(findings(&proof), []);
    let unbalanced = [SCS_PUSH, PUSH_16, MOV_FP_SP, SCS_PUSH, POP_16, SCS_POP, RET];
    let proof = Builder::default().function(&unbalanced, &cfi).proof();
    assert_eq!(findings(&proof), [(6, 1, Class::CallWithoutFrame)]);
}

#[test]
fn follows_a_large_frame() {
    let words = [
        MOV_X12_4128,
        SUB_SP_X12,
        STORE_RECORD,
        MOV_FP_SP,
        bl(1000),
        MOV_X12_4128,
        LOAD_RECORD,
        ADD_SP_X12,
        RET,
    ];
    let saved = sp(4128).record(4128);
    let cfi = [
        (0, sp(0)),
        (2, sp(4128)),
        (3, saved),
        (7, sp(4128)),
        (8, sp(0)),
    ];
    let proof = Builder::default().function(&words, &cfi).proof();
    assert_eq!(findings(&proof), []);
    assert_eq!(proof.counts.proved, 9);
}

#[test]
fn stores_beside_the_record_are_harmless() {
    let words = [PUSH_32, SAVE_X19, STR_X0_SP_X1, LOAD_X19, POP_32, RET];
    let cfi = [(0, sp(0)), (1, sp(32).record(32)), (5, sp(0))];
    let proof = Builder::default().function(&words, &cfi).proof();
    assert_eq!(findings(&proof), []);
}

#[test]
fn dynamic_stack_allocation_keeps_x29_based_rows() {
    // RANDOMIZE_KSTACK_OFFSET: SP goes down by an unknown amount.
    let words = [
        PUSH_16,
        MOV_FP_SP,
        SUB_SP_X12,
        bl(1000),
        MOV_SP_FP,
        POP_16,
        RET,
    ];
    let cfi = [(0, sp(0)), (1, sp(16).record(16)), (2, fp(16)), (6, sp(0))];
    let proof = Builder::default().function(&words, &cfi).proof();
    assert_eq!(findings(&proof), []);
}

#[test]
fn gives_the_facts_behind_a_row() {
    let builder = Builder::default().function(&BODY, &BODY_ROWS);
    let facts = Prover::new(&builder.text).facts(0, 0);
    assert_eq!(facts.len(), 7);
    assert_eq!(
        facts[3].1.to_string(),
        "sp=CFA-32, x29=CFA-32, x30=return address, \
         slots: [CFA-32]=caller's x29 [CFA-24]=return address"
    );
    assert!(facts[4].1.to_string().contains("x30=unknown"));
}
