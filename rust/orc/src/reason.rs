// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Why a stack is unreliable, and the verdict of a walk.
//!
//! Each cause has a reason of its own, with a code that does not change and a
//! short text: people read it in `/proc/<pid>/stack`, programs in the tracepoint.

use crate::rule::Undescribed;

use core::fmt;

/// Defines the reasons once: the enum, the list, the codes and the texts.
macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $text:literal, $source:ident;)*) => {
        /// Why a stack is unreliable.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason {
            $($(#[$doc])* $name,)*
        }

        impl Reason {
            /// All reasons, by code.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The code of this reason: stable, and never zero.
            #[must_use]
            pub const fn code(self) -> u8 {
                match self {
                    $(Self::$name => $code,)*
                }
            }

            /// The inverse of [`Reason::code`].
            #[must_use]
            pub const fn from_code(code: u8) -> Option<Self> {
                match code {
                    $($code => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// A short text: lower case, no punctuation.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            /// Who finds this reason.
            #[must_use]
            pub const fn source(self) -> Source {
                match self {
                    $(Self::$name => Source::$source,)*
                }
            }
        }
    };
}

/// Who finds a reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The walk in this crate.
    Walk,
    /// The [`Machine`](crate::machine::Machine), when the walk asks it.
    Machine,
    /// The kernel, before a walk or instead of one.
    Kernel,
}

reasons! {
    /// The caller wants no more entries: a truncated trace is not a complete one.
    BufferFull = 1, "trace buffer full", Walk;
    /// A zero return address, or a call through a null pointer.
    NullPc = 2, "null pc", Walk;
    /// An address inside an instruction.
    MisalignedPc = 3, "misaligned pc", Walk;
    /// Text of the kernel's own that no function covers.
    Hole = 4, "no function at this address", Walk;
    /// Assembly that is neither annotated nor a proved leaf.
    NoCfi = 5, "no call frame information", Walk;
    /// The instructions do not imply what the compiler claims.
    NotProved = 6, "unproved call frame information", Walk;
    /// Text that follows other calling conventions.
    Foreign = 7, "code with other conventions", Walk;
    /// Call frame information that no rule can express.
    BadCfi = 8, "unsupported call frame information", Walk;
    /// SP, at the start or out of saved registers, is outside all stacks.
    SpOffStack = 9, "stack pointer on no known stack", Walk;
    /// SP is not a multiple of 16.
    SpMisaligned = 10, "misaligned stack pointer", Walk;
    /// The CFA is not a multiple of 16.
    CfaMisaligned = 11, "misaligned frame", Walk;
    /// The CFA is below SP: frames can't go down the stack.
    CfaBelowSp = 12, "frame below the stack pointer", Walk;
    /// The CFA is above the stack, and no change of stacks is due here.
    CfaOffStack = 13, "frame outside the stack", Walk;
    /// A change to a stack that was left before, or away from the task's stack.
    StackReentered = 14, "wrong order of stacks", Walk;
    /// A saved register would be outside its frame.
    SlotOutsideFrame = 15, "saved register outside its frame", Walk;
    /// The machine refused a read inside a stack.
    Unreadable = 16, "unreadable stack", Walk;
    /// x29 is not what the row predicts: the two chains of frames disagree.
    FpMismatch = 17, "frame pointer mismatch", Walk;
    /// The row says x30, but what was in it there is lost: only a PC where the
    /// function was interrupted has a live x30.
    ReturnAddressLost = 18, "return address not saved", Walk;
    /// A final record that is not the one at the end of this task's stack.
    FinalMisplaced = 19, "final record not at the end of the stack", Walk;
    /// An exception record, but not of registers at SP, wholly on this stack.
    RegsMisplaced = 20, "exception record not at the stack pointer", Walk;
    /// A metadata record of a type that is not known.
    UnknownRecord = 21, "unknown frame record type", Walk;
    /// Registers of an exception record that are not those of kernel code.
    RegsNotKernel = 22, "saved registers not of kernel code", Walk;
    /// The saved SP is not the one just above the registers.
    RegsSpMismatch = 23, "saved stack pointer mismatch", Walk;
    /// A patch site whose row is not that of a function's entry.
    PatchSiteNotEntry = 24, "patch site not at a function entry", Walk;
    /// Recovered return addresses that lead to one another.
    RecoveryLoop = 25, "return address recovery does not end", Walk;
    /// A PC outside all text that the kernel knows.
    NotText = 26, "not kernel text", Machine;
    /// Text of a section whose table is missing or was refused.
    NoTable = 27, "no valid table", Machine;
    /// Text beyond the end of its table.
    NoRow = 28, "no row", Machine;
    /// `return_to_handler` is pending, and its return address is not found.
    FgraphLost = 29, "function graph return address not found", Machine;
    /// A kretprobe is pending, and its return address is not found.
    KretprobeLost = 30, "kretprobe return address not found", Machine;
    /// The task runs on another CPU.
    Running = 31, "task running on another cpu", Kernel;
    /// The task ran while it was walked.
    TaskRan = 32, "task ran during the walk", Kernel;
    /// The task has given its stack back.
    StackGone = 33, "task has no stack", Kernel;
    /// BPF's, but not the body of a program: its prologue or epilogue, a
    /// trampoline, a dispatcher.
    BpfOther = 34, "bpf code outside a program's body", Machine;
    /// vmlinux's own text for the time of boot, which is freed after it.
    InitText = 35, "text freed after boot", Machine;
    /// Entry code, which no row describes: its calls are known by the registers
    /// that it saved.
    EntryText = 36, "entry code", Machine;
    /// ftrace is about to call a trampoline in place of the function it has held up.
    DirectCall = 37, "direct call pending", Walk;
    /// What ftrace has saved of the function it has held up contradicts its records.
    FtraceRegsMismatch = 38, "ftrace registers and records disagree", Walk;
    /// The instruction before a return address is not a call.
    NoCall = 39, "no call before the return address", Walk;
    /// A tracer has kept a return address that no frame on the stack accounts for.
    KeptReturnLeft = 40, "kept return address without a frame", Machine;
    /// The shadow call stack has a return address that no frame accounts for.
    ShadowLeft = 41, "shadow call stack entry without a frame", Machine;
    /// x18 was on no shadow call stack that the walk can know.
    ShadowPointer = 42, "shadow stack pointer on no known stack", Kernel;
    /// SP is nearer to the CFA, or farther from it, than the function can put it;
    /// or on the same stack, where the row says another.
    SpOutsideBounds = 43, "stack pointer outside its bounds", Walk;
    /// A return address with the signature of another one, without one where the
    /// function signs, or with one where it does not.
    NotAuthentic = 44, "return address not authentic", Machine;
    /// A return address follows the call of a function that is not the frame below.
    NotCallee = 45, "not the function that was called", Walk;
}

impl Reason {
    /// Whether a walk can give this reason, so that a test vector must show it.
    #[must_use]
    pub const fn from_walk(self) -> bool {
        !matches!(self.source(), Source::Kernel)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl From<Undescribed> for Reason {
    fn from(why: Undescribed) -> Self {
        match why {
            Undescribed::Hole => Self::Hole,
            Undescribed::NoCfi => Self::NoCfi,
            Undescribed::NotProved => Self::NotProved,
            Undescribed::Foreign => Self::Foreign,
            Undescribed::BadCfi => Self::BadCfi,
        }
    }
}

/// The outcome of a walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The walk reached the end of the task's stack, and each step was checked.
    Reliable {
        /// Number of entries given to the caller.
        frames: u32,
    },
    /// The walk stopped before.
    Unreliable {
        /// Why.
        reason: Reason,
        /// The entry at which it stopped, from 0.
        frame: u32,
        /// The PC of that entry.
        pc: u64,
    },
}

impl Verdict {
    /// Whether the entries given are all the functions on the stack.
    #[must_use]
    pub const fn is_reliable(&self) -> bool {
        matches!(self, Self::Reliable { .. })
    }
}
