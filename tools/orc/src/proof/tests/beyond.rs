// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Rows that no table can hold cost themselves, and no other row of their function.

use super::words::*;
use super::*;
use crate::a64::insn::Reg;
use crate::claim::{Beyond, Home, Parked};
use crate::text::{Patch, Target};

const BAD: Rule = Rule::Unreliable(Undescribed::BadCfi);
const BODY: Row = sp(16).record(16);

/// A call of a function of another file.
const FAR_CALL: u32 = bl(0);
const MOV_X9_X30: u32 = 0xaa1e_03e9;
const MOV_X30_X9: u32 = 0xaa09_03fe;
const ADD_X30_X9_0: u32 = 0x9100_013e;
const SUB_X0_1: u32 = 0xd100_0400;
const MOV_X9_X0: u32 = 0xaa00_03e9;
const MOV_X9_X29: u32 = 0xaa1d_03e9;
const MOV_X29_X9: u32 = 0xaa09_03fd;

/// From instruction `index` on: the return address is in x9, and the CFA is SP.
fn in_x9(index: u64) -> CfiRow {
    parked(
        index,
        Home::Register(Reg::X9),
        Home::Table(Location::Register),
    )
}

fn parked(index: u64, return_address: Home, caller_fp: Home) -> CfiRow {
    let cfa = Cfa {
        base: CfaBase::Sp,
        offset: 0,
    };
    CfiRow::Beyond(Beyond {
        start: 4 * index,
        why: "something is in another register".into(),
        parked: Some(Parked {
            cfa,
            return_address,
            caller_fp,
        }),
    })
}

/// From instruction `index` on, what the proof does not look at.
fn unknown(index: u64) -> CfiRow {
    CfiRow::Beyond(Beyond {
        start: 4 * index,
        why: "CFA by expression".into(),
        parked: None,
    })
}

fn claim(index: u64, row: Row) -> CfiRow {
    CfiRow::Claim(row.claim(index))
}

fn builder(words: &[u32], rows: Vec<CfiRow>) -> Builder {
    let mut builder = Builder::default();
    builder.add(words, Kind::Func, Some(Claims::Rows(rows)));
    let calls = (0..).zip(words).filter(|(_, word)| **word == FAR_CALL);
    let calls = calls.map(|(index, _)| (4 * index, Target::External));
    builder.text.branches.extend(calls);
    builder
}

fn prove(words: &[u32], rows: Vec<CfiRow>) -> Proof {
    builder(words, rows).prove().remove(0)
}

/// What LLVM's outliner makes: a call with the return address in x9.
fn outlined(call: u32) -> [u32; 4] {
    [MOV_X9_X30, call, MOV_X30_X9, RET]
}

fn outlined_cfi() -> Vec<CfiRow> {
    vec![claim(0, sp(0)), in_x9(1), claim(3, sp(0))]
}

#[test]
fn a_return_address_in_another_register_costs_its_own_rows() {
    // The case w1: a frame, and then a call without one.
    let words = [
        PUSH_16, FAR_CALL, POP_16, MOV_X9_X30, FAR_CALL, MOV_X30_X9, RET,
    ];
    let cfi = [
        claim(0, sp(0)),
        claim(1, BODY),
        claim(3, sp(0)),
        in_x9(4),
        claim(6, sp(0)),
    ];
    let proof = prove(&words, cfi.to_vec());
    assert_eq!(findings(&proof), []);
    let expected = [
        (0, ENTRY),
        (1, BODY.with(X29::Caller)),
        (3, ENTRY),
        (4, BAD),
        (6, ENTRY),
    ];
    assert_eq!(rows(&proof), expected);
    let counts = proof.counts;
    assert_eq!((counts.proved, counts.unproved), (5, 2));
    assert_eq!((counts.inexpressible, counts.kept_over_calls), (2, 1));
    // A walk could not tell a PC of it by its rows.
    assert_eq!(proof.return_only, None);
}

#[test]
fn a_caller_s_x29_in_another_register_costs_its_own_rows() {
    let words = [MOV_X9_X29, MOV_FP_SP, MOV_X29_X9, RET];
    let home = Home::Register(Reg::X9);
    let in_x9 = parked(1, Home::Table(Location::Register), home);
    let cfi = vec![claim(0, sp(0)), in_x9, claim(3, sp(0))];
    let proof = prove(&words, cfi);
    assert_eq!(findings(&proof), []);
    assert_eq!(rows(&proof), [(0, ENTRY), (1, BAD), (3, ENTRY)]);
    assert_eq!(proof.counts.inexpressible, 2);
}

#[test]
fn what_is_not_looked_at_is_found_with_its_reason_alone() {
    let words = [PUSH_16, MOV_FP_SP, NOP, POP_16, RET];
    let cfi = vec![
        claim(0, sp(0)),
        claim(1, BODY),
        unknown(2),
        claim(3, BODY),
        claim(4, sp(0)),
    ];
    let proof = prove(&words, cfi);
    assert_eq!(findings(&proof), [(2, 1, Class::BadCfi)]);
    assert_eq!(proof.findings[0].facts, "CFA by expression");
    let body = |x29| BODY.with(x29);
    let expected = [
        (0, ENTRY),
        (1, body(X29::Caller)),
        (2, BAD),
        (3, body(X29::Record(16))),
        (4, ENTRY),
    ];
    assert_eq!(rows(&proof), expected);
}

#[test]
fn a_register_that_does_not_hold_it_is_found() {
    let words = [MOV_X9_X0, NOP, RET];
    let proof = prove(&words, vec![claim(0, sp(0)), in_x9(1), claim(2, sp(0))]);
    assert_eq!(findings(&proof), [(1, 1, Class::BadCfi)]);
    assert_eq!(rows(&proof), [(0, ENTRY), (1, BAD), (2, ENTRY)]);
    assert_eq!(proof.counts.inexpressible, 0);
    // After a call of something else it does not either.
    let words = [MOV_X9_X0, FAR_CALL, MOV_X30_X9, RET];
    assert_eq!(
        findings(&prove(&words, outlined_cfi()))[0],
        (1, 2, Class::BadCfi)
    );
}

#[test]
fn a_row_that_is_true_lets_no_false_one_pass() {
    // x30 is not the return address after the call; the CFI is late to say so.
    let early = vec![claim(0, sp(0)), in_x9(1), claim(2, sp(0))];
    let proof = prove(&outlined(FAR_CALL), early);
    assert_eq!(rows(&proof)[..2], [(0, ENTRY), (1, BAD)]);
    assert!(rows(&proof)[2..]
        .iter()
        .all(|(_, rule)| *rule == NOT_PROVED));
    // Or it never does.
    let proof = prove(&outlined(FAR_CALL), vec![claim(0, sp(0))]);
    assert_eq!(findings(&proof)[0].0, 2);
    // A return with it elsewhere.
    let proof = prove(
        &[MOV_X9_X30, MOV_FP_SP, RET],
        vec![claim(0, sp(0)), in_x9(1)],
    );
    assert_ne!(findings(&proof), []);
}

#[test]
fn a_call_keeps_a_register_only_where_both_rows_say_so() {
    let before = vec![claim(0, sp(0)), in_x9(1), unknown(2), claim(3, sp(0))];
    assert_ne!(findings(&prove(&outlined(FAR_CALL), before)), []);
    let after = vec![claim(0, sp(0)), unknown(1), in_x9(2), claim(3, sp(0))];
    assert_ne!(findings(&prove(&outlined(FAR_CALL), after)), []);
    // Not over one by a register; and not x16, which a linker's veneer writes.
    assert_ne!(findings(&prove(&outlined(BLR_X1), outlined_cfi())), []);
    let x16 = |reg: u32, word: u32| [word & !0x1f | reg, FAR_CALL, 0xaa10_03fe, RET];
    let home = Home::Register(Reg::or_sp(16));
    let cfi = vec![
        claim(0, sp(0)),
        parked(1, home, Home::Table(Location::Register)),
        claim(3, sp(0)),
    ];
    assert_ne!(findings(&prove(&x16(16, MOV_X9_X30), cfi)), []);
}

#[test]
fn a_callee_of_the_file_is_looked_at() {
    let call = |callee: &[u32]| {
        let mut builder = builder(&outlined(bl(3)), outlined_cfi());
        builder.add(callee, Kind::Func, Some(vec![sp(0).claim(4)].into()));
        let proof = builder.prove().remove(0);
        (findings(&proof).is_empty(), proof.counts.kept_over_calls)
    };
    assert_eq!(call(&[SUB_SP_16, 0x9100_43ff, RET]), (true, 0));
    assert!(!call(&[MOV_X9_X0, RET]).0);
    // Something else runs there: ftrace, a callee, where it branches to.
    assert!(!call(&[NOP, RET]).0);
    assert!(!call(&[bl(1000), RET]).0);
    assert!(!call(&[b(1000)]).0);
    assert!(!call(&[0xd400_0002, RET]).0);
    // Its end, where a branch is not taken.
    assert!(!call(&[SUB_SP_16, cbz(-1)]).0);
    // A barrier is no place for ftrace.
    assert_eq!(call(&[0xd503_3bbf, RET]), (true, 0));
}

/// What is called is at instruction 4.
fn with_callee(callee: &[u32]) -> Builder {
    let mut builder = builder(&outlined(bl(3)), outlined_cfi());
    builder.add(callee, Kind::Func, Some(vec![sp(0).claim(4)].into()));
    builder
}

#[test]
fn what_is_done_on_the_way_to_a_callee_counts() {
    let mut builder = builder(&outlined(bl(5)), outlined_cfi());
    let claims = vec![sp(0).claim(4)];
    builder.add(&[SUB_X0_1, RET], Kind::Func, Some(claims.into()));
    builder.add(&[MOV_X9_X0, b(-3)], Kind::Func, None);
    builder.text.functions[2].name = "__CortexA53843419_FFFF800080012004".into();
    assert_ne!(findings(&builder.prove()[0]), []);
}

#[test]
fn a_callee_that_is_patched_keeps_nothing_but_its_neighbour_does() {
    let keeps = |offset: u64, word: u32| {
        let mut builder = with_callee(&[SUB_X0_1, RET]);
        builder.text.patches.push(Patch {
            offset,
            len: 4,
            replacement: vec![word],
            targets: Vec::new(),
        });
        findings(&builder.prove()[0]).is_empty()
    };
    assert!(!keeps(16, MOV_X9_X0));
    // The instruction after the call.
    assert!(keeps(8, ADD_X30_X9_0));
}

#[test]
fn a_call_writes_x30_whatever_the_cfi_says() {
    // x9 = x30; x30 = x29; call; x29 = x30; x30 = x9: x29 is the call's return address.
    let words = [
        MOV_X9_X30,
        0xaa1d_03fe,
        FAR_CALL,
        0xaa1e_03fd,
        MOV_X30_X9,
        RET,
    ];
    let both = parked(2, Home::Register(Reg::X9), Home::Register(Reg::X30));
    let cfi = vec![claim(0, sp(0)), in_x9(1), both, in_x9(4), claim(5, sp(0))];
    let proof = prove(&words, cfi);
    assert_ne!(findings(&proof), []);
    assert_eq!(rows(&proof).last(), Some(&(5, NOT_PROVED)));
}

#[test]
fn many_calls_of_a_long_function_are_soon_looked_at() {
    const COUNT: i32 = 20_000;
    let calls = (0..COUNT).map(|at| bl(COUNT + 2 - at));
    let words: Vec<u32> = [MOV_X9_X30].into_iter().chain(calls).collect();
    let words = [words, vec![MOV_X30_X9, RET]].concat();
    let end = words.len() as u64;
    let rows = vec![claim(0, sp(0)), in_x9(1), claim(end - 1, sp(0))];
    let mut builder = builder(&words, rows);
    let callee = [vec![SUB_X0_1; COUNT as usize], vec![RET]].concat();
    builder.add(&callee, Kind::Func, Some(vec![sp(0).claim(end)].into()));
    assert_eq!(findings(&builder.prove()[0]), []);
}

#[test]
fn a_part_that_starts_with_it_is_entered_as_the_branch_does() {
    // hot: x9 = x30; call; branch to a part with x30 still in x9, which goes on.
    let hot = [MOV_X9_X30, b(1)];
    let cold = [FAR_CALL, MOV_X30_X9, RET];
    let prove = |hot: &[u32]| {
        let mut builder = builder(hot, vec![claim(0, sp(0)), in_x9(1)]);
        let rows = vec![in_x9(2), claim(4, sp(0))];
        builder.add(&cold, Kind::Func, Some(Claims::Rows(rows)));
        builder.text.branches.insert(8, Target::External);
        builder.prove()
    };
    let proofs = prove(&hot);
    assert_eq!(findings(&proofs[0]), []);
    assert_eq!(findings(&proofs[1]), []);
    assert_eq!(rows(&proofs[1]), [(2, BAD), (4, ENTRY)]);
    let proofs = prove(&[MOV_X9_X0, b(1)]);
    assert_ne!(findings(&proofs[0]), []);
    assert!(rows(&proofs[1])
        .iter()
        .all(|(_, rule)| !matches!(rule, Rule::Frame(_))));
}

#[test]
fn a_way_in_to_such_a_row_counts_for_what_follows_it() {
    let leaf = [NOP, NOP, RET];
    let cfi = vec![claim(0, sp(0)), unknown(1), claim(2, sp(0))];
    let mut wrong = builder(&leaf, cfi);
    let claims = vec![sp(0).claim(3), sp(16).claim(4)];
    wrong.add(&[SUB_SP_16, b(-3)], Kind::Func, Some(claims.into()));
    let proofs = wrong.prove();
    assert_eq!(rows(&proofs[0]), [(0, ENTRY), (1, BAD), (2, NOT_PROVED)]);
}

#[test]
fn nothing_is_known_at_a_start_that_is_not_looked_at() {
    let proof = prove(&[NOP, NOP, RET], vec![unknown(0), claim(1, sp(0))]);
    assert_eq!(rows(&proof), [(0, BAD), (1, NOT_PROVED)]);
}

#[test]
fn a_call_before_another_frame_does_not_return() {
    let words = [
        MOV_X9_X30,
        cbz(3),
        MOV_X30_X9,
        RET,
        FAR_CALL,
        PUSH_16,
        POP_16,
        RET,
    ];
    let cfi = vec![
        claim(0, sp(0)),
        in_x9(1),
        claim(3, sp(0)),
        in_x9(4),
        claim(5, sp(32)),
    ];
    let proof = prove(&words, cfi);
    assert_eq!(proof.counts.no_return, 1);
    assert_eq!(rows(&proof)[..3], [(0, ENTRY), (1, BAD), (3, ENTRY)]);
}
