// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The rules for BPF code, which is made at run time: no table describes it.
//!
//! The kernel's JIT records from where to where a program or a trampoline has its
//! frame, and its size; what that frame looks like is written down here.

use crate::reason::Reason;
use crate::rule::{Cfa, CfaBase, Frame, Location, Rule, StackPointer, X29};

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
    checked(Frame {
        cfa: Cfa { base, offset },
        sp,
        return_address: Location::Slot(RECORD_BYTES - 8),
        signed: None,
        caller_fp: Location::Slot(RECORD_BYTES),
        x29: X29::Record(RECORD_BYTES),
        patch_site: false,
    })
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
    let bytes = frame_bytes.ok_or(Reason::BpfOther)?;
    checked(Frame {
        cfa: Cfa {
            base: CfaBase::Sp,
            offset: bytes.get(),
        },
        sp: StackPointer::Exact,
        return_address: Location::Slot(2 * RECORD_BYTES - 8),
        signed: None,
        caller_fp: Location::Slot(RECORD_BYTES),
        x29: X29::Record(2 * RECORD_BYTES),
        patch_site: true,
    })
}

fn checked(frame: Frame) -> Result<Rule, Reason> {
    match frame.is_valid() {
        true => Ok(Rule::Frame(frame)),
        false => Err(Reason::BpfOther),
    }
}
