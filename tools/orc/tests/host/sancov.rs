// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The control flow that LLVM lists against the rows, in files made here.

use std::collections::BTreeMap;

use orctool::input::Input;
use orctool::proof::Class;
use orctool::sancov::{check, Counts, Kind, Problem, Report, What};

use crate::assemble::{
    op, EhFrame, Elf, ABS64, ALLOC, DYN, GLOBAL_FUNC, GLOBAL_NOTYPE, LOCAL_SECTION, MOV_FP, NOP,
    POP, PREL32, PROGBITS, PUSH, REL, RET, TEXT,
};

/// `br x8`, `b` to the next instruction but one, `cbz x0` to the fifth from here.
const BR: u32 = 0xd61f_0100;
const B_2: u32 = 0x1400_0002;
const CBZ_5: u32 = 0xb400_00a0;

/// A function with a jump to 12 or 20, and the return at 24.
const SWITCH: [u32; 8] = [PUSH, MOV_FP, BR, NOP, B_2, NOP, POP, RET];
/// A function that returns at 20 without a frame, or jumps to 12 with one.
const TWO_WAYS: [u32; 6] = [CBZ_5, PUSH, BR, POP, RET, RET];

/// A word of the list.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Word {
    /// The address of this offset in the text.
    At(u64),
    Null,
    /// A number without a relocation.
    Number(u64),
    /// A relocation of this type.
    Relocated(u32),
    /// The address of a symbol that another file defines.
    Extern,
    /// The address of this offset in the data.
    Data(u64),
}
use Word::{At, Data, Extern, Null, Number, Relocated};

const INDIRECT: Word = Number(u64::MAX);
const DELETED: Word = Number(1);

/// The list of [`SWITCH`].
const LIST: &str = "0 12 20 . . | 12 24 . . | 20 24 . * . | 24 . .";

/// A list: offsets, `.` for null, `*` for the callee of an indirect call, `x` for a
/// block that was deleted, `|` between blocks for who reads it.
fn list(text: &str) -> Vec<Word> {
    let words = text.split_whitespace().filter(|word| *word != "|");
    words
        .map(|word| match word {
            "." => Null,
            "*" => INDIRECT,
            "x" => DELETED,
            offset => At(offset.parse().unwrap()),
        })
        .collect()
}

/// The frame is there from instruction `first` up to `last`.
fn framed(first: u8, last: u8) -> Vec<Vec<u8>> {
    vec![
        op::advance(first),
        op::def_cfa_offset(16),
        op::offset(29, 16),
        op::offset(30, 8),
        op::advance(last - first),
        op::def_cfa_offset(0),
        op::restore(29),
        op::restore(30),
    ]
}

/// An object with this function, this CFI and this list, and the leaf `bare` at 64
/// that no CFI describes.
fn object(words: &[u32], cfi: &[Vec<u8>], list: &[Word]) -> Elf {
    let mut elf = Elf::new(REL);
    let mut all = words.to_vec();
    all.resize(16, NOP);
    all.extend([NOP, RET]);
    let text = elf.text(".text", 0, &all);
    let data = elf.section(".data", PROGBITS, ALLOC, 0, &[0; 64]);
    let mut frame = EhFrame::new(false);
    let start = frame.fde(0, 4 * words.len() as u32, cfi);
    let frame = elf.section(".eh_frame", PROGBITS, ALLOC, 0, &frame.bytes);
    let text_symbol = elf.symbol("", LOCAL_SECTION, text, 0, 0);
    let data_symbol = elf.symbol("", LOCAL_SECTION, data, 0, 0);
    elf.rela(frame, &[(start, PREL32, text_symbol, 0)]);
    elf.symbol("function", GLOBAL_FUNC, text, 0, 4 * words.len() as u64);
    elf.symbol("bare", GLOBAL_FUNC, text, 64, 8);
    let other = elf.symbol("other", GLOBAL_NOTYPE, 0, 0, 0);
    let mut bytes = Vec::new();
    let mut relocations = Vec::new();
    for word in list {
        let at = bytes.len() as u64;
        let mut value = 0;
        match *word {
            At(offset) => relocations.push((at, ABS64, text_symbol, offset as i64)),
            Data(offset) => relocations.push((at, ABS64, data_symbol, offset as i64)),
            Relocated(kind) => relocations.push((at, kind, text_symbol, 12)),
            Extern => relocations.push((at, ABS64, other, 0)),
            Number(number) => value = number,
            Null => {}
        }
        bytes.extend(value.to_le_bytes());
    }
    let cfs = elf.section("__sancov_cfs", PROGBITS, ALLOC, 0, &bytes);
    elf.rela(cfs, &relocations);
    elf
}

fn switch(list: &[Word]) -> Elf {
    object(&SWITCH, &framed(1, 7), list)
}

fn two_ways(list: &[Word]) -> Elf {
    object(&TWO_WAYS, &framed(2, 4), list)
}

/// An object with two disagreements and a list that ends with a null too many.
pub fn disagreeing() -> Elf {
    two_ways(&list("0 20 4 . . | 4 12 20 . . | 12 . . | 20 . . | ."))
}

fn report(elf: &Elf) -> Report {
    let file = elf.build();
    check(&Input::read_all_text(&file).unwrap()).expect("it has the section")
}

/// The kinds of edges that there are, with how many of each.
fn kinds(counts: &Counts) -> BTreeMap<&'static str, u64> {
    let kinds = Kind::ALL.iter().zip(counts.by_kind);
    let kinds = kinds.map(|(kind, count)| (kind.name(), count));
    kinds.filter(|(_, count)| *count != 0).collect()
}

fn disagreements(report: &Report) -> Vec<(u64, u64, What)> {
    let all = report.disagreements.iter();
    all.map(|d| (d.from, d.to, d.what)).collect()
}

fn problems(report: &Report) -> Vec<(u64, Problem)> {
    let all = report.malformed.iter();
    all.map(|m| (m.offset, m.problem)).collect()
}

/// The list with the word at this offset replaced.
fn with(offset: usize, word: Word) -> Vec<Word> {
    let mut words = list(LIST);
    words[offset / 8] = word;
    words
}

#[test]
fn a_file_without_the_section_has_no_report() {
    let file = crate::assemble::module().build();
    assert!(check(&Input::read_all_text(&file).unwrap()).is_none());
}

#[test]
fn listed_edges_replace_assumptions() {
    let report = report(&switch(&list(LIST)));
    assert_eq!(disagreements(&report), []);
    assert_eq!(problems(&report), []);
    let counts = report.counts;
    assert_eq!((counts.functions, counts.not_listed), (1, 0));
    assert_eq!((counts.blocks, counts.edges), (4, 4));
    assert_eq!(kinds(&counts), [("direct", 2), ("indirect", 2)].into());
    assert_eq!(counts.indirect_branches, 1);
    assert_eq!((counts.assumed_without, counts.assumed_with), (2, 0));
    let not_direct: Vec<_> = report.not_direct.iter().map(|e| (e.from, e.to)).collect();
    assert_eq!(not_direct, [(0, Some(12)), (0, Some(20))]);
}

#[test]
fn a_linked_file_has_plain_addresses() {
    let mut elf = Elf::new(DYN);
    let text = elf.text(".text", TEXT, &SWITCH);
    let at = TEXT + 0x1000;
    let mut frame = EhFrame::new(false);
    frame.fde(TEXT as i64 - at as i64, 32, &framed(1, 7));
    elf.section(".eh_frame", PROGBITS, ALLOC, at, &frame.bytes);
    elf.symbol("function", GLOBAL_FUNC, text, TEXT, 32);
    let mut bytes = Vec::new();
    for word in with(40, Number(0x1000)) {
        let value = match word {
            At(offset) => TEXT + offset,
            Number(number) => number,
            _ => 0,
        };
        bytes.extend(value.to_le_bytes());
    }
    elf.section("__sancov_cfs", PROGBITS, ALLOC, TEXT + 0x2000, &bytes);
    let report = report(&elf);
    assert_eq!(
        kinds(&report.counts),
        [("direct", 1), ("indirect", 2)].into()
    );
    assert_eq!(problems(&report), [(40, Problem::NotText)]);
}

/// The proof by direct flow has no complaint here: 20 is reached without a frame,
/// and returns. That the jump leads there too, with a frame, only the list says.
#[test]
fn an_indirect_edge_into_another_state_disagrees() {
    let report_of = |targets: &str| {
        let listed = format!("0 20 4 . . | 4 {targets} . . | 12 . . | 20 . .");
        report(&two_ways(&list(&listed)))
    };
    assert_eq!(disagreements(&report_of("12")), []);
    let report = report_of("12 20");
    let expected = [(8, 20, What::Claim(Class::WrongCfa)), (20, 20, What::Row)];
    assert_eq!(disagreements(&report), expected);
    let first = &report.disagreements[0];
    assert_eq!(first.claim.as_ref().map(|claim| claim.cfa.offset), Some(0));
    assert!(first.facts.starts_with("sp=CFA-16, "), "{}", first.facts);
}

#[test]
fn an_indirect_branch_without_a_list_is_found() {
    let report = report(&switch(&list("0 . .")));
    assert_eq!(disagreements(&report), [(8, 8, What::NotListed)]);
}

#[test]
fn a_tail_call_is_no_indirect_branch_without_a_list() {
    let leaf = |callee: Word| {
        let list = [At(0), Null, callee, Null];
        report(&object(&[NOP, BR], &[], &list))
    };
    assert_eq!(disagreements(&leaf(INDIRECT)), []);
    assert_eq!(disagreements(&leaf(Extern)), [(4, 4, What::NotListed)]);
}

/// CFI rows: after how many instructions the frame comes or goes, in turn.
fn rows(distances: &[u8]) -> Vec<Vec<u8>> {
    let made = [
        op::def_cfa_offset(16),
        op::offset(29, 16),
        op::offset(30, 8),
    ];
    let undone = [op::def_cfa_offset(0), op::restore(29), op::restore(30)];
    let states = [made.concat(), undone.concat()];
    let rows = distances.iter().zip(states.iter().cycle());
    rows.flat_map(|(by, state)| [op::advance(*by), state.clone()])
        .collect()
}

/// The code of the block at 28, a switch, was copied to where the one at 0 went on
/// to it: the jump at 8 goes where the one at 32 goes.
#[test]
fn a_copied_switch_goes_where_the_switch_goes() {
    let listed = list("0 28 . . | 28 12 20 12 . . | 12 . . | 20 . .");
    let words = |at_20| [PUSH, MOV_FP, BR, POP, RET, at_20, RET, NOP, BR];
    let agreed = report(&object(&words(POP), &rows(&[1, 3, 1, 1, 1]), &listed));
    assert_eq!(disagreements(&agreed), []);
    let counts = agreed.counts;
    assert_eq!(kinds(&counts), [("indirect", 3)].into());
    assert_eq!((counts.assumed_without, counts.assumed_with), (3, 0));

    // No frame at 20.
    let differs = report(&object(&words(NOP), &rows(&[1, 3, 3]), &listed));
    let wrong = What::Claim(Class::WrongCfa);
    assert_eq!(disagreements(&differs), [(8, 20, wrong), (32, 20, wrong)]);
}

/// The block at 20, a tail call, was copied to 12: the jump at 16 leaves the function.
#[test]
fn a_copied_tail_call_goes_to_no_block() {
    let listed = list("0 20 28 . . | 20 . * . | 28 . .");
    let words = [PUSH, MOV_FP, CBZ_5, POP, BR, POP, BR, POP, RET];
    let report = report(&object(&words, &rows(&[1, 3, 1, 1, 1, 1]), &listed));
    assert_eq!(disagreements(&report), []);
    assert_eq!(kinds(&report.counts), [("absent", 1), ("direct", 1)].into());
}

/// Labels of deleted blocks are at the start of the function.
#[test]
fn an_indirect_branch_does_not_go_to_a_deleted_block() {
    let report = report(&switch(&with(16, At(0))));
    assert_eq!(disagreements(&report), []);
    assert_eq!(
        kinds(&report.counts),
        [("deleted", 1), ("direct", 2), ("indirect", 1)].into()
    );
}

#[test]
fn edges_without_machine_code_are_counted_by_kind() {
    let kinds_with = |offset, word| kinds(&report(&switch(&with(offset, word))).counts);
    let three = |name| [("direct", 1), ("indirect", 2), (name, 1)].into();
    assert_eq!(kinds_with(48, At(12)), three("folded"));
    assert_eq!(kinds_with(48, At(28)), three("absent"));
    assert_eq!(kinds_with(48, At(0)), three("deleted"));
    assert_eq!(kinds_with(48, At(32)), three("deleted"));
    assert_eq!(kinds_with(48, DELETED), three("deleted"));
    assert_eq!(kinds_with(40, DELETED), three("deleted"));
}

#[test]
fn an_edge_from_code_that_nothing_reaches_is_counted() {
    let words = [PUSH, POP, RET, NOP, RET];
    let listed = list("0 . . | 12 16 . . | 16 . .");
    let report = report(&object(&words, &framed(1, 2), &listed));
    assert_eq!(kinds(&report.counts), [("unreached", 1)].into());
}

#[test]
fn what_is_malformed_is_found() {
    use Problem as P;
    type Case = (&'static str, Vec<Word>, &'static [(u64, Problem)]);
    let cases: &[Case] = &[
        (
            "cut off",
            list(LIST)[..16].to_vec(),
            &[(112, P::NoTerminator)],
        ),
        (
            "cut off before",
            list(LIST)[..7].to_vec(),
            &[(40, P::NoTerminator)],
        ),
        (
            "no relocation",
            with(48, Number(0x1_0018)),
            &[(48, P::NoRelocation)],
        ),
        (
            "of a block",
            with(40, Number(0x1_000c)),
            &[(40, P::NoRelocation)],
        ),
        ("of a callee", with(96, Number(4)), &[(96, P::NoRelocation)]),
        (
            "other relocation",
            with(48, Relocated(PREL32)),
            &[(48, P::BadRelocation)],
        ),
        ("data", with(48, Data(8)), &[(48, P::NotText)]),
        ("past the section", with(48, At(76)), &[(48, P::NotText)]),
        (
            "inside an instruction",
            with(48, At(22)),
            &[(48, P::Misaligned)],
        ),
        (
            "successor elsewhere",
            with(48, At(64)),
            &[(48, P::SuccessorOutside)],
        ),
        (
            "successor in a hole",
            with(48, At(36)),
            &[(48, P::SuccessorOutside)],
        ),
        (
            "successor undefined",
            with(48, Extern),
            &[(48, P::SuccessorOutside)],
        ),
        (
            "successor a callee",
            with(48, INDIRECT),
            &[(48, P::SuccessorOutside)],
        ),
        ("block undefined", with(40, Extern), &[(40, P::NoBlock)]),
        ("block a callee", with(40, INDIRECT), &[(40, P::NoBlock)]),
        (
            "block in a hole",
            with(112, At(40)),
            &[(112, P::BlockOutside)],
        ),
        (
            "first block inside",
            list("12 24 . ."),
            &[(0, P::BlockOutside)],
        ),
        ("nothing but nulls", vec![Null; 4], &[(0, P::NoBlock)]),
        ("without CFI", list("64 . ."), &[(0, P::NoClaims)]),
        (
            "first block deleted",
            list("x . ."),
            &[(0, P::BlockOutside)],
        ),
    ];
    for (name, list, expected) in cases {
        let report = report(&switch(list));
        assert_eq!(problems(&report), *expected, "{name}");
    }
}

#[test]
fn a_block_of_the_next_function_needs_its_start_first() {
    let listed = with(112, At(68));
    let report = report(&switch(&listed));
    assert_eq!(problems(&report), [(112, Problem::BlockOutside)]);
}

/// A block without code at the end of a function is where the next one starts.
#[test]
fn a_block_at_the_end_belongs_to_the_function_that_goes_on() {
    let mut words = vec![PUSH, MOV_FP, BR, POP, RET];
    words.resize(16, NOP);
    let problems_of = |text| {
        let elf = object(&words, &framed(1, 4), &list(text));
        problems(&report(&elf))
    };
    assert_eq!(problems_of("0 12 64 . . | 64 . . | 12 . ."), []);
    assert_eq!(
        problems_of("0 12 . . | 12 . . | 64 . ."),
        [(56, Problem::NoClaims)]
    );
}

#[test]
fn a_section_that_ends_inside_a_word_is_found() {
    let mut elf = switch(&list(LIST));
    let section = elf.sections.iter_mut().find(|s| s.name == "__sancov_cfs");
    section.unwrap().data.extend([1, 2, 3]);
    let report = report(&elf);
    assert_eq!(problems(&report), [(136, Problem::PartialWord)]);
    assert_eq!(report.counts.edges, 4, "the rest is read");
}

#[test]
fn malformed_relocations_are_found() {
    let mut elf = switch(&list(LIST));
    let table = elf
        .sections
        .iter_mut()
        .find(|s| s.name == ".rela__sancov_cfs");
    let table = table.unwrap();
    // The first relocation is between two words, the second past the end.
    table.data[0] = 4;
    let beside = report(&elf);
    assert_eq!(problems(&beside)[0], (0, Problem::NoBlock));
    assert_eq!(problems(&beside)[1], (4, Problem::BadRelocation));
    let table = elf
        .sections
        .iter_mut()
        .find(|s| s.name == ".rela__sancov_cfs");
    table.unwrap().data[24 + 1] = 4;
    assert_eq!(problems(&report(&elf)), [(0, Problem::Relocations)]);
}
