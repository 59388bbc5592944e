// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Assembly: leaves without CFI, and functions with CFI written by hand.

use super::words::*;
use super::*;
use crate::text::{Fixup, Target};

fn rule(words: &[u32]) -> Vec<(u64, Rule)> {
    rows(&Builder::default().assembly(words).proof())
}

#[test]
fn a_leaf_gets_its_row() {
    assert_eq!(rule(&[LDR_X0, RET]), [(0, ENTRY)]);
    let proof = Builder::default().assembly(&[LDR_X0, RET]).proof();
    assert_eq!((proof.counts.leaf, proof.counts.instructions), (2, 0));
}

#[test]
fn a_leaf_may_loop_and_tail_call() {
    assert_eq!(rule(&[SUB_X0, cbz(-1), cbz(2), b(1000), RET]), [(0, ENTRY)]);
}

#[test]
fn a_leaf_may_have_a_fixup_that_only_a_fault_reaches() {
    let mut builder = Builder::default().assembly(&[LDR_X0, RET, SUB_X0, RET]);
    assert_eq!(rows(&builder.proof()), [(0, ENTRY)]);
    assert_eq!(builder.proof().counts.entered_by_claim, 1);
    builder.text.fixups.push(Fixup {
        offset: 0,
        target: Target::Local(8),
        written: 1,
    });
    assert_eq!(rows(&builder.proof()), [(0, ENTRY)]);
    assert_eq!(builder.proof().counts.entered_by_claim, 0);
}

#[test]
fn what_is_no_leaf_is_refused() {
    use NoLeaf::{Calls, ChangesFrame, ReturnsElsewhere, RunsOn};
    for (words, why) in [
        (&[PUSH_16, POP_16, RET][..], ChangesFrame),
        (&[MOV_X19_LR, bl(1000), MOV_LR_X19, RET], Calls),
        (&[SUB_SP_16, ADD_SP_16, RET], ChangesFrame),
        (&[MOV_FP_X0, RET], ChangesFrame),
        (&[MOV_LR_X8, RET], ChangesFrame),
        (&[BLR_X1, RET], Calls),
        (&[NOP, RET_X9], ReturnsElsewhere),
        (&[NOP, ERET], ReturnsElsewhere),
        // The last instruction runs into what is no function.
        (&[NOP, NOP], RunsOn),
        (&[RET, cbz(-1)], RunsOn),
        // A block that nothing reaches is looked at all the same.
        (&[RET, PUSH_16, POP_16, RET], ChangesFrame),
    ] {
        let proof = Builder::default().assembly(words).proof();
        assert_eq!(rows(&proof), [(0, NO_CFI)], "{words:x?}");
        assert_eq!(proof.no_leaf, Some(why), "{words:x?}");
    }
}

#[test]
fn a_leaf_may_not_run_into_its_data() {
    let mut builder = Builder::default().assembly(&[LDR_X0, cbz(2), NOP, RET]);
    builder.text.data.push(8..12);
    assert_eq!(builder.proof().no_leaf, Some(NoLeaf::RunsOn));
}

#[test]
fn a_leaf_may_not_branch_to_where_it_is_not_expected() {
    let proofs = Builder::default()
        .assembly(&[cbz(3), RET])
        .function(
            &[PUSH_16, NOP, POP_16, RET],
            &[(0, sp(0)), (1, sp(16).record(16)), (3, sp(0))],
        )
        .prove();
    assert_eq!(proofs[0].no_leaf, Some(NoLeaf::BranchesOut));
    // Nor may it be gone on with there.
    assert_eq!(findings(&proofs[1])[0].0, 3);
}

#[test]
fn code_without_conventions_is_refused() {
    let mut builder = Builder::default();
    builder.add(&[NOP, RET], Kind::Code, None);
    let proof = builder.proof();
    assert_eq!(proof.rows, [(0, NO_CFI)]);
    assert_eq!(proof.counts.undescribed, 2);
    assert_eq!(proof.no_leaf, Some(NoLeaf::Code));
}

#[test]
fn a_leaf_may_run_into_the_next() {
    let builder = Builder::default().assembly(&[NOP]).assembly(&[LDR_X0, RET]);
    let proofs = builder.prove();
    assert_eq!(rows(&proofs[0]), [(0, ENTRY)]);
    assert_eq!(rows(&proofs[1]), [(1, ENTRY)]);
}

#[test]
fn data_in_the_text_is_a_hole() {
    let mut builder = Builder::default().assembly(&[LDR_X0, RET, PUSH_16, PUSH_16]);
    builder.text.data.push(8..16);
    let hole = Rule::Unreliable(Undescribed::Hole);
    assert_eq!(rows(&builder.proof()), [(0, ENTRY), (2, hole)]);
}

/// `call_on_irq_stack()`: the CFA comes from x29 while SP is on another stack.
#[test]
fn proves_a_switch_of_stacks() {
    let words = [
        PUSH_16,
        MOV_FP_SP,
        LDR_X16_X17,
        OTHER_STACK,
        BLR_X1,
        MOV_SP_FP,
        POP_16,
        RET,
    ];
    let cfi = [(0, sp(0)), (1, sp(16).record(16)), (2, fp(16)), (7, sp(0))];
    let proof = Builder::default().function(&words, &cfi).proof();
    assert_eq!(findings(&proof), []);
    let switched = fp(16).with_sp(X29::Record(16), StackPointer::OtherStack);
    assert!(rows(&proof).contains(&(4, switched)));
}

/// The beginning of `ftrace_caller()`, with a smaller `struct ftrace_regs`.
const TRAMPOLINE: [u32; 13] = [
    BTI_C,
    0x9100_03ea, // mov x10, sp
    0xd101_03ff, // sub sp, sp, #64
    0xf900_0ffd, // str x29, [sp, #24]
    0xf900_13fe, // str x30, [sp, #32]
    0xa903_27fd, // stp x29, x9, [sp, #48]
    0x9100_c3fd, // add x29, sp, #48
    0xa902_7bfd, // stp x29, x30, [sp, #32]
    0x9100_83fd, // add x29, sp, #32
    bl(1000),
    0xf940_0ffd, // ldr x29, [sp, #24]
    NOP,
    ERET,
];

#[test]
fn marks_the_patch_site_while_x9_or_the_record_tells_the_return_address() {
    let returns_to = Location::Slot(32);
    let entry = sp(64);
    let saved = Row {
        return_address: Location::Slot(24),
        caller_fp: Location::Slot(16),
        ..sp(64)
    };
    let early = Row {
        return_address: returns_to,
        ..entry
    };
    let mut builder = Builder::default().function(
        &TRAMPOLINE,
        &[(0, sp(0)), (3, entry), (5, early), (6, saved)],
    );
    if let Some(Claims::Rows(claims)) = &mut builder.text.functions[0].claims {
        signal_frames(claims, true);
    }
    let proof = builder.proof();
    let patch_site = |index: u64| {
        let at = rows(&proof).iter().rposition(|(at, _)| *at <= index);
        match rows(&proof)[at.unwrap()].1 {
            Rule::Frame(frame) => Some((frame.patch_site, frame.x29)),
            Rule::Unreliable(_) => None,
        }
    };
    assert_eq!(patch_site(0), Some((true, X29::Caller)));
    assert_eq!(patch_site(4), Some((true, X29::Caller)));
    assert_eq!(patch_site(5), Some((false, X29::Caller)));
    // [CFA-32] is the return address until the second record overwrites it with
    // x29, and x30 is stored above it again.
    assert_eq!(patch_site(6), None);
    assert_eq!(patch_site(8), Some((true, X29::Record(16))));
    assert_eq!(patch_site(9), Some((true, X29::Record(32))));
    assert_eq!(patch_site(10), Some((true, X29::Record(32))));
    // Without the augmentation, x9 means nothing.
    if let Some(Claims::Rows(claims)) = &mut builder.text.functions[0].claims {
        signal_frames(claims, false);
    }
    assert!(builder
        .proof()
        .rows
        .iter()
        .all(|(_, rule)| !matches!(rule, Rule::Frame(frame) if frame.patch_site)));
}

fn signal_frames(rows: &mut [CfiRow], is_so: bool) {
    for row in rows {
        if let CfiRow::Claim(claim) = row {
            claim.signal_frame = is_so;
        }
    }
}
