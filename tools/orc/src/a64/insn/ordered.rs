// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Loads and stores with an order, with exclusive access or with tags; vector
//! structures; and the memory copy and set instructions.

use super::memory::{at, size_log2};
use super::{bit, field, signed, Access, Mode, Reg, Regs, Step, Store};

/// Bits 29..28 are 00.
pub(super) fn exclusive_or_structure(word: u32) -> Step {
    match (bit(word, 26), bit(word, 24)) {
        (false, false) => exclusive(word),
        (false, true) => unprivileged(word),
        (true, single) if !bit(word, 31) => structure(word, single),
        _ => Step::Anything,
    }
}

/// Exclusives, `ldar`, `stlr`, `cas` and `casp`. Bits: 23 not exclusive, 22 load,
/// 21 pair (or compare and swap), 15 ordered.
fn exclusive(word: u32) -> Step {
    let is_swap = bit(word, 21) && (bit(word, 23) || !bit(word, 31));
    if is_swap && !names_swapped(word, !bit(word, 23)) {
        return Step::Anything;
    }
    let mut access = at(word, Mode::Offset(0));
    let bytes = 1 << (word >> 30);
    let (status, data, data2) = (word >> 16, word, word >> 10);
    let (store, writes) = match (bit(word, 23), bit(word, 22), bit(word, 21)) {
        // casp: half of the pairs' size is bit 30.
        (false, _, true) if !bit(word, 31) => {
            let regs = Regs::NONE.with_or_zero(status);
            (
                8 << field(word, 30, 1),
                regs.with_or_zero((status & 31) + 1),
            )
        }
        // stxr, stlxr; stxp, stlxp
        (false, false, pair) => {
            let factor = if pair { 2 } else { 1 };
            (bytes * factor, Regs::NONE.with_or_zero(status))
        }
        // ldxr, ldaxr; ldxp, ldaxp
        (false, true, false) => (0, Regs::NONE.with_or_zero(data)),
        (false, true, true) => (0, Regs::NONE.with_or_zero(data).with_or_zero(data2)),
        // stlr, stllr; ldar, ldlar
        (true, false, false) => (bytes, Regs::NONE),
        (true, true, false) => (0, Regs::NONE.with_or_zero(data)),
        // cas
        (true, _, true) => (bytes, Regs::NONE.with_or_zero(status)),
    };
    if store != 0 {
        access.store = Store::Bytes(store);
    }
    access.writes = writes;
    Step::Access(access)
}

/// Whether the registers of a compare and swap are such: there is no second one,
/// and pairs start with an even one.
fn names_swapped(word: u32, is_pair: bool) -> bool {
    field(word, 10, 5) == 31 && !(is_pair && (bit(word, 0) || bit(word, 16)))
}

/// `ldtxr`, `sttxr`, `cast`, `caspt` (FEAT_LSUI): as [`exclusive`], but bit 23
/// means compare and swap.
fn unprivileged(word: u32) -> Step {
    let bytes = 4 << field(word, 30, 1);
    let (store, writes) = match (bit(word, 23), bit(word, 22)) {
        _ if bit(word, 21) => return Step::Anything,
        (true, _) if !names_swapped(word, !bit(word, 31)) => return Step::Anything,
        (false, _) if !bit(word, 31) => return Step::Anything,
        (true, _) if bit(word, 31) => (bytes, Regs::NONE.with_or_zero(word >> 16)),
        (true, _) => {
            let first = word >> 16;
            let regs = Regs::NONE.with_or_zero(first);
            (16, regs.with_or_zero((first & 31) + 1))
        }
        (false, false) => (bytes, Regs::NONE.with_or_zero(word >> 16)),
        (false, true) => (0, Regs::NONE.with_or_zero(word)),
    };
    let mut access = at(word, Mode::Offset(0));
    access.writes = writes;
    if store != 0 {
        access.store = Store::Bytes(store);
    }
    Step::Access(access)
}

/// `ld1` … `ld4`, `st1` … `st4`, of several or of single structures.
fn structure(word: u32, single: bool) -> Step {
    let index = field(word, 16, 5);
    let is_ordered = single && word & 0x00bf_fc00 == 0x0001_8400;
    let has_index = bit(word, 23);
    if !has_index && index != 0 && !is_ordered || !single && bit(word, 21) {
        return Step::Anything;
    }
    let Some(bytes) = (if single {
        lane_bytes(word)
    } else {
        registers_in_list(word).map(|count| count * if bit(word, 30) { 16 } else { 8 })
    }) else {
        return Step::Anything;
    };
    let mode = match (has_index, index) {
        (false, _) => Mode::Offset(0),
        (true, 31) => Mode::PostIndex(i64::from(bytes)),
        (true, _) => Mode::PostRegister,
    };
    Step::Access(Access {
        store: match bit(word, 22) {
            true => Store::Nothing,
            false => Store::Bytes(bytes),
        },
        ..at(word, mode)
    })
}

/// How many registers a structure instruction moves.
fn registers_in_list(word: u32) -> Option<u32> {
    match field(word, 12, 4) {
        0b0000 | 0b0010 => Some(4),
        0b0100 | 0b0110 => Some(3),
        0b1000 | 0b1010 => Some(2),
        0b0111 => Some(1),
        _ => None,
    }
}

/// How many bytes a single-structure instruction moves.
fn lane_bytes(word: u32) -> Option<u32> {
    let count = 2 * field(word, 13, 1) + field(word, 21, 1) + 1;
    let size = field(word, 10, 2);
    let bytes = match (field(word, 14, 2), bit(word, 12)) {
        (0b00, _) => 1,
        (0b01, _) if size & 1 == 0 => 2,
        (0b10, _) if size == 0 => 4,
        (0b10, false) if size == 1 => 8,
        // Load and replicate.
        (0b11, false) if bit(word, 22) => 1 << size,
        _ => return None,
    };
    Some(count * bytes)
}

/// Bits 29..28 are 01 and bit 24 is set: bits 11..10 and 21 select.
pub(super) fn unscaled_tags_and_copies(word: u32) -> Step {
    let is_vector = bit(word, 26);
    match (bit(word, 21), field(word, 10, 2), is_vector) {
        (false, 0b00, false) | (false, 0b10, true) => unscaled(word),
        (false, 0b01, _) => copy_or_set(word),
        (false, 0b10, false) if bit(word, 31) => ordered_pair(word),
        // gcsstr, gcssttr
        (false, 0b11, false) if word >> 30 == 0b11 && field(word, 22, 2) == 0 => {
            Step::Access(Access {
                store: Store::Bytes(8),
                ..at(word, Mode::Offset(0))
            })
        }
        (true, _, false) if word >> 30 == 0b11 => tags(word),
        (true, _, false) => atomic_pair(word),
        _ => Step::Anything,
    }
}

/// `stlur`, `ldapur` and their narrower and vector forms.
fn unscaled(word: u32) -> Step {
    let (size, opc) = (word >> 30, field(word, 22, 2));
    let is_allocated = match bit(word, 26) {
        true => size == 0 || opc < 0b10,
        false => size + opc < 0b101 && (size, opc) != (0b11, 0b10),
    };
    if !is_allocated {
        return Step::Anything;
    }
    let mut access = at(word, Mode::Offset(signed(word, 12, 9)));
    let bytes = 1 << size_log2(word);
    match (field(word, 22, 2), bit(word, 26)) {
        (0b00, _) | (0b10, true) => access.store = Store::Bytes(bytes),
        (_, true) => {}
        (_, false) => access.writes = Regs::NONE.with_or_zero(word),
    }
    Step::Access(access)
}

/// `stilp`, `ldiapp`; `stlr` with pre-index, `ldapr` with post-index (FEAT_LRCPC3).
fn ordered_pair(word: u32) -> Step {
    let bytes = if bit(word, 30) { 8 } else { 4 };
    let writes_back = field(word, 12, 4) == 0;
    if bit(word, 23) && field(word, 16, 5) != 0 {
        return Step::Anything;
    }
    let (size, is_load, is_pair) = match field(word, 22, 2) {
        0b00 => (2 * bytes, false, true),
        0b01 => (2 * bytes, true, true),
        0b10 => (bytes, false, false),
        _ => (bytes, true, false),
    };
    let mode = match (writes_back, is_load) {
        (true, true) => Mode::PostIndex(i64::from(size)),
        (true, false) => Mode::PreIndex(-i64::from(size)),
        (false, _) if is_pair && field(word, 12, 4) == 1 => Mode::Offset(0),
        (false, _) => return Step::Anything,
    };
    let mut access = at(word, mode);
    if is_load {
        access.writes = Regs::NONE.with_or_zero(word);
        if is_pair {
            access.writes = access.writes.with_or_zero(word >> 16);
        }
    } else {
        access.store = Store::Bytes(size);
    }
    Step::Access(access)
}

/// `cpy*` and `set*`: destination, source and count are all written back.
fn copy_or_set(word: u32) -> Step {
    let is_set = field(word, 22, 2) == 0b11;
    let written = Regs::NONE.with_or_zero(word).with_or_zero(word >> 5);
    let Some(destination) = Reg::or_zero(word) else {
        return Step::Anything;
    };
    if word >> 30 != 0 {
        return Step::Anything;
    }
    Step::Access(Access {
        base: destination,
        mode: Mode::Register(None),
        store: Store::Unbounded,
        data: [None; 2],
        load: false,
        writes: match is_set {
            true => written,
            false => written.with_or_zero(word >> 16),
        },
    })
}

/// The allocation tag instructions. Those without `z` change tags, not data.
fn tags(word: u32) -> Step {
    let opc = field(word, 22, 2);
    let offset = signed(word, 12, 9) * 16;
    let has_offset = field(word, 12, 9) != 0;
    let (store, writes, mode) = match (field(word, 10, 2), opc) {
        (0b00, 0b00 | 0b10 | 0b11) if has_offset => return Step::Anything,
        // stzgm, ldg, stgm, ldgm
        (0b00, 0b00) => (Store::Unbounded, Regs::NONE, Mode::Offset(0)),
        (0b00, 0b10) => (Store::Nothing, Regs::NONE, Mode::Offset(0)),
        (0b00, _) => (
            Store::Nothing,
            Regs::NONE.with_or_zero(word),
            Mode::Offset(offset),
        ),
        (index, opc) => {
            // stg, stzg, st2g, stz2g
            let store = match opc {
                0b01 => Store::Bytes(16),
                0b11 => Store::Bytes(32),
                _ => Store::Nothing,
            };
            let mode = match index {
                0b01 => Mode::PostIndex(offset),
                0b11 => Mode::PreIndex(offset),
                _ => Mode::Offset(offset),
            };
            (store, Regs::NONE, mode)
        }
    };
    Step::Access(Access {
        store,
        writes,
        ..at(word, mode)
    })
}

/// The 128-bit atomics (FEAT_LSE128), those of translation table entries
/// (FEAT_THE) and the unprivileged ones (FEAT_LSUI).
fn atomic_pair(word: u32) -> Step {
    let (first, second) = (word, word >> 16);
    let is_allocated = match (field(word, 10, 2), field(word, 12, 4)) {
        _ if bit(word, 31) || bit(word, 26) => false,
        // ldclrp, ldsetp, swpp: bit 30 is clear; rcwclrp, rcwswpp, rcwsetp
        (0b00, 0b0001 | 0b0011 | 0b1000) => !bit(word, 30),
        (0b00, 0b1001..=0b1011) => true,
        // ldtadd, ldtclr, ldtset, swpt
        (0b01, 0b0000 | 0b0001 | 0b0011 | 0b1000) => true,
        (0b10 | 0b11, 0b0000) => true,
        _ => false,
    };
    if !is_allocated {
        return Step::Anything;
    }
    let writes = match field(word, 10, 2) {
        // ldclrp, ldsetp, swpp, rcwclrp, …
        0b00 => Regs::NONE.with_or_zero(first).with_or_zero(second),
        // ldtadd, …, swpt
        0b01 => Regs::NONE.with_or_zero(first),
        // rcwcas
        0b10 => Regs::NONE.with_or_zero(second),
        // rcwcasp
        _ => {
            let pair = Regs::NONE.with_or_zero(second);
            pair.with_or_zero((second & 31) + 1)
        }
    };
    Step::Access(Access {
        store: Store::Bytes(16),
        writes,
        ..at(word, Mode::Offset(0))
    })
}
