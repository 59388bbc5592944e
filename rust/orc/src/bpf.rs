// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The rules for BPF code, which is made at run time: no table describes it.
//!
//! The kernel's JIT records from where to where a program or a trampoline has its
//! frame, and its size; what that frame looks like is written down here.

use crate::reason::Reason;
use crate::rule::{is_offset, Cfa, CfaBase, Frame, Location, Rule, StackPointer, X29};

use core::num::NonZero;

/// Size of a frame record, x29 and x30.
const RECORD_BYTES: u32 = 16;

/// Where SP is in a program with tail calls.
const TAIL_CALLER: StackPointer = StackPointer::Below {
    least: RECORD_BYTES,
    most: None,
};

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
pub fn body(frame_bytes: Option<NonZero<u32>>) -> Result<Rule, Reason> {
    let (base, offset, sp) = match frame_bytes {
        Some(bytes) => (CfaBase::Sp, bytes.get(), StackPointer::Exact),
        None => (CfaBase::Fp, RECORD_BYTES, TAIL_CALLER),
    };
    if !fits(offset, RECORD_BYTES) {
        return Err(Reason::BpfOther);
    }
    Ok(Rule::Frame(Frame {
        cfa: Cfa { base, offset },
        sp,
        return_address: Location::Slot(RECORD_BYTES - 8),
        signed: None,
        caller_fp: Location::Slot(RECORD_BYTES),
        x29: X29::Record(RECORD_BYTES),
        patch_site: false,
    }))
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
pub fn trampoline(frame_bytes: Option<NonZero<u32>>) -> Result<Rule, Reason> {
    let offset = frame_bytes.map_or(0, NonZero::get);
    if !fits(offset, 2 * RECORD_BYTES) {
        return Err(Reason::BpfOther);
    }
    Ok(Rule::Frame(Frame {
        cfa: Cfa {
            base: CfaBase::Sp,
            offset,
        },
        sp: StackPointer::Exact,
        return_address: Location::Slot(2 * RECORD_BYTES - 8),
        signed: None,
        caller_fp: Location::Slot(RECORD_BYTES),
        x29: X29::Record(2 * RECORD_BYTES),
        patch_site: true,
    }))
}

/// Whether a frame has room for its records. The rules above are valid then; to ask
/// [`Frame::is_valid`] would take more stack.
const fn fits(frame_bytes: u32, records: u32) -> bool {
    is_offset(frame_bytes) && frame_bytes >= records
}
