// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The rule for BPF programs, which are made at run time: no table describes them.
//!
//! The kernel's JIT records from where to where a program has its frame, and its
//! size; what that frame looks like is written down here.

use crate::reason::Reason;
use crate::rule::{Cfa, CfaBase, Frame, Location, Rule, X29};

use core::num::NonZero;

/// x29 and x30 are the first that a program pushes, and x29 is left pointing at
/// them: `build_prologue()` in `arch/arm64/net/bpf_jit_comp.c`.
const RECORD_BYTES: u32 = 16;

/// The rule between a program's prologue and its epilogue.
///
/// `frame_bytes` is from SP to the CFA. It is `None` for a program with tail
/// calls: these take its frame down amid the body, all but the record.
///
/// # Errors
///
/// [`Reason::BpfOther`] for a size that no frame can have.
pub fn body(frame_bytes: Option<NonZero<u32>>) -> Result<Rule, Reason> {
    let cfa = match frame_bytes {
        Some(bytes) => Cfa {
            base: CfaBase::Sp,
            offset: bytes.get(),
        },
        None => Cfa {
            base: CfaBase::Fp,
            offset: RECORD_BYTES,
        },
    };
    let frame = Frame {
        cfa,
        return_address: Location::Slot(RECORD_BYTES - 8),
        caller_fp: Location::Slot(RECORD_BYTES),
        x29: X29::Record(RECORD_BYTES),
        patch_site: false,
    };
    match frame.is_valid() {
        true => Ok(Rule::Frame(frame)),
        false => Err(Reason::BpfOther),
    }
}
