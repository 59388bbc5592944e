// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What the kernel's reasons mean, and whether a row can lead to one.

use orc::reason::Reason;
use orc::rule::{CfaBase, Frame, Location, Rule, StackPointer, X29};
use serde::Serialize;

/// A reason in a sentence or two.
#[must_use]
pub const fn meaning(reason: Reason) -> &'static str {
    match reason {
        Reason::BufferFull => "the caller wanted no more entries; what is cut off is not complete",
        Reason::NullPc => "the return address is zero, or a null pointer was called",
        Reason::MisalignedPc => "the return address is inside an instruction",
        Reason::Hole => "no function is there: padding, or data in the text",
        Reason::NoCfi => "assembly without call frame information that is not a proved leaf",
        Reason::NotProved => {
            "the instructions do not imply what the compiler claims about the frame"
        }
        Reason::Foreign => {
            "code that follows conventions of its own and never runs on a task's stack"
        }
        Reason::BadCfi => "the compiler's claim about the frame is one that no row can hold",
        Reason::SpOffStack => "SP, at the start or in saved registers, is on no stack of this task",
        Reason::SpMisaligned => "SP is not a multiple of 16",
        Reason::CfaMisaligned => "the frame does not end at a multiple of 16",
        Reason::CfaBelowSp => "the frame ends below SP; frames can't go down the stack",
        Reason::CfaOffStack => {
            "the frame ends above the stack, and no change of stacks is due there"
        }
        Reason::StackReentered => "the walk would go back to a stack that it has left",
        Reason::SlotOutsideFrame => "a saved register would be outside of its frame",
        Reason::Unreadable => "a read inside of a stack failed",
        Reason::FpMismatch => {
            "x29 is not what the row predicts: the frame records and the tables tell two stories"
        }
        Reason::ReturnAddressLost => {
            "the row says x30, and only where a function was interrupted is x30 still its own"
        }
        Reason::FinalMisplaced => {
            "a final frame record that is not at the end of this task's stack"
        }
        Reason::RegsMisplaced => "an exception's frame record, but no saved registers at SP",
        Reason::UnknownRecord => "a frame record of a type that the walker does not know",
        Reason::RegsNotKernel => "the registers of an exception are not those of kernel code",
        Reason::RegsSpMismatch => "the SP that an exception saved is not just above what it saved",
        Reason::PatchSiteNotEntry => {
            "ftrace_caller was called from where its caller is not in its entry state"
        }
        Reason::RecoveryLoop => "recovered return addresses lead to one another",
        Reason::NotText => {
            "an address outside of all text that a walk may meet: a trampoline, a module's init \
             text, or no code at all"
        }
        Reason::InitText => "text of the kernel that is there only while it boots",
        Reason::EntryText => {
            "entry code that was interrupted itself, or called without saved registers at SP"
        }
        Reason::NoTable => "the text of a module that has no table, or one that was refused",
        Reason::NoRow => "text behind what its table describes",
        Reason::FgraphLost => "the function graph tracer has no return address for this frame",
        Reason::KretprobeLost => "the kretprobe has no return address for this frame",
        Reason::Running => "the task runs on another CPU",
        Reason::TaskRan => "the task ran while it was walked",
        Reason::BpfOther => {
            "BPF's code, but not the body of a program: only that has a frame known to the walker"
        }
        Reason::SpOutsideBounds => {
            "SP is nearer to x29 or farther from it than this function can move it"
        }
        Reason::StackGone => "the task has no stack any more: it is exiting",
        Reason::DirectCall => {
            "ftrace is about to call a trampoline in place of the traced function"
        }
        Reason::FtraceRegsMismatch => {
            "what ftrace saved of the traced function is not what its frame records say"
        }
        Reason::NoCall => "the instruction before the return address is no call",
        Reason::KeptReturnLeft => {
            "a tracer has replaced a return address that the walk did not come to"
        }
        Reason::ShadowLeft => {
            "the shadow call stack holds a return address that the walk did not come to"
        }
        Reason::ShadowPointer => "x18 is neither on the task's shadow call stack nor on the CPU's",
        Reason::NotAuthentic => {
            "the return address has the signature of another address, frame or task, or none \
             where its function signs"
        }
        Reason::NotCallee => {
            "the call before this return address is of a function that returns by itself, and \
             the frame below is in another one"
        }
    }
}

/// Whether what the kernel says fits what the table says at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fit {
    /// The row alone leads to it.
    Row,
    /// The row lets it happen; what was on the stack decided.
    Possible,
    /// It has nothing to do with the row.
    Elsewhere,
    /// The row rules it out.
    Contradiction,
}

impl Fit {
    /// In words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Row => "fits: the row here is the reason",
            Self::Possible => "fits: the row here asks for a check that the stack did not pass",
            Self::Elsewhere => "the row here does not decide that",
            Self::Contradiction => {
                "does not fit the rows here: the kernel that said it was built from something else \
                 than this file"
            }
        }
    }
}

/// The rows at a place: where it was interrupted (`at`), and of the call that
/// returns to it (`call`). The kernel does not say which one the walk looked up.
#[derive(Clone, Copy, Debug)]
pub struct Rows {
    /// At the PC.
    pub at: Option<Rule>,
    /// At the PC - 4.
    pub call: Option<Rule>,
}

impl Rows {
    /// Whether these rows can have led to `reason`.
    #[must_use]
    pub fn fit(&self, reason: Reason) -> Fit {
        let is_row = |fits| if fits { Fit::Row } else { Fit::Contradiction };
        let is_possible = |fits| {
            if fits {
                Fit::Possible
            } else {
                Fit::Contradiction
            }
        };
        match reason {
            Reason::EntryText => is_row(self.any(|rule| is_refused(rule, Reason::NoCfi))),
            Reason::Hole | Reason::NoCfi | Reason::NotProved | Reason::Foreign | Reason::BadCfi => {
                is_row(self.any(|rule| is_refused(rule, reason)))
            }
            // Also where a kretprobe was interrupted: x30 is not known then.
            Reason::ReturnAddressLost => is_row(self.any_frame(is_in_register)),
            Reason::PatchSiteNotEntry => {
                is_row(matches!(self.at, Some(Rule::Frame(f)) if f != Frame::ENTRY))
            }
            Reason::FpMismatch => is_possible(self.any_frame(is_compared)),
            Reason::CfaBelowSp | Reason::SlotOutsideFrame => {
                is_possible(self.any_frame(|frame| frame.cfa.base == CfaBase::Fp))
            }
            Reason::SpOutsideBounds => is_possible(self.any_frame(is_bounded)),
            Reason::CfaMisaligned | Reason::CfaOffStack => is_possible(self.any_frame(|_| true)),
            // This is text, and the file has a row for it.
            Reason::NullPc | Reason::NotText | Reason::NoRow | Reason::BpfOther => {
                Fit::Contradiction
            }
            _ => Fit::Elsewhere,
        }
    }

    fn any(&self, test: impl Fn(&Rule) -> bool) -> bool {
        [self.at, self.call].iter().flatten().any(test)
    }

    fn any_frame(&self, test: impl Fn(&Frame) -> bool) -> bool {
        self.any(|rule| matches!(rule, Rule::Frame(frame) if test(frame)))
    }
}

fn is_refused(rule: &Rule, reason: Reason) -> bool {
    matches!(rule, Rule::Unreliable(why) if Reason::from(*why) == reason)
}

fn is_in_register(frame: &Frame) -> bool {
    frame.return_address == Location::Register
}

/// Whether SP has bounds there that a walk looks at.
fn is_bounded(frame: &Frame) -> bool {
    matches!(
        frame.sp,
        StackPointer::Below { .. } | StackPointer::OtherStack
    )
}

/// Whether a walk compares x29 there: not where the CFA comes from x29 itself. At a
/// function's entry it does for a traced function, with the record that
/// `ftrace_caller` made.
fn is_compared(frame: &Frame) -> bool {
    let is_compared = match frame.x29 {
        X29::Record(_) => frame.cfa.base == CfaBase::Sp,
        X29::Caller => frame.caller_fp != Location::Register,
        X29::Other => false,
    };
    is_compared || frame.patch_site || *frame == Frame::ENTRY
}

#[cfg(test)]
mod tests {
    use super::*;
    use orc::rule::{Cfa, Undescribed};

    const FRAME: Frame = Frame {
        cfa: Cfa {
            base: CfaBase::Sp,
            offset: 32,
        },
        sp: StackPointer::Exact,
        return_address: Location::Slot(24),
        signed: None,
        caller_fp: Location::Slot(32),
        x29: X29::Record(32),
        patch_site: false,
        left_by_return: None,
    };

    fn fit(at: Rule, call: Rule, reason: Reason) -> Fit {
        let rows = Rows {
            at: Some(at),
            call: Some(call),
        };
        rows.fit(reason)
    }

    #[test]
    fn each_reason_has_a_meaning_of_its_own() {
        let mut all: Vec<&str> = Reason::ALL.iter().map(|r| meaning(*r)).collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), Reason::ALL.len());
    }

    #[test]
    fn refusals_need_a_row_that_says_so() {
        let refused = |why| Rule::Unreliable(why);
        let frame = Rule::Frame(FRAME);
        for (why, reason) in [
            (Undescribed::Hole, Reason::Hole),
            (Undescribed::NoCfi, Reason::NoCfi),
            (Undescribed::NoCfi, Reason::EntryText),
            (Undescribed::NotProved, Reason::NotProved),
            (Undescribed::Foreign, Reason::Foreign),
            (Undescribed::BadCfi, Reason::BadCfi),
        ] {
            assert_eq!(fit(refused(why), frame, reason), Fit::Row);
            assert_eq!(fit(frame, refused(why), reason), Fit::Row, "by the call");
            assert_eq!(fit(frame, frame, reason), Fit::Contradiction);
            assert_eq!(
                fit(refused(why), refused(why), Reason::FpMismatch),
                Fit::Contradiction
            );
        }
    }

    #[test]
    fn checks_need_a_row_that_asks_for_them() {
        let entry = Rule::Frame(Frame::ENTRY);
        let frame = Rule::Frame(FRAME);
        let by_fp = Rule::Frame(Frame {
            cfa: Cfa {
                base: CfaBase::Fp,
                offset: 32,
            },
            sp: StackPointer::Below {
                least: 32,
                most: None,
            },
            ..FRAME
        });
        let unchecked = Rule::Frame(Frame {
            x29: X29::Other,
            ..FRAME
        });
        for (row, reason, expected) in [
            (frame, Reason::FpMismatch, Fit::Possible),
            (entry, Reason::FpMismatch, Fit::Possible),
            (unchecked, Reason::FpMismatch, Fit::Contradiction),
            (by_fp, Reason::FpMismatch, Fit::Contradiction),
            (entry, Reason::ReturnAddressLost, Fit::Row),
            (frame, Reason::ReturnAddressLost, Fit::Contradiction),
            (by_fp, Reason::CfaBelowSp, Fit::Possible),
            (frame, Reason::CfaBelowSp, Fit::Contradiction),
            (by_fp, Reason::SpOutsideBounds, Fit::Possible),
            (frame, Reason::SpOutsideBounds, Fit::Contradiction),
            (by_fp, Reason::SlotOutsideFrame, Fit::Possible),
            (frame, Reason::SlotOutsideFrame, Fit::Contradiction),
            (frame, Reason::CfaMisaligned, Fit::Possible),
            (frame, Reason::PatchSiteNotEntry, Fit::Row),
            (entry, Reason::PatchSiteNotEntry, Fit::Contradiction),
            (frame, Reason::NotText, Fit::Contradiction),
            (frame, Reason::Running, Fit::Elsewhere),
            (frame, Reason::RegsMisplaced, Fit::Elsewhere),
        ] {
            assert_eq!(fit(row, row, reason), expected, "{row:?} {reason}");
        }
    }
}
