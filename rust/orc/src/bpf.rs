// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The rules for BPF code, which is made at run time: no table describes it.
//!
//! The kernel's JIT records from where to where a program or a trampoline has its
//! frame, and its size; what that frame looks like is written down here.

use crate::reason::Reason;
use crate::rule::{bits, is_offset, RawRule, UNIT};

use core::num::NonZero;

/// Size of a frame record, x29 and x30.
const RECORD_BYTES: u32 = 16;
const RECORD: u32 = RECORD_BYTES / UNIT;

/// Return address and caller's x29 are saved.
const SAVED: u32 = bits::FRAME | bits::RA_SLOT | bits::FP_SLOT;

/// The rule between a program's prologue and its epilogue.
///
/// x29 and x30 are the first that a program pushes, and x29 is left pointing at them:
/// `build_prologue()` in `arch/arm64/net/bpf_jit_comp.c`. A trampoline of a struct_ops
/// does the same: it stands for a function and is called like one.
///
/// `frame_bytes` is from SP to the CFA. It is `None` for a program with tail
/// calls: these take its frame down amid the body, all but the record.
///
/// # Errors
///
/// [`Reason::BpfOther`] for a size that no frame can have.
pub fn body(frame_bytes: Option<NonZero<u32>>) -> Result<RawRule, Reason> {
    let head = SAVED | 2 << bits::X29_SHIFT;
    let Some(bytes) = frame_bytes else {
        // The CFA comes from x29, SP is below the record.
        let below = 1 << bits::SP_SHIFT | bits::NO_LIMIT;
        let cfa = bits::CFA_FP | RECORD << bits::CFA_SHIFT;
        return Ok(RawRule::new([head | below | cfa, RECORD]));
    };
    let cfa = units(bytes.get(), RECORD_BYTES)?;
    let return_address = RECORD - 1;
    Ok(RawRule::new([
        head | cfa << bits::CFA_SHIFT,
        return_address | RECORD << bits::HIGH_SHIFT,
    ]))
}

/// The rule between prologue and epilogue of a trampoline that a call in the entry of
/// a function leads to.
///
/// `prepare_trampoline()` in `arch/arm64/net/bpf_jit_comp.c` makes the two records that
/// `ftrace_caller` makes: the traced function's {x29, x9}, and below it its own. The
/// trampoline may have called the rest of the traced function meanwhile. That one then
/// returns to it, and has a frame of its own; its entry is on the trace all the same,
/// as the trampoline can't be told to be done with it.
///
/// # Errors
///
/// [`Reason::BpfOther`] for a size that no frame can have, or none.
pub fn trampoline(frame_bytes: Option<NonZero<u32>>) -> Result<RawRule, Reason> {
    let cfa = units(frame_bytes.map_or(0, NonZero::get), 2 * RECORD_BYTES)?;
    let head = SAVED | 3 << bits::X29_SHIFT | bits::PATCH_SITE;
    let return_address = 2 * RECORD - 1;
    Ok(RawRule::new([
        head | cfa << bits::CFA_SHIFT,
        return_address | RECORD << bits::HIGH_SHIFT,
    ]))
}

/// The size of a frame with so many bytes of records, in units.
const fn units(frame_bytes: u32, records: u32) -> Result<u32, Reason> {
    match is_offset(frame_bytes) && frame_bytes >= records {
        true => Ok(frame_bytes / UNIT),
        false => Err(Reason::BpfOther),
    }
}
