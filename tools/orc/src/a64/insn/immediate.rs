// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Data processing with an immediate (bits 28..26 are 100).

use super::super::is_top_run;
use super::{bit, field, Operand, Reg, Step};

pub(super) fn decode(word: u32) -> Step {
    match field(word, 23, 3) {
        // adr, adrp
        0b000 | 0b001 => Reg::or_zero(word).map_or(Step::Nothing, Step::Near),
        0b010 => add(word),
        // The three kinds of bits 25..23 = 011: addg and subg write SP as 31,
        // smax and its like the zero register.
        0b011 if bit(word, 22) => Step::writes_or_zero(word),
        0b011 => Step::writes_or_sp(word),
        0b100 => logical(word),
        0b101 => wide(word),
        0b110 => bit_field(word),
        _ => extract(word),
    }
}

/// `add`, `sub` (31 is SP), `adds`, `subs` (31 is the zero register).
fn add(word: u32) -> Step {
    let sets_flags = bit(word, 29);
    if sets_flags && Reg::or_zero(word).is_none() {
        return Step::writes_or_zero(word);
    }
    let shift = if bit(word, 22) { 12 } else { 0 };
    let amount = i64::from(field(word, 10, 12)) << shift;
    let (to, from) = (Reg::or_sp(word), Reg::or_sp(word >> 5));
    let by = if bit(word, 30) { -amount } else { amount };
    match bit(word, 31) {
        true => Step::Add { to, from, by },
        // A 32-bit result never is an address.
        false if to == Reg::SP => Step::writes_or_sp(word),
        false => Step::AddWord { to, from, by },
    }
}

/// `and`, `orr`, `eor` (31 is SP), `ands` (31 is the zero register).
fn logical(word: u32) -> Step {
    let Some(mask) = mask(word) else {
        return logical_unknown(word);
    };
    let opc = field(word, 29, 2);
    let Some(from) = Reg::or_zero(word >> 5) else {
        return match (opc, Reg::or_zero(word)) {
            // mov of a bitmask immediate
            (0b01 | 0b10, Some(to)) => Step::Constant { to, value: mask },
            _ => logical_unknown(word),
        };
    };
    match (opc, Reg::or_zero(word)) {
        (0b01 | 0b10, Some(to)) if bit(word, 31) => Step::Logic {
            to,
            from,
            by: Operand::Bits(mask),
            is_exclusive: opc == 0b10,
        },
        (0b00, None) if is_top_run(mask) => Step::Mask {
            to: Reg::SP,
            from,
            mask,
        },
        (0b00 | 0b11, Some(to)) => Step::Mask { to, from, mask },
        _ => logical_unknown(word),
    }
}

fn logical_unknown(word: u32) -> Step {
    match field(word, 29, 2) {
        0b11 => Step::writes_or_zero(word),
        _ => Step::writes_or_sp(word),
    }
}

/// The mask of a logical instruction (`DecodeBitMasks()`): a run of imms + 1 ones in
/// an element of 2 to 64 bits, rotated right by immr, and the element repeated. The
/// size of the element is in the upper bits of N:~imms.
fn mask(word: u32) -> Option<u64> {
    let size = (field(word, 22, 1) << 6 | (!field(word, 10, 6) & 0x3f)).checked_ilog2()?;
    let bits = 1_u32 << size;
    if bits < 2 || bits == 64 && !bit(word, 31) {
        return None;
    }
    let (ones, by) = (
        field(word, 10, 6) & (bits - 1),
        field(word, 16, 6) & (bits - 1),
    );
    if ones == bits - 1 {
        return None;
    }
    let whole = u64::MAX >> (64 - bits);
    let run = (1_u64 << (ones + 1)) - 1;
    let element = match by {
        0 => run,
        by => (run >> by | run << (bits - by)) & whole,
    };
    let elements = (0..64 / bits).fold(0, |all, number| all | element << (number * bits));
    let width = if bit(word, 31) { 64 } else { 32 };
    Some(elements & (u64::MAX >> (64 - width)))
}

/// `ubfm`, which is `lsl`, `lsr`, `ubfx`, …; `sbfm` and `bfm` are not modelled.
fn bit_field(word: u32) -> Step {
    let bits = if bit(word, 31) { 64 } else { 32 };
    let (by, last) = (field(word, 16, 6), field(word, 10, 6));
    let is_allocated = bit(word, 22) == bit(word, 31) && by < bits && last < bits;
    let registers = Reg::or_zero(word).zip(Reg::or_zero(word >> 5));
    let Some((to, from)) = registers.filter(|_| is_allocated && field(word, 29, 2) == 0b10) else {
        return Step::writes_or_zero(word);
    };
    let (right, width, left) = match last.checked_sub(by) {
        Some(above) => (by, above + 1, 0),
        None => (0, last + 1, bits - by),
    };
    Step::BitField {
        to,
        from,
        right,
        mask: u64::MAX >> (64 - width),
        left,
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
