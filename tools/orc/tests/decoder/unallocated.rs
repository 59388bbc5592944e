// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Words that fARM64 can't decode: unallocated, or of an extension that neither
//! it nor we know. Of these nothing may be claimed to be known, and most destroy
//! everything. Those that we take for less, and why that is no risk:
//!
//! * data processing on general registers: its result goes where bits 4..0 say,
//!   or is flags;
//! * stores, SME, and what remains of loads: a store at the base, and no register
//!   is taken to hold anything after;
//! * vectors and SVE: an instruction that is added there and has a general register
//!   as its result would be missed. The kernel's C and Rust are compiled for
//!   general registers alone, so only new assembly could have it; its decoding here
//!   would be wrong until the model knows the extension;
//! * system instructions that have no result.

use orctool::a64::insn::{Flow, Insn, Step};

/// What we claim to know of a word that nobody knows, if we do.
pub fn disagreement(word: u32) -> Option<String> {
    let ours = Insn::decode(word);
    let destination = word & 31;
    let is_cautious = match ours.step {
        Step::Anything => true,
        Step::Nothing => ours.flow == Flow::Trap || has_no_general_result(word),
        Step::Writes(regs) => {
            destination == 31 || regs.iter().any(|reg| reg.index() as u32 == destination)
        }
        Step::Access(access) => access.data == [None; 2],
        _ => is_authentication_of_x17(word),
    };
    let goes_on = matches!(ours.flow, Flow::Next | Flow::Trap);
    (!is_cautious || !goes_on).then(|| format!("{word:08x}, not decoded: claimed {ours:?}"))
}

/// The groups of the encoding index (DDI 0487, C4.1) whose results are elsewhere.
fn has_no_general_result(word: u32) -> bool {
    match (word >> 25) & 0b1111 {
        // SVE; vectors and floating point.
        0b0010 | 0b0111 | 0b1111 => true,
        // Flags: rmif, setf8, setf16.
        0b0101 | 0b1101 => (word >> 21) & 0xff == 0b1101_0000,
        // System instructions without the bit of a result.
        0b1010 => word >> 24 == 0xd5 && (word >> 21) & 1 == 0,
        _ => false,
    }
}

/// `pacia171615` and its three likes (FEAT_PAuth_LR), which fARM64 lacks.
fn is_authentication_of_x17(word: u32) -> bool {
    matches!(word, 0xdac1_8bfe | 0xdac1_8ffe | 0xdac1_bbfe | 0xdac1_bffe)
}
