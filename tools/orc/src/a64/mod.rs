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

/// Whether the kernel may go on after a `brk` of which `__bug_table` says nothing
/// (`arch/arm64/include/asm/brk-imm.h`): those of `WARN()`, of KASAN, of kCFI and of
/// debuggers.
#[must_use]
pub const fn trap_may_be_skipped(word: u32) -> bool {
    let is_brk = word & !0x1f_ffe0 == 0xd420_0000;
    let immediate = (word >> 5) & 0xffff;
    is_brk
        && matches!(immediate, 0x4..=0x7 | 0x400 | 0x401 | 0x800 | 0x900..=0x9ff | 0x8000..=0x83ff)
}
