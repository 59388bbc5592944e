// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Which functions a section is found to hold.

use orc::rule::Rule;
use orctool::generate::Proved;
use orctool::input::Input;
use orctool::text::{Kind, Target};

use crate::assemble::{
    framed_cfi, kernel, EhFrame, Elf, CALL26, GLOBAL_FUNC, GLOBAL_NOTYPE, JUMP26, LOCAL_NOTYPE,
    LOCAL_SECTION, MOV_FP, NOP, POP, PUSH, REL, RET, TEXT,
};

type Found = (String, u64, u64, Kind, bool);

/// add x0, x0, x0
const ADD: u32 = 0x8b00_0000;

/// A kernel whose `.text` is these words, and these symbols in it.
fn text(words: &[u32], symbols: &[(&str, u8, u64, u64)]) -> Elf {
    let mut elf = kernel(None);
    elf.sections[1].data = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    elf.symbols.truncate(1);
    for (name, info, offset, size) in symbols {
        elf.symbol(name, *info, 1, TEXT + offset, *size);
    }
    elf
}

/// Name, range, kind, and whether there is CFI, in a `.text` of 16 additions.
fn found(symbols: &[(&str, u8, u64, u64)], fdes: &[(u64, u32)]) -> Vec<Found> {
    found_in(&[ADD; 16], symbols, fdes)
}

/// The same, in a `.text` of these words.
fn found_in(words: &[u32], symbols: &[(&str, u8, u64, u64)], fdes: &[(u64, u32)]) -> Vec<Found> {
    let file = file(words, symbols, fdes);
    let input = Input::read(&file).unwrap();
    let functions = input.texts[0].text.functions.iter();
    functions
        .map(|f| (f.name.clone(), f.start, f.end, f.kind, f.claims.is_some()))
        .collect()
}

fn file(words: &[u32], symbols: &[(&str, u8, u64, u64)], fdes: &[(u64, u32)]) -> Vec<u8> {
    let mut elf = text(words, symbols);
    let mut frame = EhFrame::new(false);
    for (start, len) in fdes {
        frame.fde(*start as i64 - 0x1000, *len, &[]);
    }
    elf.sections[2].data = frame.bytes;
    elf.build()
}

fn function(name: &str, start: u64, end: u64, kind: Kind, cfi: bool) -> Found {
    (name.into(), start, end, kind, cfi)
}

use Kind::{Code, Func};

#[test]
fn cfi_and_symbols_together() {
    let symbols = [
        ("described", GLOBAL_FUNC, 0, 16),
        ("leaf", GLOBAL_FUNC, 16, 8),
        ("code", GLOBAL_NOTYPE, 24, 8),
        ("described_code", GLOBAL_NOTYPE, 32, 8),
    ];
    let expected = [
        function("described", 0, 16, Func, true),
        function("leaf", 16, 24, Func, false),
        function("code", 24, 32, Code, false),
        function("described_code", 32, 40, Code, true),
    ];
    assert_eq!(found(&symbols, &[(0, 16), (32, 8)]), expected);
}

#[test]
fn a_symbol_of_a_function_inside_another_is_an_entry() {
    let entries = |inside| {
        let symbols = [("outer", GLOBAL_FUNC, 0, 32), ("inside", inside, 8, 0)];
        let file = file(&[ADD; 16], &symbols, &[(0, 32)]);
        let input = Input::read(&file).unwrap();
        input.texts[0].text.entries.clone()
    };
    assert_eq!(entries(GLOBAL_FUNC), [8]);
    assert_eq!(entries(GLOBAL_NOTYPE), [0; 0]);
}

#[test]
fn labels_and_marks_are_no_functions() {
    let symbols = [
        ("$x", LOCAL_NOTYPE, 0, 0),
        ("$d.7", LOCAL_NOTYPE, 8, 0),
        ("label", GLOBAL_NOTYPE, 0, 0),
        ("sizeless", GLOBAL_FUNC, 16, 0),
        ("object", 0x11, 24, 8),
        ("inside_an_instruction", GLOBAL_FUNC, 34, 8),
    ];
    assert_eq!(found(&symbols, &[]), []);
}

#[test]
fn the_best_symbol_names_a_place() {
    let symbols = [
        ("local", 0x02, 0, 8),
        ("label", GLOBAL_NOTYPE, 0, 0),
        ("zeta", GLOBAL_FUNC, 0, 8),
        ("alias", GLOBAL_FUNC, 0, 8),
        ("code", GLOBAL_NOTYPE, 0, 8),
    ];
    assert_eq!(found(&symbols, &[]), [function("alias", 0, 8, Func, false)]);
}

#[test]
fn what_cfi_leaves_of_a_symbol_is_no_function() {
    let symbols = [("f", GLOBAL_FUNC, 0, 32)];
    let expected = [
        function("f+0x0", 0, 8, Code, false),
        function("f+0x8", 8, 16, Code, true),
        function("f+0x10", 16, 32, Code, false),
    ];
    assert_eq!(found(&symbols, &[(8, 8)]), expected);
}

#[test]
fn nops_before_the_cfi_are_part_of_a_function() {
    let symbols = [("f", GLOBAL_FUNC, 0, 32)];
    let mut words = [NOP, NOP, ADD, ADD, ADD, ADD, ADD, ADD];
    let whole = [function("f", 0, 32, Func, true)];
    assert_eq!(found_in(&words, &symbols, &[(8, 24)]), whole);
    // Not what is behind another FDE, ...
    let parts = [
        function("f", 0, 8, Func, true),
        function("f+0x8", 8, 16, Code, false),
        function("f+0x10", 16, 32, Code, true),
    ];
    let two = [(0, 8), (16, 16)];
    assert_eq!(found_in(&[NOP; 8], &symbols, &two), parts);
    // ... what does something, or what is no function.
    words[1] = ADD;
    assert!(!found_in(&words, &symbols, &[(8, 24)])[0].4);
    let code = [("f", GLOBAL_NOTYPE, 0, 32)];
    assert!(!found_in(&[NOP; 8], &code, &[(8, 24)])[0].4);
}

#[test]
fn calls_go_to_the_symbol_before_the_cfi() {
    let symbols = [
        ("f", GLOBAL_FUNC, 0, 16),
        ("alias", GLOBAL_FUNC, 0, 16),
        ("bare", GLOBAL_FUNC, 16, 4),
        ("g", GLOBAL_FUNC, 20, 4),
    ];
    let words = [NOP, NOP, ADD, RET, RET, RET];
    let file = file(&words, &symbols, &[(8, 8), (20, 4)]);
    let input = Input::read(&file).unwrap();
    let rows = Proved::new(&input, || ()).rows(&input);
    let marked = (0..6).map(|word| match rows[0].at(4 * word) {
        Some(Rule::Frame(frame)) => frame.left_by_return,
        _ => None,
    });
    // The size of the second is rounded up.
    let expected = [16, 16, 16, 16, 8, 8].map(Some);
    assert!(marked.eq(expected), "{:?}", rows[0].rows);
}

/// It has a row with what comes behind it: that is the mark of the function there.
#[test]
fn an_entry_behind_a_frame_has_no_mark_of_another() {
    let symbols = [
        ("outer", GLOBAL_FUNC, 0, 32),
        ("inside", GLOBAL_FUNC, 16, 16),
        ("next", GLOBAL_FUNC, 32, 4),
    ];
    let words = [PUSH, MOV_FP, NOP, POP, ADD, ADD, ADD, RET, RET];
    let mut elf = text(&words, &symbols);
    let mut frame = EhFrame::new(false);
    frame.fde(-0x1000, 32, &framed_cfi());
    elf.sections[2].data = frame.bytes;
    let file = elf.build();
    let input = Input::read(&file).unwrap();
    let rows = Proved::new(&input, || ()).rows(&input);
    let mark = |offset| match rows[0].at(offset) {
        Some(Rule::Frame(frame)) => frame.left_by_return,
        rule => panic!("{rule:?}"),
    };
    assert_eq!([mark(0), mark(16), mark(32)], [None, None, Some(8)]);
}

#[test]
fn cfi_without_a_symbol_is_kept() {
    let expected = [function("0xffff800080010000", 0, 8, Code, true)];
    assert_eq!(found(&[], &[(0, 8)]), expected);
}

#[test]
fn a_second_entry_into_a_leaf_is_part_of_it() {
    let symbols = [("outer", GLOBAL_FUNC, 0, 32), ("inner", GLOBAL_FUNC, 8, 24)];
    assert_eq!(
        found(&symbols, &[]),
        [function("outer", 0, 32, Func, false)]
    );
}

#[test]
fn symbols_that_merely_overlap_are_no_functions() {
    for inner in [
        ("inner", GLOBAL_FUNC, 8, 32),
        ("inner", GLOBAL_NOTYPE, 8, 32),
    ] {
        let symbols = [("outer", GLOBAL_FUNC, 0, 32), inner];
        assert_eq!(
            found(&symbols, &[]),
            [function("outer", 0, 40, Code, false)]
        );
    }
}

#[test]
fn a_size_past_the_end_is_cut() {
    for size in [80, u64::MAX] {
        let symbols = [("f", GLOBAL_FUNC, 48, size)];
        assert_eq!(found(&symbols, &[]), [function("f", 48, 64, Func, false)]);
    }
}

#[test]
fn nothing_foreign_is_a_function() {
    let symbols = [
        ("__hyp_text_start", GLOBAL_NOTYPE, 16, 0),
        ("__hyp_text_end", GLOBAL_NOTYPE, 48, 0),
        ("before", GLOBAL_FUNC, 8, 8),
        ("hyp", GLOBAL_FUNC, 16, 8),
        ("across", GLOBAL_FUNC, 40, 16),
    ];
    assert_eq!(
        found(&symbols, &[(24, 8)]),
        [function("before", 8, 16, Func, false)]
    );
}

#[test]
fn marks_delimit_data() {
    let mut elf = kernel(None);
    for (name, offset) in [
        ("$x.0", 0),
        ("$d.1", 8),
        ("$x.2", 16),
        ("$d", 40),
        ("$data", 0),
    ] {
        elf.symbol(name, LOCAL_NOTYPE, 1, TEXT + offset, 0);
    }
    let file = elf.build();
    let input = Input::read(&file).unwrap();
    assert_eq!(input.texts[0].text.data, [8..16, 40..48]);
}

#[test]
fn relocated_branches_have_their_targets() {
    let mut elf = Elf::new(REL);
    let text = elf.text(".text", 0, &[0x9400_0000, 0x1400_0000, 0x9400_0000, NOP]);
    let other = elf.text(".init.text", 0, &[NOP]);
    let here = elf.symbol("", LOCAL_SECTION, text, 0, 0);
    let there = elf.symbol("", LOCAL_SECTION, other, 0, 0);
    let outside = elf.symbol("outside", GLOBAL_NOTYPE, 0, 0, 0);
    elf.rela(
        text,
        &[
            (0, CALL26, here, 12),
            (4, JUMP26, there, 0),
            (8, CALL26, outside, 0),
        ],
    );
    let file = elf.build();
    let input = Input::read(&file).unwrap();
    let branches: Vec<_> = input.texts[0].text.branches.clone().into_iter().collect();
    let expected = [
        (0, Target::Local(12)),
        (
            4,
            Target::Section {
                index: usize::from(other),
                offset: 0,
            },
        ),
        (8, Target::External),
    ];
    assert_eq!(branches, expected);
}

#[test]
fn what_the_module_loader_fills_has_no_table() {
    let mut elf = crate::assemble::module();
    for name in [
        ".plt",
        ".init.plt",
        ".text.ftrace_trampoline",
        ".init.text.ftrace_trampoline",
    ] {
        elf.text(name, 0, &[NOP]);
    }
    let file = elf.build();
    let input = Input::read(&file).unwrap();
    let names: Vec<&str> = input.texts.iter().map(|t| t.text.name.as_str()).collect();
    assert_eq!(names, [".text", ".init.text"]);
}

#[test]
fn of_a_kernel_only_text_has_a_table() {
    let mut elf = kernel(None);
    elf.text(".init.text", TEXT + 0x4000, &[NOP]);
    elf.text(".rodata.text", TEXT + 0x5000, &[NOP]);
    elf.text(".plt", TEXT + 0x6000, &[NOP]);
    let file = elf.build();
    assert_eq!(Input::read(&file).unwrap().texts.len(), 1);
    let all = Input::read_all_text(&file).unwrap();
    let names: Vec<&str> = all.texts.iter().map(|t| t.text.name.as_str()).collect();
    assert_eq!(names, [".text", ".init.text", ".rodata.text"]);
}

#[test]
fn foreign_text_can_be_looked_at() {
    let symbols = [
        ("__hyp_text_start", GLOBAL_NOTYPE, 16, 0),
        ("__hyp_text_end", GLOBAL_NOTYPE, 48, 0),
        ("hyp", GLOBAL_FUNC, 24, 8),
    ];
    let file = text(&[NOP; 16], &symbols).build();
    let has_hyp = |input: Input<'_>| {
        let mut functions = input.texts[0].text.functions.iter();
        functions.any(|f| f.name == "hyp")
    };
    assert!(!has_hyp(Input::read(&file).unwrap()));
    assert!(has_hyp(Input::read_all_text(&file).unwrap()));
}
