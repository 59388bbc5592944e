// SPDX-License-Identifier: GPL-2.0

//! The layout of `struct __arch_ftrace_regs`, which `ftrace_caller` has at its stack pointer.
//!
//! As in [`regs`](super::regs), all offsets are in bytes from its start.

use crate::bindings;

/// The offset of the pending direct call's target, in kernels that have direct calls.
pub const DIRECT: Option<u64> =
    match bindings::unwind_orc_ftrace_regs_UNWIND_ORC_FTRACE_REGS_DIRECT as u64 {
        0 => None,
        offset => Some(offset),
    };

/// The offset of x29, the frame pointer.
pub const FP: u64 = bindings::unwind_orc_ftrace_regs_UNWIND_ORC_FTRACE_REGS_FP as u64;

/// The offset of x30, the link register.
pub const LR: u64 = bindings::unwind_orc_ftrace_regs_UNWIND_ORC_FTRACE_REGS_LR as u64;

/// The offset of the stack pointer.
pub const SP: u64 = bindings::unwind_orc_ftrace_regs_UNWIND_ORC_FTRACE_REGS_SP as u64;

/// The offset of the program counter.
pub const PC: u64 = bindings::unwind_orc_ftrace_regs_UNWIND_ORC_FTRACE_REGS_PC as u64;

/// The size of the structure.
pub const SIZE: u64 = bindings::unwind_orc_ftrace_regs_UNWIND_ORC_FTRACE_REGS_SIZE as u64;
