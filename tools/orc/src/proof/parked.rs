// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What stays in a register over a call (A11), because the CFI says so on both sides of it.
//!
//! LLVM's outliner puts the return address into a register that the function it calls
//! does not write: `mov x9, x30; bl OUTLINED_FUNCTION_0; mov x30, x9`. No convention
//! says that x9 is kept, but the CFI does, with `.cfi_register`.

use crate::a64::insn::{Reg, Regs};
use crate::claim::Home;
use crate::graph::Body;

use super::facts::Facts;
use super::value::{Sign, Value};

/// What a linker's branch to far code may write, a shadow call stack's pointer, and what
/// the call itself writes.
const NEVER: Regs = Regs::of(0b111 << 16).with(Reg::X30);

/// The registers that keep the return address and the caller's x29 over a call.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Kept {
    found: [Option<(Reg, Value, Sign)>; 2],
    /// Whether that rests on the CFI alone: the called function is not in the file.
    pub is_assumed: bool,
}

impl Kept {
    /// Puts them back, after the call.
    pub fn restore(self, facts: &mut Facts) {
        for (reg, value, sign) in self.found.into_iter().flatten() {
            facts.set_signed(reg, value, sign);
        }
    }
}

/// What the call at `index`, before which `facts` are known, keeps although AAPCS64 does
/// not say so.
///
/// It is in that register before the call, the rows of the call and of the instruction
/// after it both say so, and what is called does not write it, as far as it is known.
pub(super) fn kept(body: &Body<'_>, index: usize, facts: &Facts) -> Kept {
    let mut kept = Kept::default();
    let parked = |index| body.row(index).and_then(|row| row.parked());
    let Some((before, after)) = parked(index).zip(parked(index + 1)) else {
        return kept;
    };
    let homes = [
        (
            before.return_address,
            after.return_address,
            Value::ReturnAddress,
        ),
        (before.caller_fp, after.caller_fp, Value::CallerFp),
    ];
    for (found, (before, after, value)) in kept.found.iter_mut().zip(homes) {
        let Home::Register(reg) = before else {
            continue;
        };
        let is_usable = Regs::CALL.contains(reg) && !NEVER.contains(reg);
        if after != before || !is_usable || facts.get(reg) != value {
            continue;
        }
        match body.callee_keeps(index, reg) {
            Some(false) => continue,
            Some(true) => {}
            None => kept.is_assumed = true,
        }
        *found = Some((reg, value, facts.sign(reg)));
    }
    kept
}
