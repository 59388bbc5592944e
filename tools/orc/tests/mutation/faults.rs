// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Faults that are put into code: some words of a function, changed.
//!
//! Encodings are those of the architecture manual (DDI 0487, C4.1).

use crate::random::Random;

/// The words that are changed, by number of the instruction.
pub type Words = Vec<(usize, u32)>;

const NOP: u32 = 0xd503_201f;

/// What may be broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    DropSave,
    DropRestore,
    ShiftSlot,
    ShiftSp,
    SwapPair,
    ChangeIndexing,
    SwapNeighbours,
    Repeat,
    ClobberFp,
    ClobberFpOnce,
    ClobberLr,
    ClobberSp,
    OverwriteSlot,
    Detour,
    ReturnAway,
    FlipBit,
    AnyWord,
}

/// All of them.
pub const KINDS: [Kind; 17] = [
    Kind::DropSave,
    Kind::DropRestore,
    Kind::ShiftSlot,
    Kind::ShiftSp,
    Kind::SwapPair,
    Kind::ChangeIndexing,
    Kind::SwapNeighbours,
    Kind::Repeat,
    Kind::ClobberFp,
    Kind::ClobberFpOnce,
    Kind::ClobberLr,
    Kind::ClobberSp,
    Kind::OverwriteSlot,
    Kind::Detour,
    Kind::ReturnAway,
    Kind::FlipBit,
    Kind::AnyWord,
];

/// A fault of this kind at one instruction; none where it has no place.
pub fn at(kind: Kind, words: &[u32], index: usize, random: &mut Random) -> Option<Words> {
    let word = words[index];
    let one = |word: u32| Some(vec![(index, word)]);
    let changed = match kind {
        Kind::DropSave => one(saves(word).then_some(NOP)?),
        Kind::DropRestore => one(restores(word).then_some(NOP)?),
        Kind::ShiftSlot => one(shifted_access(word, random)?),
        Kind::ShiftSp => one(shifted_sum(word, random)?),
        Kind::SwapPair => one(swapped(word)?),
        Kind::ChangeIndexing => one(indexed_otherwise(word, random)?),
        Kind::SwapNeighbours => {
            let next = *words.get(index + 1)?;
            let matters = is_of_frame(word) || is_of_frame(next);
            matters.then(|| vec![(index, next), (index + 1, word)])
        }
        Kind::Repeat => one(is_of_frame(word).then(|| words.get(index + 1))??.to_owned())
            .map(|_| vec![(index + 1, word)]),
        Kind::ClobberFp => one(clobbers_fp(random)),
        Kind::ClobberFpOnce => {
            words.get(index + 1)?;
            // add x29, x29, #n; sub x29, x29, #n
            let by = (16 + 16 * random.below(4) as u32) << 10;
            Some(vec![
                (index, 0x9100_03bd | by),
                (index + 1, 0xd100_03bd | by),
            ])
        }
        Kind::ClobberLr => one(clobbers_lr(random)),
        Kind::ClobberSp => one(clobbers_sp(random)),
        Kind::OverwriteSlot => one(overwrites(random)),
        Kind::Detour => one(detour(word, random)?),
        Kind::ReturnAway => one(returns_away(word, random)?),
        Kind::FlipBit => one(word ^ (1 << random.below(32))),
        Kind::AnyWord => one(random.next() as u32),
    };
    changed.filter(|changed| changed.iter().any(|(at, word)| words[*at] != *word))
}

/// Whether an instruction names SP, x29 or x30 where most have their registers.
pub fn is_of_frame(word: u32) -> bool {
    let names = |low: u32| matches!((word >> low) & 31, 29..=31);
    names(0) && names(5) || is_pair(word) && (names(5) || names(10)) || is_sum(word) && names(5)
}

/// A pair of 64-bit general registers, with an offset or with write-back.
fn is_pair(word: u32) -> bool {
    word >> 25 == 0b101_0100
}

/// One 64-bit general register: with an unscaled offset or write-back, or scaled.
fn is_single(word: u32) -> bool {
    let unscaled = word & 0xffa0_0000 == 0xf800_0000;
    unscaled || word & 0xff80_0000 == 0xf900_0000
}

/// `add` or `sub` of an immediate, 64 bits.
fn is_sum(word: u32) -> bool {
    word & 0xbf80_0000 == 0x9100_0000
}

fn names_saved(word: u32) -> bool {
    let is = |low: u32| matches!((word >> low) & 31, 29 | 30);
    is(0) || is_pair(word) && is(10)
}

fn is_load(word: u32) -> bool {
    (word >> 22) & 1 == 1
}

fn saves(word: u32) -> bool {
    (is_pair(word) || is_single(word)) && names_saved(word) && !is_load(word)
}

fn restores(word: u32) -> bool {
    (is_pair(word) || is_single(word)) && names_saved(word) && is_load(word)
}

/// The word with `by` added to `width` bits from bit `low`.
fn added(word: u32, low: u32, width: u32, by: u32) -> u32 {
    let mask = ((1 << width) - 1) << low;
    word & !mask | word.wrapping_add(by << low) & mask
}

/// An access through SP or x29, 8 or 16 bytes further up or down.
fn shifted_access(word: u32, random: &mut Random) -> Option<u32> {
    if !matches!((word >> 5) & 31, 29 | 31) {
        return None;
    }
    let words = random.pick(&[1, 2, 1_u32.wrapping_neg(), 2_u32.wrapping_neg()]);
    if is_pair(word) {
        return Some(added(word, 15, 7, words));
    }
    if !is_single(word) {
        return None;
    }
    Some(match (word >> 24) & 1 {
        1 => added(word, 10, 12, words),
        _ => added(word, 12, 9, words.wrapping_mul(8)),
    })
}

/// A change of SP or x29 that is 8 or 16 bytes larger or smaller.
fn shifted_sum(word: u32, random: &mut Random) -> Option<u32> {
    let by = random.pick(&[8, 16, 8_u32.wrapping_neg(), 16_u32.wrapping_neg()]);
    let matters = is_sum(word) && matches!(word & 31, 29 | 31);
    matters.then(|| added(word, 10, 12, by))
}

fn swapped(word: u32) -> Option<u32> {
    let (first, second) = (word & 31, (word >> 10) & 31);
    let is_frames = is_pair(word) && names_saved(word);
    is_frames.then_some(word & !((31 << 10) | 31) | (first << 10) | second)
}

/// Offset, pre-index or post-index: another one than it is.
fn indexed_otherwise(word: u32, random: &mut Random) -> Option<u32> {
    if !is_pair(word) || (word >> 5) & 31 != 31 {
        return None;
    }
    let mode = random.pick(&[0b01, 0b10, 0b11]);
    Some(word & !(0b11 << 23) | (mode << 23))
}

fn clobbers_fp(random: &mut Random) -> u32 {
    random.pick(&[
        0xaa08_03fd, // mov x29, x8
        0xaa1f_03fd, // mov x29, xzr
        0x9100_03fd, // mov x29, sp
        0x9100_43bd, // add x29, x29, #16
        0xd100_23bd, // sub x29, x29, #8
        0xf940_03fd, // ldr x29, [sp]
        0xf940_03bd, // ldr x29, [x29]
        0xaa1e_03fd, // mov x29, x30
        0x1100_03bd, // add w29, w29, #0
    ])
}

fn clobbers_lr(random: &mut Random) -> u32 {
    random.pick(&[
        0xaa08_03fe, // mov x30, x8
        0xd63f_0100, // blr x8
        0x9400_0001, // bl .+4
        0x97ff_0000, // bl, far back
        0x1000_001e, // adr x30, .
        0xf940_07fe, // ldr x30, [sp, #8]
        0x9100_13de, // add x30, x30, #4
        0xaa1d_03fe, // mov x30, x29
        0x2a1e_03fe, // mov w30, w30
    ])
}

fn clobbers_sp(random: &mut Random) -> u32 {
    random.pick(&[
        0x9100_43ff, // add sp, sp, #16
        0xd100_43ff, // sub sp, sp, #16
        0x9100_03bf, // mov sp, x29
        0x9100_011f, // mov sp, x8
        0x927c_ebff, // and sp, xN, #…
        0xa8c1_03e0, // ldp x0, x0, [sp], #16
        0xf81f_0fe0, // str x0, [sp, #-16]!
        0xcb28_63ff, // sub sp, sp, x8
        0x9140_07ff, // add sp, sp, #1, lsl #12
    ])
}

/// A store that may hit a saved register.
fn overwrites(random: &mut Random) -> u32 {
    let slot = random.below(16) as u32;
    random.pick(&[
        0xf900_03e8 | (slot << 10),       // str x8, [sp, #8 * slot]
        0xf900_03a8 | ((slot & 3) << 10), // str x8, [x29, #8 * slot]
        0xa900_7fff | (slot << 15),       // stp xzr, xzr, [sp, #8 * slot]
        0x3d80_03e0 | ((slot & !1) << 9), // str q0, [sp, #16 * slot]
        0x3900_03e8 | (slot << 10),       // strb w8, [sp, #slot]
        0xb900_03a8 | ((slot & 7) << 10), // str w8, [x29, #4 * slot]
        0xf800_03a8 | (((0x200 - 8 * slot) & 0x1ff) << 12), // stur x8, [x29, #-8 * slot]
        0x6d00_03e0 | (slot << 15),       // stp d0, d0, [sp, #8 * slot]
        0xa900_7bfd | (slot << 15),       // stp x29, x30, [sp, #8 * slot]
    ])
}

/// A branch that goes elsewhere, always, never, or the other way round.
fn detour(word: u32, random: &mut Random) -> Option<u32> {
    let by = random.pick(&[1, 2, 3, 1_u32.wrapping_neg(), 2_u32.wrapping_neg()]);
    match word >> 24 {
        0x14..=0x17 | 0x94..=0x97 => Some(match random.below(3) {
            0 => NOP,
            1 => word ^ (1 << 31),
            _ => added(word, 0, 26, by),
        }),
        // b.cond, cbz, cbnz
        0x54 | 0x34 | 0x35 | 0xb4 | 0xb5 => Some(match random.below(3) {
            0 => NOP,
            1 => 0x1400_0000 | (((word << 8) as i32) >> 13) as u32 & 0x03ff_ffff,
            _ => added(word, 5, 19, by),
        }),
        // tbz, tbnz
        0x36 | 0x37 | 0xb6 | 0xb7 => Some(match random.below(2) {
            0 => NOP,
            _ => added(word, 5, 14, by),
        }),
        _ => None,
    }
}

fn returns_away(word: u32, random: &mut Random) -> Option<u32> {
    let is_return = word & 0xffff_fc1f == 0xd65f_0000 || word & 0xffff_fbff == 0xd65f_0bff;
    // ret x8, br x8, ret x29, nop
    let other = random.pick(&[0xd65f_0100, 0xd61f_0100, 0xd65f_03a0, NOP]);
    is_return.then_some(other)
}
