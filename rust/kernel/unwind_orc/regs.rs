// SPDX-License-Identifier: GPL-2.0

//! The layout of `struct pt_regs` as an exception leaves it on the stack.
//!
//! A walker reads registers word by word, with [`Stacks::read`](super::Stacks::read), and not
//! through a pointer to the structure. All offsets are in bytes from its start.

use crate::bindings;

/// The offset of x9.
pub const X9: u64 = bindings::unwind_orc_regs_UNWIND_ORC_REGS_X9 as u64;

/// The offset of x29, the frame pointer.
pub const FP: u64 = bindings::unwind_orc_regs_UNWIND_ORC_REGS_FP as u64;

/// The offset of x30, the link register.
pub const LR: u64 = bindings::unwind_orc_regs_UNWIND_ORC_REGS_LR as u64;

/// The offset of the stack pointer.
pub const SP: u64 = bindings::unwind_orc_regs_UNWIND_ORC_REGS_SP as u64;

/// The offset of the program counter.
pub const PC: u64 = bindings::unwind_orc_regs_UNWIND_ORC_REGS_PC as u64;

/// The offset of the saved processor state.
pub const PSTATE: u64 = bindings::unwind_orc_regs_UNWIND_ORC_REGS_PSTATE as u64;

/// The offset of the metadata frame record, `struct frame_record_meta`.
pub const STACKFRAME: u64 = bindings::unwind_orc_regs_UNWIND_ORC_REGS_STACKFRAME as u64;

/// The size of the structure.
pub const SIZE: u64 = bindings::unwind_orc_regs_UNWIND_ORC_REGS_SIZE as u64;
