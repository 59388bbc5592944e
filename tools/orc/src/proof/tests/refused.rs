// SPDX-License-Identifier: GPL-2.0 OR MIT

//! CFI that is not true, and code that breaks it: each must be found, and found
//! at its place.

use super::words::*;
use super::*;

const WORDS: [u32; 5] = [PUSH_16, MOV_FP_SP, bl(1000), POP_16, RET];
const BODY: Row = sp(16).record(16);
const CFI: [(u64, Row); 3] = [(0, sp(0)), (1, BODY), (4, sp(0))];

fn proof(words: &[u32], cfi: &[(u64, Row)]) -> Proof {
    Builder::default().function(words, cfi).proof()
}

#[test]
fn the_example_itself_is_proved() {
    assert_eq!(findings(&proof(&WORDS, &CFI)), []);
}

#[test]
fn finds_a_row_that_is_one_instruction_late() {
    let late = proof(&WORDS, &[(0, sp(0)), (2, BODY), (4, sp(0))]);
    assert_eq!(findings(&late), [(1, 1, Class::LateRow)]);
    assert_eq!(rows(&late)[..2], [(0, ENTRY), (1, NOT_PROVED)]);
    let epilogue = proof(&WORDS, &[(0, sp(0)), (1, BODY)]);
    assert_eq!(findings(&epilogue), [(4, 1, Class::LateRow)]);
}

#[test]
fn finds_a_row_that_is_one_instruction_early() {
    let early = proof(&WORDS, &[(0, sp(0)), (1, BODY), (3, sp(0))]);
    assert_eq!(findings(&early), [(3, 1, Class::EarlyRow)]);
}

#[test]
fn says_what_the_row_should_be() {
    let late = proof(&WORDS, &[(0, sp(0)), (2, BODY), (4, sp(0))]);
    let finding = &late.findings[0];
    assert_eq!(
        finding.should.map(Rule::Frame),
        Some(BODY.with(X29::Caller))
    );
    assert_eq!(finding.claim, Some(sp(0).claim(0)));
    assert!(finding.facts.contains("sp=CFA-16"), "{}", finding.facts);
}

#[test]
fn finds_offsets_that_are_off_by_a_word() {
    for row in [sp(24).record(16), sp(16).record(24), sp(8)] {
        let wrong = proof(&WORDS, &[(0, sp(0)), (1, row), (4, sp(0))]);
        assert_eq!(rows(&wrong)[1], (1, NOT_PROVED));
    }
}

#[test]
fn finds_slots_that_are_swapped() {
    let swapped = Row {
        return_address: Location::Slot(16),
        caller_fp: Location::Slot(8),
        ..sp(16)
    };
    let wrong = proof(&WORDS, &[(0, sp(0)), (1, swapped), (4, sp(0))]);
    assert_eq!(findings(&wrong), [(1, 3, Class::WrongReturnAddress)]);
}

#[test]
fn finds_x29_changed_for_one_instruction() {
    let words = [PUSH_16, MOV_FP_SP, MOV_FP_X0, MOV_FP_SP, POP_16, RET];
    let cfi = [(0, sp(0)), (1, BODY), (2, fp(16)), (5, sp(0))];
    let wrong = proof(&words, &cfi);
    assert_eq!(findings(&wrong), [(3, 1, Class::EarlyRow)]);
    // Where the row does not need x29, it is no finding, and nothing to compare.
    let right = proof(&words, &[(0, sp(0)), (1, BODY), (5, sp(0))]);
    assert_eq!(findings(&right), []);
    assert!(rows(&right).contains(&(3, BODY.with(X29::Other))));
}

#[test]
fn finds_x29_lost_in_a_leaf() {
    let wrong = proof(&[MOV_FP_X0, RET], &[(0, sp(0))]);
    assert_eq!(findings(&wrong), [(1, 1, Class::WrongCallerFp)]);
}

#[test]
fn finds_a_call_that_parks_the_return_address() {
    // qcom_link_stack_sanitisation(): `bl . + 4`, 16 times.
    let local = [MOV_X8_LR, bl(1), bl(1), MOV_LR_X8, RET];
    assert_eq!(
        findings(&proof(&local, &[(0, sp(0))])),
        [(2, 2, Class::CallWithoutFrame)]
    );
    // The same with a function that is elsewhere.
    let call = [MOV_X19_LR, bl(1000), MOV_LR_X19, RET];
    assert_eq!(
        findings(&proof(&call, &[(0, sp(0))])),
        [(2, 1, Class::CallWithoutFrame)]
    );
    let indirect = [MOV_X19_LR, BLR_X1, MOV_LR_X19, RET];
    assert_eq!(
        findings(&proof(&indirect, &[(0, sp(0))])),
        [(2, 1, Class::CallWithoutFrame)]
    );
}

#[test]
fn finds_a_store_over_a_slot() {
    for store in [STR_X0_SP_8, STR_W0_FP_12] {
        let words = [PUSH_16, MOV_FP_SP, store, NOP, POP_16, RET];
        let cfi = [(0, sp(0)), (1, BODY), (5, sp(0))];
        assert_eq!(rows(&proof(&words, &cfi))[3], (3, NOT_PROVED));
    }
}

#[test]
fn a_slot_below_sp_is_none() {
    // An interrupt between the two would overwrite the record.
    let words = [STORE_BELOW, SUB_SP_32, MOV_FP_SP, bl(1000)];
    let cfi = [(0, sp(0)), (2, sp(32).record(32))];
    let wrong = proof(&words, &cfi);
    assert_eq!(findings(&wrong), [(2, 2, Class::WrongReturnAddress)]);
}

#[test]
fn a_popped_record_is_not_there_after_sp_went_down_again() {
    let words = [PUSH_16, POP_16, SUB_SP_16, LOAD_RECORD, ADD_SP_16, RET];
    let cfi = [(0, sp(0)), (1, BODY), (2, sp(0)), (3, sp(16)), (5, sp(0))];
    let wrong = proof(&words, &cfi);
    assert_eq!(findings(&wrong)[0], (4, 1, Class::CallWithoutFrame));
}

#[test]
fn finds_a_return_in_the_wrong_state() {
    let words = [PUSH_16, LOAD_RECORD, RET];
    let wrong = proof(&words, &[(0, sp(0)), (1, BODY)]);
    assert_eq!(findings(&wrong), [(2, 1, Class::WrongReturn)]);
    let other = proof(&[NOP, RET_X9], &[(0, sp(0))]);
    assert_eq!(findings(&other), [(1, 1, Class::WrongReturn)]);
}

#[test]
fn finds_a_tail_call_in_the_wrong_state() {
    let words = [PUSH_16, LOAD_RECORD, b(1000)];
    let wrong = proof(&words, &[(0, sp(0)), (1, BODY)]);
    assert_eq!(findings(&wrong), [(2, 1, Class::WrongTailCall)]);
}

#[test]
fn finds_paths_that_disagree() {
    // 3 is reached with a frame and without one.
    let words = [cbz(3), PUSH_16, NOP, NOP, RET];
    let cfi = [(0, sp(0)), (2, BODY), (3, sp(0))];
    let wrong = proof(&words, &cfi);
    assert_eq!(findings(&wrong), [(3, 2, Class::WrongCfa)]);
}

#[test]
fn a_block_whose_row_no_proved_instruction_has_is_refused() {
    let words = [PUSH_16, MOV_FP_SP, BR_X16, POP_32, RET];
    let cfi = [(0, sp(0)), (1, BODY), (3, sp(32).record(32)), (4, sp(0))];
    let wrong = proof(&words, &cfi);
    assert_eq!(findings(&wrong)[0], (3, 1, Class::EarlyRow));
}

#[test]
fn a_block_that_an_indirect_branch_disagrees_with_is_refused() {
    // The branch is made with a frame; 3 says that there is none, as 0 does.
    let words = [PUSH_16, MOV_FP_SP, BR_X16, RET];
    let cfi = [(0, sp(0)), (1, BODY), (3, sp(0))];
    let wrong = proof(&words, &cfi);
    assert_eq!(findings(&wrong), [(3, 1, Class::EarlyRow)]);
}

#[test]
fn a_block_without_a_frame_that_has_the_row_of_one_is_refused() {
    // The branch, to 1 or 5, is made as at the entry. 7 is true, and known to be.
    let words = [BR_X16, PUSH_16, MOV_FP_SP, POP_16, RET, NOP, NOP, RET];
    let cfi = [(0, sp(0)), (2, BODY), (4, sp(0)), (5, fp(16)), (7, sp(0))];
    let wrong = proof(&words, &cfi);
    assert_eq!(findings(&wrong), [(5, 2, Class::LateRow)]);
}

#[test]
fn a_call_that_returns_is_not_all_that_leads_to_a_block() {
    // The call, or the branch, which is made without a frame, leads to 4.
    let words = [BR_X16, PUSH_16, MOV_FP_SP, bl(1000), NOP, NOP, POP_16, RET];
    let other = sp(32).record(16);
    let cfi = [(0, sp(0)), (2, BODY), (4, other), (5, BODY), (7, sp(0))];
    let wrong = proof(&words, &cfi);
    let class = Class::WrongCfa;
    assert_eq!(
        findings(&wrong),
        [(4, 1, class), (5, 2, class), (7, 1, class)]
    );
}

#[test]
fn a_refused_block_counts_for_those_it_leads_to() {
    // The branch is made without the return address, to 6, which goes on to 7.
    let words = [
        PUSH_16,
        MOV_FP_SP,
        cbz(5),
        STR_X0_SP_8,
        BR_X16,
        NOP,
        b(1),
        POP_16,
        RET,
    ];
    let wrong = proof(&words, &[(0, sp(0)), (1, BODY), (8, sp(0))]);
    let refused = findings(&wrong);
    assert_eq!(refused[0], (4, 4, Class::WrongReturnAddress));
}

#[test]
fn indirect_branches_that_are_refused_count_too() {
    // 7 is where both branches may lead, of which one has lost the return address.
    let words = [
        PUSH_16,
        MOV_FP_SP,
        cbz(2),
        BR_X16,
        STR_X0_SP_8,
        BR_X16,
        BTI_C,
        POP_16,
        RET,
    ];
    let wrong = proof(&words, &[(0, sp(0)), (1, BODY), (8, sp(0))]);
    let refused = findings(&wrong);
    assert_eq!(refused[0], (5, 3, Class::WrongReturnAddress));
}

#[test]
fn a_block_counts_for_the_indirect_branch_that_leads_to_it() {
    // 3 goes back to the branch with another SP, so that 5 has no certain one.
    let words = [
        PUSH_16,
        MOV_FP_SP,
        BR_X16,
        SUB_SP_16,
        b(-2),
        NOP,
        MOV_SP_FP,
        POP_16,
        RET,
    ];
    let cfi = [(0, sp(0)), (1, BODY), (2, fp(16)), (7, BODY), (8, sp(0))];
    let proof = proof(&words, &cfi);
    assert_eq!(findings(&proof), []);
    let by_fp = |least| fp(16).with_bounds(X29::Record(16), least, None);
    assert_eq!(
        rows(&proof)[2..6],
        [
            (2, by_fp(16)),
            (4, by_fp(32)),
            (5, by_fp(16)),
            (7, BODY.with(X29::Record(16)))
        ]
    );
}

/// CFA = x29 + 16, with the record at x29, from instruction 2 on.
const FP_16: [(u64, Row); 3] = [(0, sp(0)), (1, BODY), (2, fp(16))];

#[test]
fn slots_are_lost_when_sp_goes_up_in_a_loop() {
    // How often is not known: it may come to where the record is.
    let words = |change| {
        [
            PUSH_16,
            MOV_FP_SP,
            SUB_SP_32,
            change,
            cbz(-1),
            MOV_SP_FP,
            b(0),
        ]
    };
    let wrong = proof(&words(ADD_SP_16), &FP_16);
    assert_eq!(findings(&wrong)[0].0, 3);
    assert_eq!(findings(&proof(&words(SUB_SP_16), &FP_16)), []);
}

#[test]
fn slots_are_lost_by_a_store_through_an_unknown_sp() {
    // [sp, #8] may be in the record or below; [sp, #-16] is below.
    let words = |store| {
        [
            PUSH_16,
            MOV_FP_SP,
            cbz(2),
            SUB_SP_16,
            store,
            MOV_SP_FP,
            b(0),
        ]
    };
    let wrong = proof(&words(STR_X0_SP_8), &FP_16);
    assert_eq!(findings(&wrong)[0].0, 5);
    assert_eq!(findings(&proof(&words(STORE_BELOW), &FP_16)), []);
    let rounded = [
        PUSH_16,
        MOV_FP_SP,
        SUB_X9_SP_64,
        ROUND_SP_X9,
        STR_X0_SP_8,
        b(0),
    ];
    assert_eq!(findings(&proof(&rounded, &FP_16)), []);
}

#[test]
fn slots_are_lost_by_a_store_through_another_x29() {
    let words = |store| [PUSH_16, store, POP_16, RET];
    let cfi = [(0, sp(0)), (1, BODY), (3, sp(0))];
    assert_eq!(findings(&proof(&words(STR_W0_FP_12), &cfi))[0].0, 2);
    assert_eq!(findings(&proof(&words(STR_X0_SP_X1), &cfi)), []);
}

#[test]
fn x18_outlives_a_call_as_a_shadow_call_stack_alone() {
    let words = [MOV_X18_LR, BLR_X1, MOV_LR_X18, RET];
    let wrong = proof(&words, &[(0, sp(0))]);
    assert_eq!(findings(&wrong), [(2, 2, Class::CallWithoutFrame)]);
}

#[test]
fn runs_into_nothing() {
    let wrong = proof(&[NOP, NOP], &[(0, sp(0))]);
    assert_eq!(findings(&wrong), [(1, 1, Class::FallsThrough)]);
}

#[test]
fn an_unknown_instruction_destroys_everything() {
    let words = [PUSH_16, MOV_FP_SP, 0x0200_0000, POP_16, RET];
    let wrong = proof(&words, &CFI);
    assert_eq!(findings(&wrong)[0].0, 3);
}

#[test]
fn cfi_that_no_rule_can_hold_is_refused_with_its_reason() {
    let mut builder = Builder::default();
    let why = "CFA is an expression".to_string();
    builder.add(&WORDS, Kind::Func, Some(Claims::Unsupported(why)));
    let refused = builder.proof();
    let bad = Rule::Unreliable(Undescribed::BadCfi);
    assert_eq!(refused.rows, [(0, bad)]);
    assert_eq!(findings(&refused), [(0, 5, Class::BadCfi)]);
    assert_eq!(refused.findings[0].facts, "CFA is an expression");
    assert_eq!(refused.counts.unproved, 5);
}

/// Clang's rows turn from x29 to SP where an epilogue begins, often just after a
/// call: that is no reason to think that the call does not return.
#[test]
fn finds_a_frame_that_is_broken_before_a_call_at_an_epilogue() {
    let cfi = [(0, sp(0)), (1, BODY), (2, fp(16)), (5, BODY), (6, sp(0))];
    // The epilogue is reached past the call, too, with the frame as it is.
    let words = |before| [PUSH_16, MOV_FP_SP, cbz(3), before, bl(1000), POP_16, RET];
    assert_eq!(findings(&proof(&words(NOP), &cfi)), []);
    let broken = proof(&words(SUB_SP_16), &cfi);
    assert_eq!(findings(&broken).first(), Some(&(5, 1, Class::EarlyRow)));
    assert_eq!(broken.counts.no_return, 0);
}
