// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Alternatives and jump labels.

use orctool::input::Input;
use orctool::text::{Patch, Target};

use crate::assemble::{
    kernel, Elf, ALLOC, GLOBAL_FUNC, GLOBAL_NOTYPE, JUMP26, LOCAL_SECTION, NOP, PREL32, PROGBITS,
    REL, RET, TEXT,
};

/// `sub sp, sp, #16`.
const SUB_SP: u32 = 0xd100_43ff;

/// `struct alt_instr`, at a place.
fn alternative(at: u64, site: u64, other: u64, capability: u16, len: [u8; 2]) -> Vec<u8> {
    let mut entry = Vec::new();
    entry.extend((site.wrapping_sub(at) as u32).to_le_bytes());
    entry.extend((other.wrapping_sub(at + 4) as u32).to_le_bytes());
    entry.extend(capability.to_le_bytes());
    entry.extend(len);
    entry
}

/// A kernel with these words, and tables at `TEXT + 0x4000`.
fn with_table(words: &[u32], name: &str, table: &[u8]) -> Elf {
    let mut elf = kernel(None);
    elf.sections[1].data = crate::assemble::bytes(words);
    elf.sections[2].data.clear();
    elf.symbols.truncate(2);
    elf.section(name, PROGBITS, ALLOC, TEXT + 0x4000, table);
    elf
}

fn patches(elf: &Elf) -> Result<Vec<Patch>, String> {
    let file = elf.build();
    let input = Input::read(&file).map_err(|e| e.to_string())?;
    Ok(input.texts[0].text.patches.clone())
}

fn one(words: &[u32], entry: &[u8]) -> Result<Vec<Patch>, String> {
    let mut elf = with_table(words, ".altinstructions", entry);
    elf.symbol("alt_cb_patch_nops", GLOBAL_FUNC, 1, TEXT + 8, 4);
    patches(&elf)
}

fn patch(offset: u64, replacement: &[u32]) -> Result<Vec<Patch>, String> {
    Ok(vec![Patch {
        offset,
        len: 4 * replacement.len().max(1) as u64,
        replacement: replacement.to_vec(),
        targets: Vec::new(),
    }])
}

const TABLE: u64 = TEXT + 0x4000;

#[test]
fn reads_the_replacement() {
    let words = [NOP, NOP, RET, SUB_SP, RET];
    let entry = alternative(TABLE, TEXT, TEXT + 12, 5, [8, 8]);
    assert_eq!(one(&words, &entry), patch(0, &[SUB_SP, RET]));
}

#[test]
fn branches_are_moved_with_their_replacement() {
    // b .-12 at 16 goes to 4; at the site, 0, it is b .+4.
    let words = [NOP, NOP, NOP, RET, 0x17ff_fffd];
    let entry = alternative(TABLE, TEXT, TEXT + 16, 5, [4, 4]);
    assert_eq!(one(&words, &entry), patch(0, &[0x1400_0001]));
    // b .+4 inside the replacement stays.
    let words = [NOP, NOP, RET, 0x1400_0001, NOP];
    let entry = alternative(TABLE, TEXT, TEXT + 12, 5, [8, 8]);
    assert_eq!(one(&words, &entry), patch(0, &[0x1400_0001, NOP]));
}

#[test]
fn callbacks_write_nops_or_the_unknown() {
    let words = [NOP, NOP, RET, NOP];
    let nops = alternative(TABLE, TEXT, TEXT + 8, 0x8005, [4, 0]);
    assert_eq!(one(&words, &nops), patch(0, &[NOP]));
    let other = alternative(TABLE, TEXT, TEXT + 12, 0x8005, [4, 0]);
    assert_eq!(one(&words, &other), patch(0, &[]));
}

#[test]
fn refuses_tables_that_make_no_sense() {
    let words = [NOP, NOP, RET, NOP];
    let good = alternative(TABLE, TEXT, TEXT + 12, 5, [4, 4]);
    let cases = [
        (good[..11].to_vec(), "truncated entry"),
        (
            alternative(TABLE, TEXT + 0x1000, TEXT, 5, [4, 4]),
            "site is not text",
        ),
        (
            alternative(TABLE, TEXT + 2, TEXT, 5, [4, 4]),
            "site is not whole",
        ),
        (
            alternative(TABLE, TEXT + 12, TEXT, 5, [8, 8]),
            "site is not whole",
        ),
        (
            alternative(TABLE, TEXT, TEXT, 5, [4, 8]),
            "replacement of another length",
        ),
        (
            alternative(TABLE, TEXT, TEXT + 0x1000, 5, [4, 4]),
            "replacement is not text",
        ),
        (
            alternative(TABLE, TEXT, TEXT + 12, 5, [8, 8]),
            "replacement cut off",
        ),
    ];
    for (entry, expected) in cases {
        let message = one(&words, &entry).unwrap_err();
        assert!(message.starts_with(".altinstructions+0x0: "), "{message}");
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn a_site_in_text_of_other_kind_is_left_out() {
    let words = [NOP, NOP, RET, NOP];
    let entry = alternative(TABLE, TEXT + 0x2000, TEXT, 5, [4, 4]);
    assert_eq!(
        one(&words, &entry),
        Ok(vec![]),
        ".notes, as .idmap.text in an object"
    );
}

fn jumps(words: &[u32], site: u64, target: u64) -> Result<Vec<Patch>, String> {
    let mut table = (site.wrapping_sub(TABLE) as u32).to_le_bytes().to_vec();
    table.extend((target.wrapping_sub(TABLE + 4) as u32).to_le_bytes());
    table.extend([0; 8]);
    let mut elf = with_table(words, ".rodata", &[&[0; 16], &table[..]].concat());
    for section in elf.sections.iter_mut().filter(|s| s.name == ".rodata") {
        section.address -= 16;
    }
    let number = elf.sections.len() as u16 - 1;
    elf.symbol("__start___jump_table", GLOBAL_NOTYPE, number, TABLE, 0);
    elf.symbol("__stop___jump_table", GLOBAL_NOTYPE, number, TABLE + 16, 0);
    patches(&elf)
}

#[test]
fn a_jump_label_is_a_nop_and_a_branch() {
    let words = [NOP, 0x1400_0002, RET, NOP];
    assert_eq!(jumps(&words, TEXT, TEXT + 12), patch(0, &[0x1400_0003]));
    assert_eq!(jumps(&words, TEXT + 4, TEXT + 12), patch(4, &[NOP]));
    assert!(jumps(&words, TEXT, TEXT + 0x1000)
        .unwrap_err()
        .contains("target is not text"));
}

#[test]
fn reads_a_modules_tables_by_relocation() {
    let mut elf = Elf::new(REL);
    let text = elf.text(".text", 0, &[NOP, NOP, RET, 0x9400_0000]);
    let table = elf.section(".altinstructions", PROGBITS, ALLOC, 0, &[0; 24]);
    for (entry, lengths) in [(0, [4, 0]), (12, [4, 4])] {
        let data = &mut elf.sections[usize::from(table)].data;
        data[entry + 10..entry + 12].copy_from_slice(&lengths);
    }
    // The first is a callback.
    elf.sections[usize::from(table)].data[9] = 0x80;
    let here = elf.symbol("", LOCAL_SECTION, text, 0, 0);
    let nops = elf.symbol("alt_cb_patch_nops", GLOBAL_NOTYPE, 0, 0, 0);
    let outside = elf.symbol("outside", GLOBAL_NOTYPE, 0, 0, 0);
    elf.rela(
        table,
        &[
            (0, PREL32, here, 0),
            (4, PREL32, nops, 0),
            (12, PREL32, here, 4),
            (16, PREL32, here, 12),
        ],
    );
    // What replaces the second branches to who knows where.
    elf.rela(text, &[(12, JUMP26, outside, 0)]);
    let mut second = patch(4, &[0x9400_0000]).unwrap();
    second[0].targets = vec![(4, Target::External)];
    let expected = [patch(0, &[NOP]).unwrap(), second.clone()].concat();
    assert_eq!(patches(&elf), Ok(expected.clone()));

    // Another callback writes what only it knows.
    elf.symbols[nops as usize].name = "kvm_update_va_mask".into();
    let expected = [patch(0, &[]).unwrap(), second].concat();
    assert_eq!(patches(&elf), Ok(expected));
}

/// How many instructions are proved to be in a leaf of these words, when the
/// first one has this relocation.
fn leaf_of(words: &[u32], relocation: u32) -> u64 {
    let mut elf = Elf::new(REL);
    let text = elf.text(".text", 0, words);
    let symbol = elf.symbol("", LOCAL_SECTION, text, 0, 0);
    elf.rela(text, &[(0, relocation, symbol, 0)]);
    elf.symbol("f", GLOBAL_FUNC, text, 0, words.len() as u64 * 4);
    let file = elf.build();
    let input = Input::read(&file).unwrap();
    let (_, proofs) = orctool::proof::Prover::section(&input.texts[0].text, || ());
    proofs.iter().map(|proof| proof.counts.leaf).sum()
}

#[test]
fn an_immediate_that_the_linker_fills_in_is_not_known() {
    const NONE: u32 = 0;
    const MOVW_UABS_G0: u32 = 263;
    const ADD_ABS_LO12_NC: u32 = 277;
    const LDST64_ABS_LO12_NC: u32 = 286;
    // movz x12, #0; sub sp, sp, x12: nothing moves, if it stays 0.
    let moved = [0xd280_000c, 0xcb2c_63ff, RET];
    // add x9, sp, #0; mov sp, x9.
    let added = [0x9100_03e9, 0x9100_013f, RET];
    // add x9, x8, #0; nop.
    let other = [0x9100_0109, NOP, RET];
    // str x9, [x8]: an address that does not come from SP.
    let stored = [0xf900_0109, NOP, RET];
    for (words, relocation) in [
        (moved, MOVW_UABS_G0),
        (added, ADD_ABS_LO12_NC),
        (other, ADD_ABS_LO12_NC),
        (stored, LDST64_ABS_LO12_NC),
    ] {
        assert_eq!(leaf_of(&words, NONE), 3, "{words:x?}");
        let moves_sp = words == moved || words == added;
        let expected = if moves_sp { 0 } else { 3 };
        assert_eq!(leaf_of(&words, relocation), expected, "{words:x?}");
    }
}
