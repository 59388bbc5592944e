// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Ways into the middle of a function: from where and of what kind they may be.

use super::words::*;
use super::*;
use crate::text::{Fixup, Patch, Target, Trap};

const BODY: Row = sp(16).record(16);

/// A function with a frame; instruction 2 is in its body.
fn framed() -> Builder {
    let words = [PUSH_16, MOV_FP_SP, NOP, POP_16, RET];
    Builder::default().function(&words, &[(0, sp(0)), (1, BODY), (4, sp(0))])
}

/// Where in the middle of it the others lead to.
const MIDDLE: u64 = 8;

/// Another section of the file, number 1.
fn section(words: &[u32], rows: &[(u64, Row)]) -> Builder {
    let mut builder = Builder::default().function(words, rows);
    builder.text.index = 1;
    builder
}

/// The proofs of the first function of two sections.
fn prove_both(one: &Builder, other: &Builder) -> [Proof; 2] {
    let (_, mut proofs) = Prover::file(vec![&one.text, &other.text], Vec::new(), || ());
    let mut first = || proofs.remove(0).remove(0);
    [first(), first()]
}

const TO_MIDDLE: Target = Target::Section {
    index: 0,
    offset: MIDDLE,
};

#[test]
fn the_function_itself_is_proved() {
    assert_eq!(findings(&framed().proof()), []);
}

#[test]
fn a_symbol_of_a_function_inside_is_an_entry() {
    let mut builder = framed();
    builder.text.entries = vec![MIDDLE];
    assert_eq!(findings(&builder.proof())[0], (2, 2, Class::WrongCfa));
}

#[test]
fn a_start_of_cfi_in_the_middle_of_a_function_is_no_entry() {
    let second = |is_continued: bool| {
        let mut builder = Builder::default().function(&[PUSH_16], &[(0, sp(0))]);
        builder = builder.function(&[NOP, RET], &[(0, sp(0))]);
        builder.text.continued.extend(is_continued.then_some(4));
        findings(&builder.prove()[1])
    };
    assert_eq!(second(true)[0].0, 1);
    // As a function it is entered in the state of the first one's end, too.
    assert_eq!(second(false)[0].0, 1);
    let mut alone = Builder::default().function(&[NOP, RET], &[(0, sp(0))]);
    assert_eq!(findings(&alone.proof()), []);
    alone.text.continued = vec![0];
    assert_eq!(findings(&alone.proof()), [(0, 2, Class::Unreached)]);
}

#[test]
fn such_a_part_is_entered_by_the_one_before() {
    for last in [NOP, b(1), cbz(1)] {
        let mut builder = Builder::default().function(&[last], &[(0, sp(0))]);
        builder = builder.function(&[NOP, RET], &[(0, sp(0))]);
        builder.text.continued = vec![4];
        assert_eq!(findings(&builder.prove()[1]), [], "{last:#x}");
    }
}

#[test]
fn a_branch_of_another_section_leads_in() {
    for words in [[SUB_SP_16, b(0)], [SUB_SP_16, cbz(0)], [SUB_SP_16, bl(0)]] {
        let mut other = section(&words, &[(0, sp(0)), (1, sp(16))]);
        other.text.branches.insert(4, TO_MIDDLE);
        let [proof, _] = prove_both(&framed(), &other);
        assert_eq!(findings(&proof)[0].0, 2, "{:#x}", words[1]);
    }
}

#[test]
fn a_linked_branch_to_another_section_leads_in() {
    let mut one = framed();
    one.text.address = 0x1000;
    let mut other = section(&[SUB_SP_16, b(-0x401 + 2)], &[(0, sp(0)), (1, sp(16))]);
    other.text.address = 0x2000;
    let [proof, _] = prove_both(&one, &other);
    assert_eq!(findings(&proof)[0].0, 2);
}

#[test]
fn a_fixup_of_another_section_leads_in() {
    let mut other = section(&[LDR_X0, RET], &[(0, sp(0))]);
    other.text.fixups.push(Fixup {
        offset: 0,
        target: TO_MIDDLE,
        written: 1,
    });
    let [proof, _] = prove_both(&framed(), &other);
    assert_eq!(findings(&proof)[0].0, 2);
}

#[test]
fn a_jump_label_of_another_section_leads_in() {
    let mut other = section(&[NOP, RET], &[(0, sp(0))]);
    other.text.patches.push(Patch {
        offset: 0,
        len: 4,
        replacement: vec![b(0)],
        targets: vec![(0, TO_MIDDLE)],
    });
    let [proof, _] = prove_both(&framed(), &other);
    assert_eq!(findings(&proof)[0].0, 2);
}

#[test]
fn text_that_is_not_proved_leads_in_where_it_is_of_the_file() {
    let prove = |words: &[u32]| {
        let mut other = section(words, &[(0, sp(0)), (1, BODY)]);
        other.text.branches.insert(4, TO_MIDDLE);
        let one = framed();
        let (_, proofs) = Prover::file(vec![&one.text], vec![&other.text], || ());
        assert_eq!(proofs.len(), 1);
        findings(&proofs[0][0])
    };
    assert_eq!(prove(&[SUB_SP_16, b(0)])[0].0, 2);
    // In the state that is expected there: so it is proved as far as that takes.
    assert_eq!(prove(&[PUSH_16, b(0)]), []);
}

#[test]
fn a_cold_part_in_another_section_goes_there_and_back() {
    let hot = [PUSH_16, MOV_FP_SP, cbz(0), POP_16, RET];
    let mut hot = Builder::default().function(&hot, &[(0, sp(0)), (1, BODY), (4, sp(0))]);
    let cold = Target::Section {
        index: 1,
        offset: 0,
    };
    hot.text.branches.insert(8, cold);
    let mut cold = section(&[NOP, b(0)], &[(0, BODY)]);
    let back = Target::Section {
        index: 0,
        offset: 12,
    };
    cold.text.branches.insert(4, back);
    let [hot, cold] = prove_both(&hot, &cold);
    assert_eq!((findings(&hot), findings(&cold)), (vec![], vec![]));
    assert_eq!(rows(&cold), [(0, BODY.with(X29::Record(16)))]);
}

/// The framed function, and after it code that is in none.
fn with_code(words: &[u32]) -> Builder {
    let mut builder = framed();
    let bytes = words.iter().flat_map(|word| word.to_le_bytes());
    builder.text.bytes.extend(bytes);
    builder
}

#[test]
fn code_in_no_function_leads_in() {
    for words in [[NOP, b(-4)], [NOP, cbz(-4)], [NOP, bl(-4)]] {
        assert_eq!(findings(&with_code(&words).proof())[0].0, 2);
    }
    assert_eq!(findings(&with_code(&[NOP, b(-6)]).proof()), [], "the start");
    // A replacement is not executed there, nor is data.
    let mut builder = with_code(&[NOP, b(-4)]);
    builder.text.copied.push(20..28);
    assert_eq!(findings(&builder.proof()), []);
    builder.text.copied.clear();
    builder.text.data.push(20..28);
    assert_eq!(findings(&builder.proof()), []);
}

#[test]
fn assembly_that_ends_in_a_branch_leads_in() {
    // Not a linker's veneer: anybody may call it.
    for words in [&[b(-3)][..], &[LDR_X0, b(-4)]] {
        let proofs = framed().assembly(words).prove();
        assert_eq!(findings(&proofs[0])[0].0, 2);
    }
}

/// A function that branches at 2 to code without a symbol, which comes back to 3.
fn out_of_line(words: &[u32]) -> Builder {
    let function = [PUSH_16, MOV_FP_SP, b(3), POP_16, RET];
    let mut builder = Builder::default().function(&function, &[(0, sp(0)), (1, BODY), (4, sp(0))]);
    let bytes = words.iter().flat_map(|word| word.to_le_bytes());
    builder.text.bytes.extend(bytes);
    builder
}

#[test]
fn what_is_out_of_line_without_a_symbol_is_followed() {
    let fine = out_of_line(&[LDR_X0, b(-3)]).proof();
    assert_eq!(findings(&fine), []);
    assert_eq!(fine.counts.assumed, 0);
    assert_eq!(findings(&out_of_line(&[SUB_SP_16, b(-3)]).proof())[0].0, 3);
    let mut altered = out_of_line(&[NOP, b(-3)]);
    altered.text.patches.push(Patch {
        offset: 20,
        len: 4,
        replacement: vec![SUB_SP_16],
        targets: Vec::new(),
    });
    assert_eq!(findings(&altered.proof())[0].0, 3);
    altered.text.patches[0].replacement = vec![BTI_C];
    assert_eq!(findings(&altered.proof()), []);
}

/// A function that ends in this word, with a frame, and the one after it.
fn runs_into(last: u32, callee: &[u32], padding: usize) -> Vec<Proof> {
    let mut builder = Builder::default()
        .function(callee, &[(0, sp(0))])
        .function(&[PUSH_16, MOV_FP_SP, last], &[(0, sp(0)), (1, BODY)]);
    let bytes = std::iter::repeat_n(NOP.to_le_bytes(), padding).flatten();
    builder.text.bytes.extend(bytes);
    builder.function(&[NOP, RET], &[(0, sp(0))]).prove()
}

#[test]
fn a_call_at_the_end_that_returns_runs_into_what_follows() {
    for (last, callee) in [(bl(-3), [RET]), (BLR_X1, [RET]), (bl(-3), [ERET])] {
        for padding in [0, 3] {
            let proofs = runs_into(last, &callee, padding);
            assert_eq!(findings(&proofs[1]), [(3, 1, Class::FallsThrough)]);
            let next = 4 + padding as u64;
            assert_eq!(findings(&proofs[2]), [(next, 2, Class::WrongCfa)]);
        }
    }
    // One that loops for ever, and one of another file.
    for (last, callee) in [(bl(-3), [b(0)]), (bl(1000), [RET])] {
        let proofs = runs_into(last, &callee, 0);
        assert_eq!(findings(&proofs[1]), []);
        assert_eq!(findings(&proofs[2]), []);
        assert_eq!(proofs[1].counts.calls_at_end, 1);
    }
}

/// Code whose row does not hold after a call or trap, and that an indirect branch
/// agrees with; instruction 5 is the first of it.
fn after(word: u32, callee: &[u32]) -> Builder {
    let other = sp(32).record(16);
    let words = [PUSH_16, cbz(3), SUB_SP_16, BR_X16, word, NOP, POP_32, RET];
    let cfi = [
        (0, sp(0)),
        (1, BODY),
        (3, other),
        (4, BODY),
        (5, other),
        (7, sp(0)),
    ];
    Builder::default()
        .function(&words, &cfi)
        .function(callee, &[(0, sp(0))])
}

fn is_believed(builder: &Builder) -> bool {
    let proof = &builder.prove()[0];
    !findings(proof).iter().any(|(at, _, _)| *at == 5)
}

#[test]
fn a_function_may_return_by_eret_or_by_what_the_kernel_writes() {
    assert!(is_believed(&after(bl(4), &[b(0)])), "loops for ever");
    assert!(!is_believed(&after(bl(4), &[RET])));
    assert!(!is_believed(&after(bl(4), &[ERET])));
    let mut builder = after(bl(4), &[b(0)]);
    builder.text.patches.push(Patch {
        offset: 32,
        len: 4,
        replacement: Vec::new(),
        targets: Vec::new(),
    });
    assert!(!is_believed(&builder));
}

#[test]
fn the_table_of_bugs_says_which_traps_return() {
    let mut builder = after(BRK, &[RET]);
    assert!(!is_believed(&builder), "nothing says that it does not");
    builder.text.traps.insert(16, Trap::Warning);
    assert!(!is_believed(&builder));
    builder.text.traps.insert(16, Trap::Bug);
    assert!(is_believed(&builder));
}

#[test]
fn a_function_does_not_return_after_a_bug() {
    let mut builder = after(bl(4), &[BRK, RET]);
    assert!(!is_believed(&builder), "nothing says that it is one");
    builder.text.traps.insert(32, Trap::Warning);
    assert!(!is_believed(&builder));
    builder.text.traps.insert(32, Trap::Bug);
    assert!(is_believed(&builder));
}

#[test]
fn what_a_call_made_by_hand_returns_to_has_lost_the_registers() {
    // ldr x9, [sp, #8]; adr x30, .+8; br x16; str x9, [sp, #8]
    let words = |link| {
        [
            PUSH_16,
            MOV_FP_SP,
            LDR_X9_SP_8,
            link,
            BR_X16,
            STR_X9_SP_8,
            NOP,
            POP_16,
            RET,
        ]
    };
    let cfi = [(0, sp(0)), (1, BODY), (8, sp(0))];
    let of = |link| Builder::default().function(&words(link), &cfi).proof();
    assert_eq!(findings(&of(ADR_LR_8))[0].0, 6);
    assert_eq!(findings(&of(NOP)), [], "x30 is the return address");
}

#[test]
fn a_call_made_by_hand_needs_no_br() {
    // To 8, from 4 by `br`, and from a call made by hand: 5 to 7.
    let words = |call: [u32; 3]| {
        let before = [PUSH_16, MOV_FP_SP, LDR_X9_SP_8, cbz(2), BR_X16];
        let after = [STR_X9_SP_8, NOP, POP_16, RET];
        [&before[..], &call, &after].concat()
    };
    let cfi = [(0, sp(0)), (1, BODY), (11, sp(0))];
    let of = |call| Builder::default().function(&words(call), &cfi).proof();
    let lost = (9, 2, Class::WrongReturnAddress);
    for call in [[ADR_X16_8, ADR_LR_8, RET_X16], [NOP, ADR_LR_8, b(1000)]] {
        assert!(findings(&of(call)).contains(&lost), "{:#x}", call[2]);
    }
    // With the return address in x30 it is none, but wrong.
    let wrong = [(7, 1, Class::WrongTailCall)];
    assert_eq!(findings(&of([NOP, NOP, b(1000)])), wrong);
}

#[test]
fn a_branch_is_no_indirect_one() {
    // 1 is not reached: out of the function in the state of the entry, ...
    let tail_call = Builder::default().function(&[b(1000), NOP, RET], &[(0, sp(0))]);
    assert_eq!(findings(&tail_call.proof()), [(1, 2, Class::Unreached)]);
    // ... nor is 4: inside, with another address in x30.
    let words = [PUSH_16, MOV_FP_SP, ADR_LR_8, b(2), NOP, POP_16, RET];
    let cfi = [(0, sp(0)), (1, BODY), (6, sp(0))];
    let inside = Builder::default().function(&words, &cfi);
    assert_eq!(findings(&inside.proof()), [(4, 1, Class::Unreached)]);
}
