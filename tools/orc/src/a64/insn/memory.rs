// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Loads and stores (bit 27 set, bit 25 clear): the pairs, the single registers
//! and the atomic operations. [`super::ordered`] has the rest.

use super::{bit, field, ordered, signed, Access, Index, Mode, Reg, Regs, Step, Store};

pub(super) fn decode(word: u32) -> Step {
    match field(word, 28, 2) {
        0b00 => ordered::exclusive_or_structure(word),
        0b01 if bit(word, 24) => ordered::unscaled_tags_and_copies(word),
        0b01 => literal(word),
        0b10 => pair(word),
        _ if bit(word, 24) => {
            let scale = size_log2(word);
            let offset = i64::from(field(word, 10, 12)) << scale;
            single(word, Mode::Offset(offset))
        }
        _ if bit(word, 21) => register_offset_or_atomic(word),
        _ => {
            let offset = signed(word, 12, 9);
            match field(word, 10, 2) {
                0b01 => single(word, Mode::PostIndex(offset)),
                0b11 => single(word, Mode::PreIndex(offset)),
                // ldtr, sttr, of general registers alone; there is no prefetch.
                0b10 if bit(word, 26) || word >> 22 == 0b11_1110_0010 => Step::Anything,
                // ldur, stur
                _ => single(word, Mode::Offset(offset)),
            }
        }
    }
}

/// An access to `[Rn]` that loads and stores nothing modelled.
pub(super) const fn at(word: u32, mode: Mode) -> Access {
    Access {
        base: Reg::or_sp(word >> 5),
        mode,
        store: Store::Nothing,
        data: [None; 2],
        load: false,
        writes: Regs::NONE,
    }
}

/// `ldr` of a literal; opc 11 is `prfm`.
fn literal(word: u32) -> Step {
    match (bit(word, 26), word >> 30) {
        (true, 0b11) => return Step::Anything,
        (true, _) | (false, 0b11) => return Step::Nothing,
        _ => {}
    }
    // Only 32 bits for opc 00 and 10, and a constant for 01: neither is tracked.
    Step::writes_or_zero(word)
}

/// `ldp`, `stp`, `ldnp`, `stnp`, `ldpsw`, `stgp`, and their unprivileged forms.
fn pair(word: u32) -> Step {
    let is_load = bit(word, 22);
    let is_vector = bit(word, 26);
    // opc 11: the unprivileged forms (FEAT_LSUI), of 64-bit or 128-bit registers.
    let (bytes, scale) = match (field(word, 30, 2), is_vector) {
        (0b00, _) => (4, 4),
        (0b01, true) | (0b10 | 0b11, false) => (8, 8),
        (_, true) => (16, 16),
        // ldpsw
        (_, false) if is_load => (4, 4),
        // stgp: a pair of 64-bit registers, and the tag of 16 bytes.
        (_, false) => (8, 16),
    };
    if !is_vector && field(word, 30, 2) == 0b01 && field(word, 23, 2) == 0 {
        return Step::Anything;
    }
    let offset = signed(word, 15, 7) * scale;
    let mode = match field(word, 23, 2) {
        0b01 => Mode::PostIndex(offset),
        0b11 => Mode::PreIndex(offset),
        _ => Mode::Offset(offset),
    };
    let mut access = at(word, mode);
    if !is_load {
        access.store = Store::Bytes(2 * bytes);
    }
    let registers = [Reg::or_zero(word), Reg::or_zero(word >> 10)];
    if is_vector {
        return Step::Access(access);
    }
    access.load = is_load;
    if bytes == 8 {
        access.data = registers;
    } else if is_load {
        access.writes = Regs::NONE.with_or_zero(word).with_or_zero(word >> 10);
    }
    Step::Access(access)
}

/// Log2 of the bytes of a single register. A vector load or store has a third
/// bit of size, the upper bit of opc.
pub(super) const fn size_log2(word: u32) -> u32 {
    if bit(word, 26) && bit(word, 23) {
        4
    } else {
        word >> 30
    }
}

/// `ldr`, `str` and their narrower, unscaled and unprivileged forms.
fn single(word: u32, mode: Mode) -> Step {
    let bytes = 1 << size_log2(word);
    let mut access = at(word, mode);
    let opc = field(word, 22, 2);
    // A vector of 16 bytes has a size of 00; a signed 64-bit load is none.
    let is_allocated = match (bit(word, 26), bit(word, 23)) {
        (true, is_16_bytes) => !is_16_bytes || word >> 30 == 0,
        (false, _) => opc != 0b11 || bytes < 4,
    };
    if !is_allocated {
        return Step::Anything;
    }
    if bit(word, 26) {
        // 00 and 10 are stores.
        if opc & 1 == 0 {
            access.store = Store::Bytes(bytes);
        }
        return Step::Access(access);
    }
    match opc {
        0b00 => {
            access.store = Store::Bytes(bytes);
            if bytes == 8 {
                access.data = [Reg::or_zero(word), None];
            }
        }
        0b01 if bytes == 8 => {
            access.load = true;
            access.data = [Reg::or_zero(word), None];
        }
        // prfm, prfum, rprfm
        0b10 if bytes == 8 => {
            return match mode {
                Mode::Offset(_) | Mode::Register(_) => Step::Nothing,
                _ => Step::Anything,
            };
        }
        _ => access.writes = Regs::NONE.with_or_zero(word),
    }
    Step::Access(access)
}

fn register_offset_or_atomic(word: u32) -> Step {
    match (field(word, 10, 2), bit(word, 26)) {
        // The index is of 32 or of 64 bits.
        (0b10, _) if bit(word, 14) => single(word, Mode::Register(index(word))),
        (0b00, false) => atomic(word),
        // Floating-point atomics (FEAT_LSFE): ldfadd, ldfmax, …; stfadd, ….
        (0b00, true) if !matches!(field(word, 12, 3), 1..=3) && is_float_atomic(word) => {
            Step::Access(Access {
                store: Store::Bytes(1 << (word >> 30)),
                ..at(word, Mode::Offset(0))
            })
        }
        // ldraa, ldrab
        (0b01 | 0b11, false) if word >> 30 == 0b11 => {
            let sign = if bit(word, 22) { -512 } else { 0 };
            let offset = (i64::from(field(word, 12, 9)) + sign) * 8;
            let mode = match bit(word, 11) {
                true => Mode::PreIndex(offset),
                false => Mode::Offset(offset),
            };
            Step::Access(Access {
                writes: Regs::NONE.with_or_zero(word),
                ..at(word, mode)
            })
        }
        _ => Step::Anything,
    }
}

/// The index of a register offset, where it is all of a register.
const fn index(word: u32) -> Option<Index> {
    let shift = if bit(word, 12) { size_log2(word) } else { 0 };
    match Reg::or_zero(word >> 16) {
        Some(reg) if bit(word, 13) => Some(Index { reg, shift }),
        _ => None,
    }
}

/// Those that store alone (bit 15) name no destination, and can't acquire.
fn is_float_atomic(word: u32) -> bool {
    !bit(word, 15) || !bit(word, 23) && field(word, 0, 5) == 31
}

/// `ldadd`, …, `swp` and `ldapr`; of 64 bytes, `ld64b`, `st64b`, `st64bv`.
fn atomic(word: u32) -> Step {
    let (size, order) = (word >> 30, field(word, 22, 2));
    let is_64_byte = size == 0b11 && bit(word, 15) && matches!(field(word, 12, 3), 1 | 2 | 3 | 5);
    let is_allocated = match (bit(word, 15), field(word, 12, 3)) {
        // swp; ldapr
        (false, _) | (true, 0) => true,
        (true, 4) => order == 0b10,
        _ if is_64_byte => order == 0,
        // rcwclr, rcwset, rcwswp
        (true, 1..=3) => size < 0b10,
        _ => false,
    };
    if !is_allocated {
        return Step::Anything;
    }
    let (bytes, writes) = match (is_64_byte, field(word, 12, 3)) {
        // ldapr; rcwclr, rcwset, rcwswp, whose upper bit of size is something else
        (false, 4) if bit(word, 15) => (0, Regs::NONE.with_or_zero(word)),
        (false, 1..=3) if bit(word, 15) => (8, Regs::NONE.with_or_zero(word)),
        (true, 5) => (
            0,
            (0..8).fold(Regs::NONE, |all, n| all.with(Reg::or_sp(word + n))),
        ),
        // The status of st64bv.
        (true, _) => (64, Regs::NONE.with_or_zero(word >> 16)),
        (false, _) => (1 << (word >> 30), Regs::NONE.with_or_zero(word)),
    };
    Step::Access(Access {
        store: match bytes {
            0 => Store::Nothing,
            bytes => Store::Bytes(bytes),
        },
        writes,
        ..at(word, Mode::Offset(0))
    })
}
