// SPDX-License-Identifier: GPL-2.0 OR MIT

//! ORC tables and the reliable stack walk for arm64.
//!
//! A table says, for each instruction of a text section, where the caller's
//! stack pointer, frame pointer and return address are. `orctool` proves and
//! writes tables on the host; the kernel checks a table once and walks stacks
//! with it. Both compile these same files, so the format has one definition and
//! the walk that is tested on the host is the walk that runs in the kernel.
//!
//! * [`format`]: the bytes of a table; [`rule`]: what one row says;
//!   [`table`]: a checked table, and the lookup.
//! * [`bpf`]: the rule for programs that no table describes.
//! * [`machine`]: what the walk needs to be given; [`walk`]: the loop over the
//!   steps; `step.rs`: one step, from a frame to its caller, and `stacks.rs`: the
//!   order in which stacks may follow.
//! * [`reason`]: why a stack is unreliable.
//! * [`shadow`]: the shadow call stack, which a walk is compared with.
//! * `vectors`: synthetic stacks that Cargo's tests and KUnit share.
//!
//! Nothing here allocates, blocks or panics, whatever the bytes of the table and
//! of the stack are: arithmetic is checked, access is by `get`, and a doubt is an
//! error. "Reliable" is earned at the end of the stack and nowhere else.

#![no_std]
#![forbid(unsafe_code)]

pub mod bpf;
pub mod format;
pub mod machine;
pub mod reason;
pub mod rule;
pub mod shadow;
mod stacks;
mod step;
pub mod table;
#[cfg(any(test, feature = "vectors", orc_vectors))]
pub mod vectors;
pub mod walk;
