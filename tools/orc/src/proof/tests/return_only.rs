// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Functions that are left by their return alone.

use super::words::*;
use super::*;
use crate::proof::return_only;
use crate::text::{Fixup, Patch, Target, Trap};

const BODY: Row = sp(16).record(16);

/// The entries that are found, by number of the instruction.
fn marked(builder: &Builder) -> Vec<u64> {
    let (prover, proofs) = Prover::section(&builder.text, || ());
    let entries = return_only::entries(&prover, 0, &proofs);
    entries.iter().map(|at| at / 4).collect()
}

/// A function of one row.
fn leaf(words: &[u32]) -> Builder {
    Builder::default().function(words, &[(0, sp(0))])
}

/// A function with a frame; instruction 2 is in its body.
fn framed(word: u32) -> Builder {
    let words = [PUSH_16, MOV_FP_SP, word, POP_16, RET];
    Builder::default().function(&words, &[(0, sp(0)), (1, BODY), (4, sp(0))])
}

fn patch(at: u64, replacement: &[u32]) -> Patch {
    Patch {
        offset: 4 * at,
        len: 4,
        replacement: replacement.to_vec(),
        targets: Vec::new(),
    }
}

/// Another section of the file.
const ELSEWHERE: Target = Target::Section {
    index: 1,
    offset: 0,
};

#[test]
fn returns_calls_and_branches_inside_are_fine() {
    for word in [NOP, bl(1000), BLR_X1, BRK, cbz(1), cbz(-1), bl(-2)] {
        assert_eq!(marked(&framed(word)), [0], "{word:#x}");
    }
    // One that never returns.
    assert_eq!(marked(&leaf(&[b(0)])), [0]);
}

#[test]
fn each_function_of_a_section_is_looked_at() {
    let builder = leaf(&[RET])
        .function(&[b(1000)], &[(0, sp(0))])
        .function(&[NOP, RET], &[(0, sp(0))]);
    assert_eq!(marked(&builder), [0, 2]);
}

#[test]
fn a_branch_out_is_another_way_out() {
    for word in [b(1000), cbz(1000), b(-1), b(2)] {
        assert_eq!(marked(&leaf(&[word, RET])), [0; 0], "{word:#x}");
    }
}

#[test]
fn a_relocation_says_where_a_branch_goes() {
    let to = |target| {
        let mut builder = leaf(&[cbz(0), RET]);
        builder.text.branches.insert(0, target);
        marked(&builder)
    };
    assert_eq!(to(Target::Local(4)), [0]);
    assert_eq!(to(Target::Local(8)), [0; 0]);
    assert_eq!(to(Target::External), [0; 0]);
    assert_eq!(to(ELSEWHERE), [0; 0]);
}

#[test]
fn what_the_kernel_patches_in_counts() {
    let patched = |replacement: &[u32]| {
        let mut builder = leaf(&[NOP, RET]);
        builder.text.patches.push(patch(0, replacement));
        builder
    };
    assert_eq!(marked(&patched(&[b(1)])), [0]);
    assert_eq!(marked(&patched(&[b(1000)])), [0; 0]);
    let mut jump_label = patched(&[b(0)]);
    jump_label.text.patches[0].targets = vec![(0, ELSEWHERE)];
    assert_eq!(marked(&jump_label), [0; 0]);
    // What only the kernel knows may be a branch.
    assert_eq!(marked(&patched(&[])), [0; 0]);
}

#[test]
fn an_indirect_branch_with_a_frame_is_a_jump_inside() {
    let words = [PUSH_16, MOV_FP_SP, BR_X16, POP_16, RET];
    let cfi = [(0, sp(0)), (1, BODY), (4, sp(0))];
    assert_eq!(marked(&Builder::default().function(&words, &cfi)), [0]);
    // It may be a tail call.
    let words = [PUSH_16, POP_16, BR_X16];
    let cfi = [(0, sp(0)), (1, BODY), (2, sp(0))];
    assert_eq!(marked(&Builder::default().function(&words, &cfi)), [0; 0]);
    assert_eq!(marked(&leaf(&[BR_X16])), [0; 0]);
    // So it may if its targets are named, as they need not be all.
    let mut builder = leaf(&[BR_X16, RET]);
    builder.text.indirect.insert(0, vec![4]);
    assert_eq!(marked(&builder), [0; 0]);
}

#[test]
fn a_fixup_may_lead_out() {
    let to = |target| {
        let mut builder = leaf(&[LDR_X0, RET]);
        builder.text.fixups.push(Fixup {
            offset: 0,
            target,
            written: 0,
        });
        marked(&builder)
    };
    assert_eq!(to(Target::Local(4)), [0]);
    assert_eq!(to(Target::Local(8)), [0; 0]);
    assert_eq!(to(ELSEWHERE), [0; 0]);
}

#[test]
fn another_context_is_no_return() {
    assert_eq!(marked(&leaf(&[cbz(2), ERET, RET])), [0; 0]);
}

#[test]
fn the_end_may_not_be_reached() {
    let next = |words: &[u32]| leaf(words).function(&[b(1000)], &[(0, sp(0))]);
    assert_eq!(marked(&next(&[NOP, RET])), [0]);
    assert_eq!(marked(&next(&[NOP])), [0; 0]);
    assert_eq!(marked(&next(&[RET, NOP])), [0; 0]);
    assert_eq!(marked(&next(&[b(2), RET, cbz(-1)])), [0; 0]);
    // Always taken, as the proof has it: but that is a guess.
    let words = [PUSH_16, cbz(3), POP_16, RET, NOP, cbz(-3)];
    let cfi = [(0, sp(0)), (1, BODY), (3, sp(0)), (4, BODY)];
    let builder = Builder::default().function(&words, &cfi);
    assert_eq!(builder.proof().counts.dead_ends, 1);
    assert_eq!(marked(&builder), [0; 0]);
}

/// A function that ends in this word, and a part of it that it may run into.
fn ends_in(word: u32, callee: &[u32]) -> Builder {
    Builder::default()
        .function(callee, &[(0, sp(0))])
        .function(&[PUSH_16, MOV_FP_SP, word], &[(0, sp(0)), (1, BODY)])
        .function(&[POP_16, RET], &[(0, BODY), (1, sp(0))])
}

#[test]
fn a_call_at_the_end_must_be_one_that_does_not_return() {
    for (word, callee, is_marked) in [
        (bl(1000), RET, true),
        (bl(-3), b(0), true),
        (bl(-3), RET, false),
        (BLR_X1, RET, false),
    ] {
        let builder = ends_in(word, &[callee]);
        assert_eq!(findings(&builder.prove()[1]), []);
        assert_eq!(marked(&builder).contains(&1), is_marked, "{word:#x}");
    }
}

#[test]
fn a_trap_at_the_end_must_be_one_that_is_not_skipped() {
    let mut builder = ends_in(BRK, &[RET]);
    assert!(!marked(&builder).contains(&1), "nothing says so");
    builder.text.traps.insert(12, Trap::Warning);
    assert!(!marked(&builder).contains(&1));
    builder.text.traps.insert(12, Trap::Bug);
    assert!(marked(&builder).contains(&1));
}

#[test]
fn a_long_function_is_marked() {
    let mut all = vec![NOP; 20_000];
    all.extend([PUSH_16, cbz(2), bl(1000), b(-1)]);
    let cfi = [(0, sp(0)), (20_001, BODY)];
    assert_eq!(marked(&Builder::default().function(&all, &cfi)), [0]);
}

#[test]
fn what_a_linker_has_moved_away_is_outside() {
    let words = [PUSH_16, MOV_FP_SP, b(3), POP_16, RET];
    let cfi = [(0, sp(0)), (1, BODY), (4, sp(0))];
    let mut builder = Builder::default().function(&words, &cfi);
    builder.add(&[LDR_X0, b(-3)], Kind::Func, None);
    builder.text.functions[1].name = "__CortexA53843419_FFFF800080012004".into();
    assert_eq!(findings(&builder.prove()[0]), []);
    assert_eq!(marked(&builder), [0; 0]);
}

#[test]
fn it_is_entered_at_its_entry_alone() {
    let leaf = || leaf(&[NOP, NOP, RET]);
    // A tail call or a call of it, and one of another function.
    for word in [b(-3), bl(-3), b(1000)] {
        let builder = leaf().function(&[word, b(0)], &[(0, sp(0))]);
        assert!(marked(&builder).contains(&0), "{word:#x}");
    }
    for word in [b(-2), cbz(-2), bl(-2)] {
        let builder = leaf().function(&[word, b(0)], &[(0, sp(0))]);
        assert!(!marked(&builder).contains(&0), "{word:#x}");
        assert!(!marked(&leaf().assembly(&[word, RET])).contains(&0));
        // From what is no function.
        let mut builder = leaf();
        builder.text.bytes.extend(word.to_le_bytes());
        assert_eq!(marked(&builder), [0; 0], "{word:#x}");
    }
    let mut builder = leaf();
    builder.text.entries = vec![4];
    assert_eq!(marked(&builder), [0; 0], "a function inside");
}

#[test]
fn another_section_may_lead_in() {
    let with = |offset| {
        let one = leaf(&[NOP, NOP, RET]);
        let mut other = leaf(&[b(0)]);
        other.text.index = 1;
        let to = Target::Section { index: 0, offset };
        other.text.branches.insert(0, to);
        let texts = (vec![&one.text], vec![&other.text]);
        let (prover, proofs) = Prover::file(texts.0, texts.1, || ());
        return_only::entries(&prover, 0, &proofs[0])
    };
    assert_eq!(with(0), [0]);
    assert_eq!(with(4), [0; 0]);
}

#[test]
fn a_part_of_a_function_is_not_called() {
    let builder = framed(cbz(3)).function(&[bl(1000)], &[(0, BODY)]);
    assert_eq!(builder.prove()[1].return_only, Some(20));
    assert_eq!(marked(&builder), [0; 0]);
    let mut builder = leaf(&[cbz(2), RET]).function(&[RET], &[(0, sp(0))]);
    builder.text.continued = vec![8];
    assert_eq!(builder.prove()[1].return_only, Some(8));
    assert_eq!(marked(&builder), [0; 0]);
}

#[test]
fn a_leaf_without_cfi_is_marked() {
    let assembly = |words: &[u32]| marked(&Builder::default().assembly(words));
    assert_eq!(assembly(&[cbz(2), RET, RET]), [0]);
    // It is none, or does not return, or to somewhere else.
    assert_eq!(assembly(&[bl(1000), RET]), [0; 0]);
    assert_eq!(assembly(&[cbz(1000), RET]), [0; 0]);
    assert_eq!(assembly(&[b(1000)]), [0; 0]);
    assert_eq!(assembly(&[RET_X9]), [0; 0]);
    // It is entered elsewhere, too.
    let entered = Builder::default()
        .assembly(&[NOP, NOP, RET])
        .assembly(&[b(-2)]);
    assert_eq!(marked(&entered), [0; 0]);
}

#[test]
fn what_is_not_described_and_proved_is_not_marked() {
    let unusable = Claims::Unsupported("CFA is an expression".into());
    let mut builder = Builder::default();
    builder.add(&[RET], Kind::Func, Some(unusable));
    assert_eq!(marked(&builder), [0; 0]);
    // Not a return to where it was called from.
    assert_eq!(marked(&leaf(&[RET_X9])), [0; 0]);
    // What is never reached.
    assert_eq!(marked(&leaf(&[RET, NOP, RET])), [0; 0]);
}

#[test]
fn calls_go_to_the_symbol() {
    let code = |words: &[u32], entries: &[u64]| {
        let mut builder = leaf(words);
        builder.text.functions[0].kind = Kind::Code;
        builder.text.entries = entries.to_vec();
        builder
    };
    let words = [NOP, NOP, SUB_X0, cbz(0), RET];
    assert_eq!(marked(&code(&words, &[])), [0; 0], "no symbol");
    assert_eq!(marked(&code(&words, &[8])), [2]);
    assert_eq!(marked(&code(&words, &[8, 12])), [0; 0], "two");
    assert_eq!(marked(&code(&words, &[12])), [0; 0], "not after padding");
    // A branch to the padding leads out of what calls enter.
    let words = [NOP, NOP, SUB_X0, cbz(-2), RET];
    assert_eq!(marked(&code(&words, &[8])), [0; 0]);
    // A call of it goes to where it may be entered.
    let words = [NOP, NOP, RET];
    let called = code(&words, &[8]).function(&[bl(-1), b(0)], &[(0, sp(0))]);
    assert!(marked(&called).contains(&2));
    let called = code(&words, &[8]).function(&[bl(-2), b(0)], &[(0, sp(0))]);
    assert!(!marked(&called).contains(&2));
}
