// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Data processing with an immediate (bits 28..26 are 100).

use super::{bit, field, Reg, Step};

pub(super) fn decode(word: u32) -> Step {
    match field(word, 23, 3) {
        // adr, adrp
        0b000 | 0b001 => Step::writes_or_zero(word),
        0b010 => add(word),
        // The three kinds of bits 25..23 = 011: addg and subg write SP as 31,
        // smax and its like the zero register.
        0b011 if bit(word, 22) => Step::writes_or_zero(word),
        0b011 => Step::writes_or_sp(word),
        0b100 => logical(word),
        0b101 => wide(word),
        // Bit field moves.
        0b110 => Step::writes_or_zero(word),
        _ => extract(word),
    }
}

/// `add`, `sub` (31 is SP), `adds`, `subs` (31 is the zero register).
fn add(word: u32) -> Step {
    if bit(word, 29) {
        return Step::writes_or_zero(word);
    }
    if !bit(word, 31) {
        // A 32-bit result never is an address.
        return Step::writes_or_sp(word);
    }
    let shift = if bit(word, 22) { 12 } else { 0 };
    let amount = i64::from(field(word, 10, 12)) << shift;
    Step::Add {
        to: Reg::or_sp(word),
        from: Reg::or_sp(word >> 5),
        by: if bit(word, 30) { -amount } else { amount },
    }
}

/// `and`, `orr`, `eor` (31 is SP), `ands` (31 is the zero register).
fn logical(word: u32) -> Step {
    // The mask is a run of imms + 1 ones, rotated right by immr: here, to the top.
    let rounds_down = word >> 22 == 0b10_0100_1001 && field(word, 16, 6) == field(word, 10, 6) + 1;
    match (field(word, 29, 2), Reg::or_zero(word >> 5)) {
        (0b00, Some(from)) if rounds_down => Step::RoundDown {
            to: Reg::or_sp(word),
            from,
        },
        (0b11, _) => Step::writes_or_zero(word),
        _ => Step::writes_or_sp(word),
    }
}

/// `movn`, `movz`, `movk`.
fn wide(word: u32) -> Step {
    let is_64_bit = bit(word, 31);
    let shift = 16 * field(word, 21, 2);
    if field(word, 29, 2) == 0b01 || !is_64_bit && shift >= 32 {
        return Step::Anything;
    }
    let Some(to) = Reg::or_zero(word) else {
        return Step::Nothing;
    };
    let bits = field(word, 5, 16);
    let value = u64::from(bits) << shift;
    match field(word, 29, 2) {
        0b00 if is_64_bit => Step::Constant { to, value: !value },
        0b00 => Step::Constant {
            to,
            value: !value & u64::from(u32::MAX),
        },
        0b10 => Step::Constant { to, value },
        0b11 if is_64_bit => Step::Insert {
            to,
            bits: bits as u16,
            shift,
        },
        // 32-bit movk.
        _ => Step::writes_or_zero(word),
    }
}

/// `extr`, and `autiasppc`, `autibsppc`, which authenticate x30 and have 31
/// where `extr` has its destination.
fn extract(word: u32) -> Step {
    match word >> 21 {
        0b111_1001_1100 | 0b111_1001_1101 if field(word, 0, 5) == 31 => Step::Sign(Reg::X30),
        _ => Step::writes_or_zero(word),
    }
}
