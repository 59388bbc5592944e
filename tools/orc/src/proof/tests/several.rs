// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Branches between functions.

use super::words::*;
use super::*;
use crate::text::Target;

const BODY: Row = sp(16).record(16);

/// A hot part of four instructions that branches to a cold part after it, and the
/// cold part's state as its CFI says it.
fn hot_and_cold(cold: Row) -> Builder {
    let hot = [PUSH_16, MOV_FP_SP, cbz(3), POP_16, RET];
    let hot_cfi = [(0, sp(0)), (1, BODY), (4, sp(0))];
    let rest = [bl(1000), b(-3)];
    Builder::default()
        .function(&hot, &hot_cfi)
        .function(&rest, &[(0, cold)])
}

#[test]
fn a_cold_part_is_entered_with_the_facts_of_its_branch() {
    let proofs = hot_and_cold(BODY).prove();
    assert_eq!(findings(&proofs[0]), []);
    assert_eq!(findings(&proofs[1]), []);
    assert_eq!(proofs[1].counts.assumed, 0);
    // x29 is known, although no claim says it.
    assert_eq!(rows(&proofs[1]), [(5, BODY.with(X29::Record(16)))]);
}

#[test]
fn a_cold_part_with_other_rows_is_found_on_both_sides() {
    let proofs = hot_and_cold(sp(32).record(16)).prove();
    assert_eq!(findings(&proofs[0])[0], (2, 1, Class::WrongTailCall));
    assert_eq!(findings(&proofs[1]), [(5, 2, Class::WrongCfa)]);
}

#[test]
fn code_after_a_call_that_never_returns_counts_for_an_indirect_branch() {
    // To 4, without a frame: 3 calls what loops for ever.
    let words = |call| [BR_X16, PUSH_16, MOV_FP_SP, call, NOP, RET];
    let prove = |call| {
        Builder::default()
            .function(&words(call), &[(0, sp(0)), (2, BODY), (5, sp(0))])
            .function(&[b(0)], &[(0, sp(0))])
            .function(&[RET], &[(0, sp(0))])
            .prove()
    };
    assert_eq!(findings(&prove(bl(3))[0])[0].0, 4);
    // Of one that returns, 4 is no jump's target.
    assert_eq!(findings(&prove(bl(4))[0])[0].0, 5);
}

#[test]
fn a_branch_into_the_middle_counts_for_the_function_it_leads_to() {
    let leaf = [NOP, NOP, RET];
    let row = [(0, sp(0))];
    let fine = Builder::default()
        .function(&leaf, &row)
        .function(&[b(-2)], &row)
        .prove();
    assert_eq!(findings(&fine[0]), []);
    let wrong = Builder::default()
        .function(&leaf, &row)
        .function(&[SUB_SP_16, b(-3)], &[(0, sp(0)), (1, sp(16))])
        .prove();
    assert_eq!(findings(&wrong[0]), [(1, 2, Class::WrongCfa)]);
    assert_eq!(findings(&wrong[1]), [(4, 1, Class::WrongTailCall)]);
}

#[test]
fn a_leaf_entered_in_another_state_is_none() {
    let wrong = Builder::default()
        .assembly(&[NOP, NOP, RET])
        .function(&[SUB_SP_16, b(-3)], &[(0, sp(0)), (1, sp(16))])
        .prove();
    assert_eq!(rows(&wrong[0]), [(0, NO_CFI)]);
    assert_eq!(wrong[0].no_leaf, Some(NoLeaf::EnteredInside));
}

#[test]
fn a_call_into_the_middle_enters_with_the_state_of_an_entry() {
    // Instruction 2 is in a body with a frame, and is called from outside.
    let body = [PUSH_16, MOV_FP_SP, NOP, POP_16, RET];
    let cfi = [(0, sp(0)), (1, BODY), (4, sp(0))];
    let caller = [PUSH_16, bl(-4), POP_16, RET];
    let caller_cfi = [(0, sp(0)), (1, BODY), (3, sp(0))];
    let proofs = Builder::default()
        .function(&body, &cfi)
        .function(&caller, &caller_cfi)
        .prove();
    assert_eq!(findings(&proofs[0])[0].0, 2);
}

#[test]
fn running_into_the_next_function_is_fine_in_the_state_of_an_entry() {
    let row = [(0, sp(0))];
    let fine = Builder::default()
        .function(&[NOP], &row)
        .function(&[RET], &row)
        .prove();
    assert_eq!(findings(&fine[0]), []);
    let wrong = Builder::default()
        .function(&[SUB_SP_16, NOP], &[(0, sp(0)), (1, sp(16))])
        .function(&[RET], &row)
        .prove();
    assert_eq!(findings(&wrong[0]), [(1, 1, Class::FallsThrough)]);
    // The next function is entered in that state, too.
    assert_eq!(findings(&wrong[1]), [(2, 1, Class::WrongCfa)]);
}

#[test]
fn relocations_say_where_branches_go() {
    let mut builder = Builder::default()
        .function(&[NOP, NOP, RET], &[(0, sp(0))])
        .function(&[SUB_SP_16, b(0)], &[(0, sp(0)), (1, sp(16))]);
    builder.text.branches.insert(16, Target::Local(4));
    assert_eq!(findings(&builder.prove()[0])[0].0, 1);
    builder.text.branches.insert(16, Target::External);
    assert_eq!(findings(&builder.prove()[0]), []);
    assert_eq!(
        findings(&builder.prove()[1]),
        [(4, 1, Class::WrongTailCall)]
    );
}

#[test]
fn proofs_do_not_depend_on_the_order_of_functions() {
    let row = [(0, sp(0))];
    let moved = [(0, sp(0)), (1, sp(16))];
    let before = Builder::default()
        .function(&[SUB_SP_16, b(2)], &moved)
        .function(&[NOP, NOP, RET], &row)
        .prove();
    assert_eq!(findings(&before[1]), [(3, 2, Class::WrongCfa)]);
}

#[test]
fn follows_an_instruction_that_the_linker_moved_away() {
    // --fix-cortex-a53-843419: the load at 2 became a branch to a copy of it,
    // which is in no function with CFI, and back.
    let words = [PUSH_16, MOV_FP_SP, b(3), POP_16, RET];
    let cfi = [(0, sp(0)), (1, BODY), (4, sp(0))];
    let moved = |moved: u32| {
        let mut builder = Builder::default().function(&words, &cfi);
        builder.add(&[moved, b(-3)], Kind::Func, None);
        builder.text.functions[1].name = "__CortexA53843419_FFFF800080012004".into();
        builder
    };
    let fine = moved(LDR_X0).prove();
    assert_eq!(findings(&fine[0]), []);
    assert_eq!(fine[0].counts.assumed, 0);
    assert_eq!(rows(&fine[1]), [(5, NO_CFI)]);
    // What is done on the way counts.
    assert_eq!(
        findings(&moved(STR_X0_SP_8).prove()[0])[0],
        (3, 1, Class::WrongReturnAddress)
    );
}

/// A function with a frame, and after it something that branches to its third
/// instruction and of which nothing is proved.
fn entered_from(words: &[u32], kind: Kind, claims: Option<Claims>) -> Vec<Proof> {
    let body = [PUSH_16, MOV_FP_SP, NOP, POP_16, RET];
    let mut builder = Builder::default().function(&body, &[(0, sp(0)), (1, BODY), (4, sp(0))]);
    builder.add(words, kind, claims);
    builder.prove()
}

#[test]
fn what_is_not_proved_leads_to_nothing_that_is() {
    let unusable = || Some(Claims::Unsupported("CFA is an expression".into()));
    for (kind, claims) in [
        (Kind::Func, None),
        (Kind::Code, None),
        (Kind::Func, unusable()),
    ] {
        for way in [b(-4), cbz(-4)] {
            let words = [SUB_SP_16, way, RET_X9];
            let proofs = entered_from(&words, kind, claims.clone());
            assert_eq!(findings(&proofs[0])[0], (2, 2, Class::WrongCfa));
            assert_eq!(rows(&proofs[0])[2], (2, NOT_PROVED));
        }
        // To its start, or to another function: as AAPCS64 says.
        for way in [b(-6), b(1000)] {
            let proofs = entered_from(&[SUB_SP_16, way, RET_X9], kind, claims.clone());
            assert_eq!(findings(&proofs[0]), []);
        }
    }
}

#[test]
fn a_call_from_what_is_not_proved_enters_with_the_state_of_an_entry() {
    let proofs = entered_from(&[SUB_SP_16, bl(-4), RET_X9], Kind::Code, None);
    assert_eq!(findings(&proofs[0])[0].0, 2);
    let leaf = Builder::default().function(&[NOP, NOP, RET], &[(0, sp(0))]);
    let proofs = leaf.assembly(&[MOV_X19_LR, bl(-3), RET_X9]).prove();
    assert_eq!(findings(&proofs[0]), []);
}

#[test]
fn a_cold_part_is_no_plain_entry_for_what_is_not_proved() {
    let mut builder = hot_and_cold(BODY);
    builder.add(&[b(-2), RET_X9], Kind::Code, None);
    let proofs = builder.prove();
    assert_eq!(findings(&proofs[1])[0], (5, 2, Class::WrongCfa));
    // And back from there.
    assert_eq!(rows(&proofs[0]).last(), Some(&(3, NOT_PROVED)));
}

#[test]
fn running_out_of_what_is_not_proved_counts_as_a_branch() {
    let mut builder = Builder::default();
    builder.add(&[SUB_SP_16, NOP], Kind::Code, None);
    let proofs = builder
        .function(&[NOP, RET], &[(0, BODY), (1, sp(0))])
        .prove();
    assert_eq!(findings(&proofs[1])[0].0, 2);
}

#[test]
fn a_leaf_returns_to_x30_from_wherever_it_was_entered() {
    let proofs = Builder::default()
        .assembly(&[NOP, NOP, RET])
        .assembly(&[SUB_SP_16, b(-3)])
        .prove();
    assert_eq!(rows(&proofs[0]), [(0, ENTRY)]);
    assert_eq!(rows(&proofs[1]), [(3, NO_CFI)]);
}

#[test]
fn code_that_never_has_a_row_may_be_entered_in_any_state() {
    // ftrace_caller(), whose description ends before it does.
    let cfi = [(0, sp(0)), (1, BODY)];
    for words in [
        &[PUSH_16, MOV_FP_SP][..],
        &[PUSH_16, b(1)],
        &[PUSH_16, b(2)],
    ] {
        let mut builder = Builder::default().function(words, &cfi);
        builder.add(&[NOP, RET_X9], Kind::Code, None);
        let proofs = builder.prove();
        assert_eq!(findings(&proofs[0]), []);
        assert_eq!(rows(&proofs[1]), [(2, NO_CFI)]);
        // A function might be a leaf, and is one.
        let function = Builder::default()
            .function(words, &cfi)
            .assembly(&[NOP, RET]);
        assert_eq!(findings(&function.prove()[0])[0].0, 1);
    }
}

#[test]
fn a_call_of_a_function_that_returns_is_taken_to_return() {
    // 3 is reached with and without the call, which makes x30 another one.
    let words = [PUSH_16, cbz(2), bl(3), POP_16, RET];
    let row = Row {
        return_address: Location::Register,
        ..sp(16).record(16)
    };
    let cfi = [(0, sp(0)), (1, sp(16).record(16)), (3, row), (4, sp(0))];
    let call = |callee: &[u32]| {
        let caller = Builder::default().function(&words, &cfi);
        findings(&caller.function(callee, &[(0, sp(0))]).prove()[0])
    };
    let refused = [(3, 1, Class::CallWithoutFrame)];
    assert_eq!(call(&[RET]), refused);
    assert_eq!(call(&[BLR_X1, BR_X16]), refused);
    assert_eq!(call(&[b(0)]), []);
    assert_eq!(call(&[bl(0), RET]), []);
    // Of what is called through a pointer nobody expects that it does not return.
    let words = [PUSH_16, cbz(2), BLR_X1, POP_16, RET];
    let indirect = Builder::default().function(&words, &cfi).proof();
    assert_eq!(findings(&indirect), refused);
}
