// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Sites that the running kernel rewrites.

use super::words::*;
use super::*;
use crate::text::{Fixup, Patch, Target};

fn patched(words: &[u32], cfi: &[(u64, Row)], at: u64, replacement: &[u32]) -> Builder {
    let mut builder = Builder::default().function(words, cfi);
    builder.text.patches.push(Patch {
        offset: 4 * at,
        len: 4 * replacement.len() as u64,
        replacement: replacement.to_vec(),
        targets: Vec::new(),
    });
    builder
}

const BODY: Row = sp(16).record(16);

#[test]
fn an_alternative_that_does_the_same_is_fine() {
    let cfi = [(0, sp(0)), (2, BODY), (3, sp(0))];
    let words = [NOP, PUSH_16, POP_16, RET];
    let proof = patched(&words, &cfi, 0, &[PACIASP]).proof();
    assert_eq!(findings(&proof), []);
}

#[test]
fn an_alternative_that_moves_sp_is_found_after_it() {
    let cfi = [(0, sp(0))];
    let proof = patched(&[NOP, NOP, RET], &cfi, 0, &[SUB_SP_16]).proof();
    assert_eq!(findings(&proof), [(1, 2, Class::WrongCfa)]);
}

#[test]
fn an_alternative_that_overwrites_x30_is_found_after_it() {
    let cfi = [(0, sp(0))];
    let proof = patched(&[NOP, RET], &cfi, 0, &[bl(1000)]).proof();
    assert_eq!(findings(&proof), [(1, 1, Class::CallWithoutFrame)]);
}

#[test]
fn an_alternative_that_returns_must_be_in_the_right_state() {
    let cfi = [(0, sp(0)), (1, BODY), (3, sp(0))];
    let proof = patched(&[PUSH_16, NOP, POP_16, RET], &cfi, 1, &[RET]).proof();
    assert_eq!(findings(&proof), [(1, 1, Class::WrongReturn)]);
}

#[test]
fn a_jump_label_leads_to_its_target() {
    // 1 is a NOP, or a branch to 4, which nothing else leads to.
    let words = [PUSH_16, NOP, POP_16, RET, POP_16, RET];
    let cfi = [(0, sp(0)), (1, BODY), (3, sp(0)), (4, BODY), (5, sp(0))];
    let mut builder = patched(&words, &cfi, 1, &[b(3)]);
    let proof = builder.proof();
    assert_eq!(findings(&proof), []);
    assert_eq!(proof.counts.assumed, 0);
    // Without the table, nothing leads there, and no indirect branch could.
    builder.text.patches.clear();
    assert_eq!(
        findings(&builder.proof()),
        [(4, 1, Class::Unreached), (5, 1, Class::Unreached)]
    );
}

#[test]
fn a_jump_label_that_is_a_branch_may_become_a_nop() {
    let words = [PUSH_16, b(3), POP_16, RET, POP_16, RET];
    let cfi = [(0, sp(0)), (1, BODY), (3, sp(0)), (4, BODY), (5, sp(0))];
    let proof = patched(&words, &cfi, 1, &[NOP]).proof();
    assert_eq!(findings(&proof), []);
    assert_eq!(proof.counts.assumed, 0);
}

#[test]
fn a_jump_label_in_the_wrong_state_is_found_at_its_target() {
    let words = [NOP, PUSH_16, NOP, POP_16, RET];
    let cfi = [(0, sp(0)), (2, BODY), (4, sp(0))];
    let proof = patched(&words, &cfi, 0, &[b(2)]).proof();
    assert_eq!(findings(&proof)[0].0, 2);
}

#[test]
fn counts_what_only_the_kernel_knows() {
    let cfi = [(0, sp(0))];
    let mut builder = Builder::default().function(&[NOP, RET], &cfi);
    builder.text.patches.push(Patch {
        offset: 0,
        len: 4,
        replacement: Vec::new(),
        targets: Vec::new(),
    });
    let proof = builder.proof();
    assert_eq!(findings(&proof), []);
    assert_eq!(proof.counts.opaque_sites, 1);
}

#[test]
fn a_fault_leads_to_its_fixup() {
    let words = [PUSH_16, LDR_X0, POP_16, RET, POP_16, RET];
    let cfi = [(0, sp(0)), (1, BODY), (3, sp(0)), (4, BODY), (5, sp(0))];
    let mut builder = Builder::default().function(&words, &cfi);
    builder.text.fixups.push(Fixup {
        offset: 4,
        target: Target::Local(16),
        written: 1,
    });
    let proof = builder.proof();
    assert_eq!(findings(&proof), []);
    assert_eq!(proof.counts.assumed, 0);
    // To a place that is entered with another state.
    builder.text.fixups[0].target = Target::Local(20);
    assert!(findings(&builder.proof()).contains(&(5, 1, Class::EarlyRow)));
}

#[test]
fn a_fault_handler_may_overwrite_x30() {
    let mut builder = Builder::default().function(&[LDR_X0, RET], &[(0, sp(0))]);
    builder.text.fixups.push(Fixup {
        offset: 0,
        target: Target::Local(4),
        written: 1 << 30,
    });
    assert_eq!(
        findings(&builder.proof()),
        [(1, 1, Class::CallWithoutFrame)]
    );
}

#[test]
fn many_sites_in_one_function_are_soon_looked_at() {
    // Each instruction looks at its own: minutes, if it looked at all.
    const COUNT: u64 = 100_000;
    let words = [vec![NOP; COUNT as usize], vec![RET]].concat();
    let mut builder = Builder::default().function(&words, &[(0, sp(0))]);
    let sites = (0..COUNT).map(|at| Patch {
        offset: 4 * at,
        len: 4,
        replacement: vec![PACIASP],
        targets: Vec::new(),
    });
    builder.text.patches.extend(sites);
    assert_eq!(findings(&builder.proof()), []);
}
