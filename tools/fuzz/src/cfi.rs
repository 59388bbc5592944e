// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Functions and their CFI, in a kernel that is sound otherwise: a change of the
//! input is then a change of the code or of what the CFI says of it, and not of
//! the file that they are in.

use crate::assemble::{EhFrame, Elf, ALLOC, DYN, GLOBAL_FUNC, GLOBAL_NOTYPE, PROGBITS, TEXT};
use crate::bytes::Bytes;
use crate::{elf, tally, within_a_second};

use orctool::input::Input;

const CFI: u64 = TEXT + 0x1_0000;
const ALTERNATIVES: u64 = TEXT + 0x2_0000;
const FIXUPS: u64 = TEXT + 0x3_0000;

/// What functions are made of, by one byte.
#[rustfmt::skip]
const WORDS: [u32; 48] = [
    0xd503_201f, 0xd65f_03c0, 0xa9bf_7bfd, 0x9100_03fd, 0xa8c1_7bfd, // nop, ret, push, mov, pop
    0xa9be_7bfd, 0xa8c2_7bfd, 0xa900_7bfd, 0xa940_7bfd, 0xa901_7bfd, // frames of 32; stp, ldp
    0xa941_7bfd, 0xd100_43ff, 0x9100_43ff, 0xd100_83ff, 0x9100_83ff, // sub, add sp, 16, 32
    0xf81f_0ffe, 0xf841_07fe, 0xf900_07fe, 0xf940_07fe, 0xf900_03fd, // str, ldr of x30, x29
    0xf940_03fd, 0x9100_43fd, 0x9100_03bf, 0xd100_43bf, 0xd503_233f, // add x29, mov sp; paciasp
    0xd503_23bf, 0xd503_245f, 0xd503_249f, 0xf800_865e, 0xf85f_8e5e, // autiasp, bti, scs push, pop
    0xaa1e_03e9, 0xaa09_03fe, 0xd61f_0200, 0xd63f_0100, 0xd65f_0bff, // mov x9, br, blr, retaa
    0xd420_0000, 0xd69f_03e0, 0xcb31_63ff, 0x927c_ec1f, 0xf900_0be0, // brk, eret, sub sp reg, and
    0xa9bf_03e0, 0xa8c1_03e0, 0x3c9f_0fe0, 0x3cc1_07e0, 0xaa1d_03e0, // pairs, vectors, mov x0, x29
    0xaa00_03fd, 0x8b20_63ff, 0x0000_0000,                           // mov x29, x0; add; udf
];

/// Reads the kernel that the input describes, and does everything with it.
pub fn run(input: &[u8]) {
    let file = kernel(&mut Bytes(input)).build();
    tally::count(1, 0);
    within_a_second(|| {
        // The assembler's layout is sound, so only what is in it may be refused.
        if let Ok(input) = Input::read_all_text(&file) {
            elf::tables_of(&input);
            elf::check(&input);
        }
    });
}

fn kernel(bytes: &mut Bytes<'_>) -> Elf {
    let mut elf = Elf::new(DYN);
    let how = bytes.u8();
    let mut frame = EhFrame::with_return_register(how & 1 != 0, 30 - (how >> 6 & 1));
    let (mut words, mut symbols) = (Vec::new(), Vec::new());
    for _ in 0..bytes.u8() & 7 {
        function(bytes, &mut frame, &mut words, &mut symbols);
    }
    let text = elf.text(".text", TEXT, &words);
    elf.section(".eh_frame", PROGBITS, ALLOC, CFI, &frame.bytes);
    if how & 2 != 0 {
        let table = places(bytes, ALTERNATIVES);
        elf.section(".altinstructions", PROGBITS, ALLOC, ALTERNATIVES, &table);
    }
    elf.symbol("_stext", GLOBAL_NOTYPE, text, TEXT, 0);
    if how & 4 != 0 {
        let table = places(bytes, FIXUPS);
        let data = elf.section(".rodata", PROGBITS, ALLOC, FIXUPS, &table);
        elf.symbol("__start___ex_table", GLOBAL_NOTYPE, data, FIXUPS, 0);
        let end = FIXUPS + table.len() as u64;
        elf.symbol("__stop___ex_table", GLOBAL_NOTYPE, data, end, 0);
    }
    for (number, (start, len)) in symbols.into_iter().enumerate() {
        elf.symbol(&format!("f{number}"), GLOBAL_FUNC, text, TEXT + start, len);
    }
    elf
}

/// Code after that of the functions before, its FDE and its symbol.
fn function(
    bytes: &mut Bytes<'_>,
    frame: &mut EhFrame,
    words: &mut Vec<u32>,
    symbols: &mut Vec<(u64, u64)>,
) {
    let how = bytes.u8();
    let start = words.len() as u64 * 4;
    for _ in 0..bytes.u8() & 0x3f {
        words.push(word(bytes));
    }
    let len = words.len() as u64 * 4 - start;
    // What the FDE and the symbol say of the place may be a little off.
    let off = u64::from(bytes.u8());
    if how & 1 == 0 {
        let at = (TEXT + start).wrapping_add(if how & 8 != 0 { off * 4 } else { 0 });
        let program = bytes.u8();
        let program = bytes.slice(usize::from(program & 0x7f)).to_vec();
        frame.fde(at.wrapping_sub(CFI) as i64, len as u32, &[program]);
    }
    if how & 2 == 0 {
        let len = if how & 4 != 0 { off } else { len };
        symbols.push((start, len));
    }
}

fn word(bytes: &mut Bytes<'_>) -> u32 {
    let near = |bytes: &mut Bytes<'_>| bytes.u8() as i8 as i32 as u32;
    match bytes.u8() {
        short @ 0..48 => WORDS[usize::from(short)],
        // b, bl, cbz, b.eq, tbz, ldr literal, adr
        48..56 => 0x1400_0000 | near(bytes) & 0x03ff_ffff,
        56..64 => 0x9400_0000 | near(bytes) & 0x03ff_ffff,
        64..72 => 0xb400_0000 | (near(bytes) & 0x7_ffff) << 5,
        72..80 => 0x5400_0000 | (near(bytes) & 0x7_ffff) << 5,
        80..88 => 0x3600_0000 | (near(bytes) & 0x3fff) << 5,
        88..96 => 0x5800_001d | (near(bytes) & 0x7_ffff) << 5,
        96..104 => 0x1000_001d | (near(bytes) & 0x7_ffff) << 5,
        // One of those above, with one byte of it changed.
        short @ 104..152 => {
            let shift = bytes.u8() & 0x18;
            WORDS[usize::from(short - 104)] ^ u32::from(bytes.u8()) << shift
        }
        _ => bytes.u32(),
    }
}

/// Entries of 12 bytes that start with the distances to two places in the text.
fn places(bytes: &mut Bytes<'_>, table: u64) -> Vec<u8> {
    let mut entries = Vec::new();
    for _ in 0..bytes.u8() & 7 {
        for _ in 0..2 {
            let to = TEXT + u64::from(bytes.u8()) * 4;
            let here = table + entries.len() as u64;
            entries.extend((to.wrapping_sub(here) as u32).to_le_bytes());
        }
        entries.extend(bytes.u32().to_le_bytes());
    }
    entries
}
