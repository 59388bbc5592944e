// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Data processing on registers (bits 27..25 are 101).

use super::{bit, field, Operand, Reg, Step};

pub(super) fn decode(word: u32) -> Step {
    match (bit(word, 28), field(word, 21, 4)) {
        (false, 0b0000..=0b0111) => logical(word),
        (false, op) if op & 1 == 0 => add_shifted(word),
        (false, _) => add_extended(word),
        (true, 0b0000) => add_carry(word),
        // Conditional compare: bits 3..0 are flags.
        (true, 0b0010) if bit(word, 29) && !bit(word, 10) && !bit(word, 4) => Step::Nothing,
        (true, 0b0100) => select(word),
        (true, 0b0110) => one_or_two_sources(word),
        // Three sources: multiply and add.
        (true, 0b1000..=0b1111) => Step::writes_or_zero(word),
        _ => Step::Anything,
    }
}

/// `and`, `orr`, `eor` and their inverting and flag-setting forms.
fn logical(word: u32) -> Step {
    let is_mov = word & 0xffe0_ffe0 == 0xaa00_03e0;
    match (is_mov, Reg::or_zero(word), Reg::or_zero(word >> 16)) {
        (true, Some(to), Some(from)) => Step::Add { to, from, by: 0 },
        (true, Some(to), None) => Step::Constant { to, value: 0 },
        _ => or(word).unwrap_or(Step::writes_or_zero(word)),
    }
}

/// `orr` and `eor` of two whole registers.
fn or(word: u32) -> Option<Step> {
    // Of 64 bits; no shift, and not the inverting forms.
    let is_plain = bit(word, 31) && field(word, 10, 6) == 0 && field(word, 21, 3) == 0;
    let is_exclusive = match field(word, 29, 2) {
        0b01 => false,
        0b10 => true,
        _ => return None,
    };
    let (to, from) = Reg::or_zero(word).zip(Reg::or_zero(word >> 5))?;
    let by = Operand::Register(Reg::or_zero(word >> 16).filter(|_| is_plain)?);
    Some(Step::Logic {
        to,
        from,
        by,
        is_exclusive,
    })
}

/// `csel` and `csinc`; of `csinv` and `csneg` nothing is known.
fn select(word: u32) -> Step {
    let by = match (bit(word, 31), field(word, 29, 2), field(word, 10, 2)) {
        (true, 0b00, 0b00) => 0,
        (true, 0b00, 0b01) => 1,
        _ => return Step::writes_or_zero(word),
    };
    let (first, second) = (Reg::or_zero(word >> 5), Reg::or_zero(word >> 16));
    match Reg::or_zero(word) {
        Some(to) => Step::Select {
            to,
            first,
            second,
            by,
        },
        None => Step::writes_or_zero(word),
    }
}

fn add_shifted(word: u32) -> Step {
    let plain = bit(word, 31) && field(word, 22, 2) == 0;
    let registers = (
        Reg::or_zero(word),
        Reg::or_zero(word >> 5),
        Reg::or_zero(word >> 16),
    );
    match registers {
        (Some(to), Some(from), Some(by)) if plain => Step::AddRegister {
            to,
            from,
            by,
            shift: field(word, 10, 6),
            subtract: bit(word, 30),
        },
        _ => Step::writes_or_zero(word),
    }
}

/// The form that can name SP: `add sp, sp, x9` is `add sp, sp, x9, uxtx`.
fn add_extended(word: u32) -> Step {
    let sets_flags = bit(word, 29);
    if sets_flags && Reg::or_zero(word).is_none() {
        return Step::writes_or_zero(word);
    }
    let shift = field(word, 10, 3);
    // 011 is uxtx, 111 is sxtx: both take all 64 bits.
    let whole = bit(word, 31) && field(word, 22, 2) == 0 && field(word, 13, 2) == 0b11;
    match Reg::or_zero(word >> 16) {
        Some(by) if whole && shift <= 4 => Step::AddRegister {
            to: Reg::or_sp(word),
            from: Reg::or_sp(word >> 5),
            by,
            shift,
            subtract: bit(word, 30),
        },
        _ if sets_flags => Step::writes_or_zero(word),
        _ => Step::writes_or_sp(word),
    }
}

/// `adc` and `sbc`; `rmif`, `setf8` and `setf16` (flags only); `addpt` and
/// `subpt`, where 31 is SP.
fn add_carry(word: u32) -> Step {
    match (field(word, 13, 3), field(word, 10, 6)) {
        (_, 0b000000) => Step::writes_or_zero(word),
        (0b001, _) if field(word, 29, 1) == 0 => Step::writes_or_sp(word),
        (_, op) if op & 0b011111 == 0b000001 || op & 0b001111 == 0b000010 => {
            // Bits 4..0 are a mask of flags; bit 29 set and bit 30 clear.
            if field(word, 29, 2) == 0b01 {
                Step::Nothing
            } else {
                Step::Anything
            }
        }
        _ => Step::Anything,
    }
}

fn one_or_two_sources(word: u32) -> Step {
    if bit(word, 30) {
        return one_source(word);
    }
    match field(word, 10, 6) {
        // irg: a random tag into Xd or SP.
        0b000100 if bit(word, 31) && !bit(word, 29) => Step::writes_or_sp(word),
        _ => Step::writes_or_zero(word),
    }
}

/// `rbit`, `rev`, `clz`, …; with bits 20..16 = 1, pointer authentication.
fn one_source(word: u32) -> Step {
    match (field(word, 16, 5), bit(word, 31) && !bit(word, 29)) {
        (0b00000, _) => Step::writes_or_zero(word),
        (0b00001, true) => authentication(word),
        _ => Step::Anything,
    }
}

/// The forms that name a register; those with a modifier of zero; and those that
/// name none, with 30 as their destination: they modify x30, or x17.
fn authentication(word: u32) -> Step {
    let (source, number) = (field(word, 5, 5), field(word, 0, 5));
    match (field(word, 10, 6), source, number) {
        (0b000000..=0b000111, _, _) | (0b001000..=0b010001, 31, _) => match Reg::or_zero(word) {
            Some(to) => Step::Sign(to),
            None => Step::writes_or_zero(word),
        },
        // pacnbiasppc, pacnbibsppc, paciasppc, pacibsppc; autiasppcr, autibsppcr
        (0b100000 | 0b100001 | 0b101000 | 0b101001, 31, 30) => Step::Sign(Reg::X30),
        (0b100100 | 0b100101, _, 30) => Step::Sign(Reg::X30),
        // pacia171615, pacib171615, autia171615, autib171615
        (0b100010 | 0b100011 | 0b101110 | 0b101111, 31, 30) => Step::Sign(Reg::or_sp(17)),
        _ => Step::Anything,
    }
}
