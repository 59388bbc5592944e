// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The ways from an instruction: the only place that tells what a [`Flow`] means.

use crate::a64::insn::{Flow, Reg, Regs};
use crate::text::Target;

use super::veneer::Veneer;
use super::{At, Graph};

/// How control goes from one instruction to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// On to the next instruction.
    Next,
    /// By a direct branch.
    Branch,
    /// Into a function that is called.
    Call,
    /// On to the next instruction after a call, if that returns.
    AfterCall,
    /// On to the next instruction after a trap, if its handler skips it.
    AfterTrap,
    /// On to the next instruction by `bl .+4`, which is no call: whoever returns from
    /// there returns to there.
    Link,
    /// To where an exception handler goes on; it, or the access that was done in
    /// part, has written these.
    Fixup(Regs),
    /// By an indirect branch that is known to lead there.
    Indirect,
    /// By an indirect branch of which nobody says where it leads.
    Open,
    /// To the address in this register.
    Return(Reg),
    /// To another context (`eret`).
    Exit,
}

impl Way {
    /// Whether it leads to the next instruction.
    #[must_use]
    pub const fn is_next(self) -> bool {
        matches!(
            self,
            Self::Next | Self::AfterCall | Self::AfterTrap | Self::Link
        )
    }
}

/// Where a way leads that is no way to the next instruction.
#[derive(Clone, Copy, Debug)]
pub struct Lead<'g> {
    /// An instruction of the file; none elsewhere.
    pub to: Option<At>,
    /// What is done on the way, out of line.
    pub veneer: Option<&'g Veneer>,
}

impl Lead<'_> {
    /// Of the next instruction, or of one that is not known.
    pub const NOWHERE: Self = Self {
        to: None,
        veneer: None,
    };
}

impl<'a> Graph<'a> {
    /// Calls `see` for each way from an instruction at `at` with this flow, whose branch a
    /// relocation may give its target.
    pub(super) fn ways<'g>(
        &'g self,
        at: At,
        flow: Flow,
        relocated: Option<Target>,
        see: &mut impl FnMut(Way, Lead<'g>),
    ) {
        let next = Lead::NOWHERE;
        match flow {
            Flow::Next => see(Way::Next, next),
            Flow::Jump(by) => see(Way::Branch, self.lead(at, by, relocated)),
            Flow::Conditional(by) => {
                see(Way::Branch, self.lead(at, by, relocated));
                see(Way::Next, next);
            }
            Flow::Call(by) => {
                let lead = self.lead(at, by, relocated);
                let after = At {
                    offset: at.offset + 4,
                    ..at
                };
                let is_next = lead.to == Some(after) && lead.veneer.is_none();
                if is_next && self.starting_at(after).is_none() {
                    see(Way::Link, next);
                } else {
                    see(Way::Call, lead);
                    see(Way::AfterCall, next);
                }
            }
            Flow::IndirectCall => see(Way::AfterCall, next),
            Flow::Trap => see(Way::AfterTrap, next),
            Flow::IndirectJump => see(Way::Open, next),
            Flow::Return(reg) => see(Way::Return(reg), next),
            Flow::ExceptionReturn => see(Way::Exit, next),
        }
    }

    /// Where a direct branch leads, through what is out of line.
    fn lead(&self, at: At, distance: i64, relocated: Option<Target>) -> Lead<'_> {
        let to = self.target(at, distance, relocated);
        match to.and_then(|to| self.veneers.get(&to)) {
            Some(veneer) => Lead {
                to: Some(veneer.back),
                veneer: Some(veneer),
            },
            None => Lead { to, veneer: None },
        }
    }
}
