// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What is known of the A64 instruction set: what an instruction does ([`insn`]),
//! and how far a direct branch goes ([`branch`]). Readers and proof both ask here.

pub mod branch;
pub mod insn;

/// The word of a NOP, which the kernel writes and compilers pad with.
pub const NOP: u32 = 0xd503_201f;

/// Whether some low bits are cleared, and no others.
#[must_use]
pub const fn is_top_run(mask: u64) -> bool {
    mask.leading_ones() + mask.trailing_zeros() == u64::BITS
}
