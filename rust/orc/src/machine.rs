// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What a walk needs to be given: rows, memory and registers of one task.
//!
//! The kernel module implements [`Machine`] for a task that does not run, the
//! tests for synthetic stacks. The walk does all checks of its own and trusts an
//! implementation only with what is written at each method.

use crate::reason::Reason;
use crate::rule::RawRule;

/// A stack: the bytes from `low` to below `high`.
///
/// An absent stack has `low == 0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StackRange {
    /// Its lowest address.
    pub low: u64,
    /// The address after its last byte: SP when it is empty.
    pub high: u64,
}

impl StackRange {
    /// Whether both addresses lie on this stack or at its end, the first not above the
    /// second.
    #[must_use]
    #[inline(always)]
    pub(crate) const fn spans(&self, low: u64, high: u64) -> bool {
        self.low != 0 && self.low <= low && low <= high && high <= self.high
    }

    /// Whether all of `size` bytes at `address` lie on this stack.
    #[must_use]
    pub fn contains(&self, address: u64, size: u64) -> bool {
        self.low != 0
            && address >= self.low
            && address
                .checked_add(size)
                .is_some_and(|end| end <= self.high)
    }
}

/// Where the parts of `struct pt_regs` are, in bytes from its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegsLayout {
    /// `regs[9]`.
    pub x9: u64,
    /// `regs[29]`.
    pub fp: u64,
    /// `regs[30]`.
    pub lr: u64,
    /// `sp`.
    pub sp: u64,
    /// `pc`.
    pub pc: u64,
    /// `pstate`.
    pub pstate: u64,
    /// `stackframe`, a `struct frame_record_meta`.
    pub stackframe: u64,
    /// Size of the whole.
    pub size: u64,
}

impl RegsLayout {
    /// The layout in Linux 7.3, for tests. The kernel takes it from its headers.
    pub const LINUX_7_3: Self = Self {
        x9: 9 * 8,
        fp: 29 * 8,
        lr: 30 * 8,
        sp: 248,
        pc: 256,
        pstate: 264,
        stackframe: 296,
        size: 320,
    };
}

/// Where the parts of `struct __arch_ftrace_regs` are, in bytes from its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FtraceRegs {
    /// `direct_tramp`; `None` in a kernel without direct calls.
    pub direct_tramp: Option<u64>,
    /// `fp`.
    pub fp: u64,
    /// `lr`.
    pub lr: u64,
    /// `sp`.
    pub sp: u64,
    /// `pc`.
    pub pc: u64,
    /// Size of the whole.
    pub size: u64,
}

impl FtraceRegs {
    /// The layout in Linux 7.3, for tests. The kernel takes it from its headers.
    pub const LINUX_7_3: Self = Self {
        direct_tramp: Some(72),
        fp: 80,
        lr: 88,
        sp: 96,
        pc: 104,
        size: 112,
    };
}

/// How a PC was found, which decides what may be relied on there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The instruction at the PC is the next to be executed.
    Interrupted {
        /// x30 there; `None` when its value is not known.
        lr: Option<u64>,
        /// x9 there, or zero, which is no text, if it is not known. It counts in
        /// ftrace trampolines alone.
        x9: u64,
    },
    /// A call before the PC has not returned yet. The call, not the PC, decides
    /// the row: it may be the last instruction of a function.
    ReturnsTo,
    /// `cpu_switch_to()` took the task off its CPU, and returns to the PC. A task
    /// that has never run goes on at exactly the PC, with nothing on its stack.
    SwitchedOut,
    /// The function goes on at the PC, in the state in which it was entered: ftrace
    /// has held it up at its entry, or sends the task there in place of another
    /// function (a live patch).
    Entered {
        /// x30 there, which a tracer may have replaced.
        lr: u64,
    },
}

/// The registers of one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// The address in this frame's function.
    pub pc: u64,
    /// How `pc` was found.
    pub kind: Kind,
    /// SP in this frame.
    pub sp: u64,
    /// x29 in this frame.
    pub fp: u64,
}

impl State {
    /// A task at an instruction: of its own entry, or out of `struct pt_regs`. What
    /// x9 holds is not known.
    #[must_use]
    pub const fn interrupted(pc: u64, sp: u64, fp: u64, lr: u64) -> Self {
        Self {
            pc,
            kind: Kind::Interrupted {
                lr: Some(lr),
                x9: 0,
            },
            sp,
            fp,
        }
    }

    /// The same with x9 known, if it is a task at an instruction.
    #[must_use]
    pub const fn with_x9(self, x9: u64) -> Self {
        match self.kind {
            Kind::Interrupted { lr, .. } => Self {
                kind: Kind::Interrupted { lr, x9 },
                ..self
            },
            _ => self,
        }
    }

    /// A task off the CPU, as `cpu_switch_to()` left it.
    #[must_use]
    pub const fn switched_out(pc: u64, sp: u64, fp: u64) -> Self {
        Self {
            pc,
            kind: Kind::SwitchedOut,
            sp,
            fp,
        }
    }

    /// A function that waits for a call to return to `pc`.
    #[must_use]
    pub const fn returns_to(pc: u64, sp: u64, fp: u64) -> Self {
        Self {
            pc,
            kind: Kind::ReturnsTo,
            sp,
            fp,
        }
    }
}

/// A task whose stack is walked.
///
/// The task must not run during the walk, except that it may be the walker.
pub trait Machine {
    /// The layout of `struct pt_regs`.
    const REGS: RegsLayout;

    /// The layout of `struct __arch_ftrace_regs`.
    const FTRACE_REGS: FtraceRegs;

    /// The rule at this exact PC, as a table holds it.
    ///
    /// # Errors
    ///
    /// [`Reason::EntryText`] in entry code, which no row describes: also in the init
    /// text that the idle task of the boot CPU was entered from, if it is that task.
    /// [`Reason::InitText`], [`Reason::NotText`], [`Reason::NoTable`],
    /// [`Reason::NoRow`] or another reason why there is none.
    fn rule(&mut self, pc: u64) -> Result<RawRule, Reason>;

    /// The instruction at this address, for which [`Machine::rule`] has just said what
    /// holds there. Where a probe or a tracer has put another one, that which it
    /// replaced.
    ///
    /// `None` where the text is not there any more: the init text that the idle task
    /// of the boot CPU was entered from.
    fn instruction(&mut self, pc: u64) -> Option<u32>;

    /// Whether this address, whose rule is that of an ftrace callsite, is in a BPF
    /// trampoline: that has no `struct __arch_ftrace_regs`, and goes on where its frame
    /// says.
    fn is_bpf_trampoline(&mut self, _pc: u64) -> bool {
        false
    }

    /// Whether this address is in `return_to_handler`, which returns in place of a
    /// function that the function graph tracer has traced.
    fn is_graph_return(&self, _pc: u64) -> bool {
        false
    }

    /// Whether this is the instruction of `ftrace_caller` that goes to the callsite, or where a
    /// callback has sent the task: `ret x9`, with all other registers as they will be there.
    fn is_ftrace_return(&self, _pc: u64) -> bool {
        false
    }

    /// The size of the function that starts at this address, if it is left by its return alone
    /// ([`Frame::left_by_return`](crate::rule::Frame::left_by_return)), and if the walk is to
    /// look which function was called: it may know a better witness for the return address that
    /// it was given last.
    fn left_by_return(&mut self, _entry: u64) -> Option<u32> {
        None
    }

    /// Whether this address is in a function that may run in place of another one, which
    /// was called: a live patch's, or one that no table describes.
    fn is_stand_in(&mut self, _pc: u64) -> bool {
        false
    }

    /// The eight bytes at this address.
    ///
    /// The walk asks only for aligned addresses on one of its stacks.
    fn read(&mut self, address: u64) -> Option<u64>;

    /// The frame record at this address: its two words, x29 first.
    ///
    /// The walk asks as for [`Machine::read`].
    #[inline(always)]
    fn read_record(&mut self, address: u64) -> Option<[u64; 2]> {
        let above = address.wrapping_add(8);
        Some([self.read(address)?, self.read(above)?])
    }

    /// The stacks this task may be on, by number from 0: its own first, then those of the
    /// CPU when the task is the walker and can't be preempted; `None` behind the last. They
    /// do not overlap, and stay the same during a walk; the walk uses the first 32.
    fn stack(&self, number: usize) -> Option<StackRange>;

    /// The address of `task_pt_regs(task)`: its `stackframe` ends the stack.
    fn task_regs(&self) -> u64;

    /// The address without the pointer authentication code.
    fn strip_pac(&self, address: u64) -> u64;

    /// Whether [`Machine::recover`] has something to say of this return address. False is a
    /// promise that it would give the address back.
    #[inline(always)]
    fn is_replaced(&self, _pc: u64) -> bool {
        true
    }

    /// The return address that a tracer has replaced by this one, or this one.
    ///
    /// `fp` is x29 after the return to `pc`. Replaced are the function graph
    /// tracer's (`return_to_handler`) and the kretprobes'. The result may be
    /// another replaced one; the walk asks again until it gets what it gave.
    ///
    /// A tracer keeps addresses in the order of the calls, so the next one that it
    /// has is for the next frame that wants one. Each is given once. None is skipped
    /// to find one that fits.
    ///
    /// # Errors
    ///
    /// [`Reason::FgraphLost`], [`Reason::KretprobeLost`].
    fn recover(&mut self, pc: u64, fp: u64) -> Result<u64, Reason>;

    /// The same for an instruction that was interrupted: where the kretprobe
    /// trampoline will return to if `pc` is its first instruction, else `pc`.
    ///
    /// The function has returned then, and its caller is at exactly that address.
    /// Not for `return_to_handler`: the rows there say that x30 still is its address,
    /// which [`Machine::recover`] then gets.
    ///
    /// # Errors
    ///
    /// [`Reason::KretprobeLost`].
    fn recover_interrupted(&mut self, pc: u64, fp: u64) -> Result<u64, Reason>;

    /// The walk has met a function that the function graph tracer may be about to make
    /// return elsewhere: it may have kept `lr` already, and not yet replaced it. Or one
    /// for which it has put `lr` back already, and may still have it.
    ///
    /// If the next address that it has is this one, for this frame, no other frame
    /// will want it.
    fn pass_entered(&mut self, lr: u64, fp: u64);

    /// The walk has met a return address: `raw` is what x30 or the stack holds, with
    /// a pointer authentication code, or replaced by a tracer. It belongs to the frame
    /// with this CFA. `signed` is [`Frame::signed`](crate::rule::Frame::signed) of the row.
    ///
    /// What else the machine knows of return addresses it compares with these.
    ///
    /// # Errors
    ///
    /// A reason of the machine's own.
    fn witness(&mut self, raw: u64, cfa: u64, signed: Option<bool>) -> Result<(), Reason>;

    /// The walk has come to the end of the stack: whether all return addresses that
    /// tracers and other witnesses have kept were met.
    ///
    /// # Errors
    ///
    /// [`Reason::KeptReturnLeft`], or a reason of the machine's own.
    fn finish(&mut self) -> Result<(), Reason>;
}
