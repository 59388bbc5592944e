// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What is refused before anything is read from it, and how that is said.

use orctool::input::Input;

use crate::assemble::{
    build_id, kernel, module, EhFrame, Elf, ALLOC, CALL26, DYN, GLOBAL_NOTYPE, NOP, NOTE, PREL32,
    PROGBITS, REL, RET, TEXT,
};

/// The message for a file that must be refused.
fn refusal(data: &[u8]) -> String {
    match Input::read_with_cfi(data) {
        Ok(_) => panic!("not refused"),
        Err(fault) => {
            let text = fault.to_string();
            assert!(!text.contains('\n'), "{text}");
            text
        }
    }
}

fn patched(at: usize, value: u8) -> Vec<u8> {
    let mut file = kernel(None).build();
    file[at] = value;
    file
}

#[test]
fn takes_what_it_is_made_for() {
    assert_eq!(
        Input::read_with_cfi(&kernel(None).build())
            .unwrap()
            .texts
            .len(),
        1
    );
    assert_eq!(
        Input::read_with_cfi(&module().build()).unwrap().texts.len(),
        2
    );
}

#[test]
fn refuses_files_of_other_kinds() {
    let cases: [(&str, Vec<u8>, &str); 8] = [
        ("empty", vec![], "ELF header+0x0: not an ELF file"),
        (
            "text",
            b"#!/bin/sh\n".to_vec(),
            "ELF header+0x0: not an ELF file",
        ),
        ("cut off", b"\x7fELF".to_vec(), "ELF header+0x4: truncated"),
        ("32-bit", patched(4, 1), "ELF header+0x4: not 64-bit"),
        (
            "big-endian",
            patched(5, 2),
            "ELF header+0x5: not little-endian",
        ),
        (
            "x86-64",
            patched(18, 62),
            "ELF header+0x12: not for AArch64",
        ),
        (
            "core dump",
            patched(16, 4),
            "ELF header+0x10: neither a kernel nor",
        ),
        (
            "version",
            patched(6, 9),
            "ELF header+0x0: truncated or of another version",
        ),
    ];
    for (name, file, expected) in cases {
        let message = refusal(&file);
        assert!(message.starts_with(expected), "{name}: {message}");
    }
}

#[test]
fn refuses_sections_outside_the_file() {
    let mut elf = kernel(None).build();
    let table = u64::from_le_bytes(elf[40..48].try_into().unwrap()) as usize;
    // The size of section 1, .text.
    elf[table + 64 + 32..table + 64 + 40].copy_from_slice(&u64::MAX.to_le_bytes());
    let message = refusal(&elf);
    assert!(
        message.starts_with(".text+0x0: file offset 0x40: past the end"),
        "{message}"
    );
}

#[test]
fn refuses_sections_that_overlap() {
    let mut in_memory = kernel(None);
    in_memory.section("extra", PROGBITS, ALLOC, TEXT + 8, &[0; 16]);
    assert_eq!(
        refusal(&in_memory.build()),
        "extra+0x0: overlaps .text in memory"
    );

    let mut file = kernel(None).build();
    let table = u64::from_le_bytes(file[40..48].try_into().unwrap()) as usize;
    // Section 2, .eh_frame, in the middle of .text.
    file[table + 2 * 64 + 24..table + 2 * 64 + 32].copy_from_slice(&0x48_u64.to_le_bytes());
    let message = refusal(&file);
    assert_eq!(message, ".eh_frame+0x0: overlaps .text in the file");

    let mut file = kernel(None).build();
    file[table + 64 + 24..table + 64 + 32].copy_from_slice(&0x20_u64.to_le_bytes());
    assert!(refusal(&file).contains("overlaps the ELF header"));
}

#[test]
fn refuses_sections_that_wrap_around() {
    let mut elf = kernel(None);
    elf.section("last", PROGBITS, ALLOC, u64::MAX - 7, &[0; 16]);
    let message = refusal(&elf.build());
    assert!(message.starts_with("last+0x0: wraps around"), "{message}");
}

#[test]
fn refuses_text_that_no_cfi_describes() {
    let mut elf = Elf::new(DYN);
    elf.text(".text", TEXT, &[RET]);
    let message = refusal(&elf.build());
    assert_eq!(
        message,
        ".text+0x0: no CFI describes it: no .eh_frame and no .debug_frame"
    );
}

#[test]
fn refuses_cfi_that_points_outside_its_text() {
    for (start, len) in [(0x4000, 8), (-8, 8), (44, 8), (0, 0x1000), (2, 8), (0, 6)] {
        let mut elf = kernel(None);
        let mut frame = EhFrame::new(false);
        frame.fde(start - 0x1000, len, &[]);
        elf.sections[2].data = frame.bytes;
        let message = refusal(&elf.build());
        assert!(message.starts_with(".eh_frame+0x1"), "{message}");
        assert!(message.contains("describes"), "{message}");
    }
}

#[test]
fn refuses_text_that_starts_elsewhere() {
    let mut elf = kernel(None);
    elf.symbols[1].value += 4;
    let message = refusal(&elf.build());
    assert!(message.starts_with(".text+0x0: _stext is at"), "{message}");
}

#[test]
fn refuses_text_cut_in_an_instruction() {
    let mut elf = module();
    elf.sections[1].data.push(0);
    assert_eq!(
        refusal(&elf.build()),
        ".text+0x20: ends inside an instruction"
    );
}

#[test]
fn refuses_relocations_that_make_no_sense() {
    let text_symbol = 2;
    let cases = [
        (
            (0x1000, PREL32, text_symbol, 0),
            ".rela.init.eh_frame+0x30: relocation of",
        ),
        (
            (0, PREL32, 99, 0),
            ".rela.init.eh_frame+0x30: relocation without a symbol",
        ),
        (
            (0, CALL26, text_symbol, 0),
            ".init.eh_frame+0x0: relocation of a type",
        ),
        (
            (0, PREL32, text_symbol, 1 << 40),
            ".init.eh_frame+0x0: relocation does not fit",
        ),
    ];
    for ((offset, kind, symbol, addend), expected) in cases {
        let mut elf = module();
        let table = elf
            .sections
            .iter()
            .position(|s| s.name == ".rela.init.eh_frame");
        let mut entry = Vec::new();
        entry.extend(u64::to_le_bytes(offset));
        entry.extend(u32::to_le_bytes(kind));
        entry.extend(u32::to_le_bytes(symbol));
        entry.extend(i64::to_le_bytes(addend));
        elf.sections[table.unwrap()].data.extend(entry);
        let message = refusal(&elf.build());
        assert!(message.starts_with(expected), "{message}");
    }
}

#[test]
fn names_are_printed_without_control_characters() {
    let mut elf = Elf::new(REL);
    elf.text("\u{1b}[31m\n.text", 0, &[NOP]);
    let message = refusal(&elf.build());
    assert!(message.starts_with("\\u{1b}[31m\\n.text+0x0"), "{message}");
}

#[test]
fn finds_the_build_id() {
    let id = |elf: &Elf| {
        let file = elf.build();
        let input = Input::read(&file).unwrap();
        input.build_id().map_err(|e| e.to_string())
    };
    assert_eq!(id(&kernel(None)), Ok([0xcd; 20]));

    let mut after_others = kernel(None);
    let mut notes = vec![6, 0, 0, 0, 5, 0, 0, 0, 1, 1, 0, 0];
    notes.extend(b"Linux\0\0\0value\0\0\0");
    notes.extend(build_id(&[0x11; 20]));
    after_others.sections[3].data = notes;
    assert_eq!(id(&after_others), Ok([0x11; 20]));

    let mut short = kernel(None);
    short.sections[3].data = build_id(&[1; 8]);
    assert_eq!(
        id(&short),
        Err(".notes+0x10: build-id of 8 bytes instead of 20".into())
    );

    let mut cut = kernel(None);
    cut.sections[3].data.truncate(30);
    assert_eq!(id(&cut), Err(".note.gnu.build-id+0x0: no build-id".into()));

    let mut none = Elf::new(DYN);
    none.section(".notes", NOTE, ALLOC, TEXT, &[]);
    none.symbol("x", GLOBAL_NOTYPE, 1, TEXT, 0);
    assert!(id(&none).is_err());
}
