// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Vector, scalable vector and matrix instructions: which of them write a
//! general register.

use super::{bit, field, Access, Mode, Reg, Regs, Step, Store};

/// Scalar floating point and Advanced SIMD (bits 27..25 are 111).
pub(super) fn decode(word: u32) -> Step {
    // Bits 31..24 of the vector, scalar, floating-point and cryptographic groups.
    let is_group = matches!(
        word >> 24,
        0x0e | 0x0f
            | 0x1e
            | 0x1f
            | 0x2e
            | 0x2f
            | 0x4e
            | 0x4f
            | 0x5e
            | 0x5f
            | 0x6e
            | 0x6f
            | 0x7e
            | 0x7f
            | 0x9e
            | 0xce
    );
    if !is_group {
        return Step::Anything;
    }
    let to_general = if field(word, 24, 5) == 0b11110 && !bit(word, 30) {
        converts_to_general(word)
    } else {
        // smov, umov: bits 28..21 are 01110000, 15..10 are 001011 or 001111.
        word & 0xbfe0_ec00 == 0x0e00_2c00
    };
    match to_general {
        true => Step::writes_or_zero(word),
        false => Step::Nothing,
    }
}

/// Among the conversions between general and vector registers: opcode 010, 011
/// (`scvtf`, `ucvtf`) and, without a scale, 111 (`fmov` to a vector) write a
/// vector register; the others a general one.
fn converts_to_general(word: u32) -> bool {
    let opcode = field(word, 16, 3);
    let has_scale = !bit(word, 21);
    let is_conversion = has_scale || field(word, 10, 6) == 0;
    is_conversion && !matches!(opcode, 0b010 | 0b011) && (has_scale || opcode != 0b111)
}

/// SVE (bits 28..25 are 0010).
pub(super) fn scalable(word: u32) -> Step {
    match word >> 29 {
        // Stores. How much depends on the vector length; there is no write-back.
        0b111 => Step::Access(unbounded(word)),
        // Loads and prefetches, without write-back.
        0b100..=0b110 => Step::Nothing,
        _ => general_result(word),
    }
}

/// The groups of SVE with a general register as destination, taken a little too
/// wide: `addvl`, `addpl`, `rdvl` (31 is SP) and their streaming forms; `cntb`,
/// `incb`, `sqincb`, …; `clasta`, `lasta`; `cntp`, `firstp`, `incp`, ….
fn general_result(word: u32) -> Step {
    let low = field(word, 12, 4);
    match word >> 24 {
        0x04 if bit(word, 21) && low == 0b0101 => Step::writes_or_sp(word),
        0x04 if bit(word, 21) && low >> 1 == 0b111 => Step::writes_or_zero(word),
        0x05 if bit(word, 21) && field(word, 17, 3) == 0 && low >> 1 == 0b101 => {
            Step::writes_or_zero(word)
        }
        0x25 if field(word, 20, 2) == 0b10 && low >> 2 == 0b10 => Step::writes_or_zero(word),
        _ => Step::Nothing,
    }
}

/// SME (bit 31 set, bits 28..25 are 0000): rare enough to be taken as all of
/// them at once, a store at the base and a result in a general register.
pub(super) fn matrix(word: u32) -> Step {
    Step::Access(Access {
        writes: Regs::NONE.with(Reg::or_sp(word)),
        ..unbounded(word)
    })
}

const fn unbounded(word: u32) -> Access {
    Access {
        base: Reg::or_sp(word >> 5),
        mode: Mode::Register(None),
        store: Store::Unbounded,
        data: [None; 2],
        load: false,
        writes: Regs::NONE,
    }
}
