// SPDX-License-Identifier: GPL-2.0

//! One walk, as a walker sees it: where it starts, what it may ask, and whom it tells.
//!
//! All of it is inlined into the walker, whose code can be neither traced nor probed; code of this
//! crate can.

use super::{
    region::{
        self,
        Lookup, //
    },
    shadow::Shadow,
    stack::Stacks,
};
use crate::{
    bindings,
    prelude::*, //
};
use core::{
    marker::PhantomData,
    ptr, //
};

/// The registers that a walk starts from.
#[derive(Clone, Copy, Debug)]
pub enum Start {
    /// The current task, at one of its own instructions: the next to be executed is at `pc`.
    Current {
        /// The program counter.
        pc: u64,
        /// The stack pointer.
        sp: u64,
        /// x29.
        fp: u64,
        /// x30.
        lr: u64,
    },
    /// A task that waits for a call, of `cpu_switch_to()`, to return to `pc`.
    Blocked {
        /// The program counter.
        pc: u64,
        /// The stack pointer.
        sp: u64,
        /// x29.
        fp: u64,
    },
    /// The task runs on a CPU, so that nothing is known of it, and no stack can be read.
    Running,
    /// The task has given its stack back.
    NoStack,
}

impl Start {
    #[inline(always)]
    fn from_raw(raw: &bindings::unwind_orc_start) -> Self {
        let (pc, sp, fp) = (raw.pc as u64, raw.sp as u64, raw.fp as u64);

        match raw.kind {
            bindings::unwind_orc_kind_UNWIND_ORC_CURRENT => {
                let lr = raw.lr as u64;
                Self::Current { pc, sp, fp, lr }
            }
            bindings::unwind_orc_kind_UNWIND_ORC_BLOCKED => Self::Blocked { pc, sp, fp },
            bindings::unwind_orc_kind_UNWIND_ORC_GONE => Self::NoStack,
            _ => Self::Running,
        }
    }

    /// Whether the stack is there and stays while it is walked.
    #[inline(always)]
    fn has_stack(&self) -> bool {
        matches!(self, Self::Current { .. } | Self::Blocked { .. })
    }
}

/// Who replaces return addresses by those of trampolines of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tracer {
    /// The function graph tracer.
    FunctionGraph,
    /// The kretprobes.
    Kretprobe,
}

/// The task being walked.
///
/// # Invariants
///
/// `task` is a valid task for all of `'a`, and `raw_start` was taken from it. All of `'a` is in an
/// RCU read side section.
pub struct Walk<'a> {
    task: *mut bindings::task_struct,
    raw_start: &'a bindings::unwind_orc_start,
    recovery: bindings::unwind_orc_recovery,
    stacks: Stacks<'a>,
    shadow: Option<Shadow<'a>>,
    /// Not to be sent to where another section, or none, is.
    rcu: PhantomData<*mut ()>,
}

impl<'a> Walk<'a> {
    /// Prepares a walk.
    ///
    /// # Safety
    ///
    /// * `task` must be a valid task for all of `'a`, and `raw_start` describe it.
    /// * Unless `raw_start.kind` says that the task runs or has no stack, it must own its stack
    ///   for all of `'a`.
    /// * If `task` is the current one, preemption must not be enabled within `'a`.
    /// * The caller must be in an RCU read side section for all of `'a`.
    #[inline(always)]
    pub(super) unsafe fn new(
        task: *mut bindings::task_struct,
        raw_start: &'a bindings::unwind_orc_start,
    ) -> Self {
        // INVARIANT: By this function's safety requirements.
        let mut walk = Self {
            task,
            raw_start,
            recovery: bindings::unwind_orc_recovery::default(),
            stacks: Stacks::none(),
            shadow: Some(Shadow::none()),
            rcu: PhantomData,
        };

        if Start::from_raw(raw_start).has_stack() {
            // SAFETY: The task is valid and owns a stack by this function's safety requirements.
            unsafe { walk.stacks.fill(task) };
            // SAFETY: As above.
            walk.shadow = unsafe { Shadow::of_task(task, raw_start) };
        }
        walk
    }

    /// Where the walk starts.
    #[inline(always)]
    pub fn start(&self) -> Start {
        Start::from_raw(self.raw_start)
    }

    /// The stacks that may be read.
    #[inline(always)]
    pub fn stacks(&self) -> &Stacks<'a> {
        &self.stacks
    }

    /// The shadow call stack that belongs to the walk; `None` if the task is on one that is not
    /// known.
    #[inline(always)]
    pub fn shadow(&self) -> Option<&Shadow<'a>> {
        self.shadow.as_ref()
    }

    /// Finds the text section that `pc` lies in.
    #[inline(always)]
    pub fn find(&self, pc: u64) -> Lookup<'a> {
        // SAFETY: By the type invariants all of `'a` is in an RCU read side section.
        unsafe { region::find(pc) }
    }

    /// The address of `task_pt_regs(task)`, at the end of the task's stack.
    #[inline(always)]
    pub fn task_regs(&self) -> u64 {
        // SAFETY: By the type invariants the task is valid; only an address is computed.
        unsafe { bindings::unwind_orc_task_regs(self.task) as u64 }
    }

    /// Whether this is the idle task of the boot CPU, which was entered from init text.
    #[inline(always)]
    pub fn is_boot_idle(&self) -> bool {
        // SAFETY: By the type invariants the task is valid; only its address is looked at.
        unsafe { bindings::unwind_orc_is_boot_idle(self.task) }
    }

    /// The return address that a tracer has replaced by `pc`, or `pc` if none did.
    ///
    /// `fp` is x29 after the return to `pc`.
    ///
    /// # Errors
    ///
    /// The tracer whose trampoline is at `pc`, but which does not know the address.
    #[inline(always)]
    pub fn recover(&mut self, pc: u64, fp: u64) -> Result<u64, Tracer> {
        let mut address = pc as usize;

        // SAFETY: By the type invariants the task is valid. `recovery` was zero at first and is
        // only changed by this function. The tracers compare `fp` and do not follow it.
        let known = unsafe {
            bindings::unwind_orc_recover(self.task, &mut self.recovery, fp as usize, &mut address)
        };
        if known {
            Ok(address as u64)
        } else if is_kretprobe_trampoline(pc) {
            Err(Tracer::Kretprobe)
        } else {
            Err(Tracer::FunctionGraph)
        }
    }

    /// Tells the tracers' records of a function that ftrace holds up at its entry: its return
    /// address `lr` is in place, but may have been kept already. `fp` is x29 at its entry.
    #[inline(always)]
    pub fn pass_entered(&mut self, lr: u64, fp: u64) {
        // SAFETY: As in `recover()`.
        unsafe {
            bindings::unwind_orc_pass_entered(
                self.task,
                &mut self.recovery,
                lr as usize,
                fp as usize,
            )
        };
    }

    /// Whether all return addresses that tracers have kept were given out by [`Walk::recover`].
    #[inline(always)]
    pub fn all_recovered(&self) -> bool {
        // SAFETY: As in `recover()`; nothing is changed.
        unsafe { bindings::unwind_orc_all_recovered(self.task, &self.recovery) }
    }

    /// Whether the signature of a return address is right: `raw` is the word on the stack, `cfa`
    /// what SP was at the entry of the function which has signed it.
    ///
    /// All are right where nothing is signed, or nobody wants to know.
    #[inline(always)]
    pub fn is_authentic(&self, raw: u64, cfa: u64) -> bool {
        // SAFETY: By the type invariants the task is valid; its key is read, and two numbers are
        // compared.
        !cfg!(CONFIG_UNWIND_ORC_PAC)
            || unsafe { bindings::unwind_orc_is_authentic(self.task, raw as usize, cfa as usize) }
    }

    /// The instruction at `pc`, if that is text which a task may be found in.
    ///
    /// Where a probe has replaced it, the one that was there.
    #[inline(always)]
    pub fn instruction(&self, pc: u64) -> Option<u32> {
        let mut instruction = 0;

        // SAFETY: `instruction` is valid for writes. By the type invariants this is an RCU read side
        // section, in which the function looks for the text itself.
        unsafe { bindings::unwind_orc_instruction(pc as usize, &mut instruction) }
            .then_some(instruction)
    }

    /// Whether the task has not run since the start was taken, as far as can be seen.
    #[inline(always)]
    pub fn is_undisturbed(&self) -> bool {
        // SAFETY: By the type invariants the task is valid, and the start was taken from it.
        unsafe { bindings::unwind_orc_undisturbed(self.task, self.raw_start) }
    }
}

/// Whether `pc` is in `.entry.text`, from where C is called with `struct pt_regs` at SP.
#[inline(always)]
pub fn is_entry_text(pc: u64) -> bool {
    // SAFETY: It has no safety requirements: an address is compared with two others.
    unsafe { bindings::unwind_orc_is_entry_text(pc as usize) }
}

/// What stays the same from boot on.
#[inline(always)]
fn places() -> &'static bindings::unwind_orc_places {
    // SAFETY: It is filled in early in boot, before there can be a walker, and never changed again.
    unsafe { &*ptr::addr_of!(bindings::unwind_orc_places) }
}

/// An address without its pointer authentication code, as XPACLRI makes it: bit 55 is its own.
#[inline(always)]
pub fn strip_pac(address: u64) -> u64 {
    let mask = places().pac_mask as u64;

    match address & 1 << 55 {
        0 => address & !mask,
        _ => address | mask,
    }
}

/// Whether `pc` is in `return_to_handler`, which the function graph tracer makes functions return
/// to.
#[inline(always)]
pub fn is_graph_return(pc: u64) -> bool {
    let places = places();

    (places.graph_return as u64..places.graph_return_end as u64).contains(&pc)
}

/// Whether `pc` is the instruction of `ftrace_caller` that goes to the callsite.
#[inline(always)]
pub fn is_ftrace_return(pc: u64) -> bool {
    pc == places().ftrace_return as u64
}

/// Whether `pc` is the address at which kretprobes make functions return.
#[inline(always)]
pub fn is_kretprobe_trampoline(pc: u64) -> bool {
    pc == places().kretprobe as u64
}

/// Whether `pc` stands for an address that a tracer has kept.
#[inline(always)]
pub fn is_replaced(pc: u64) -> bool {
    pc == places().graph_return as u64 || is_kretprobe_trampoline(pc)
}

/// Who asked for the walk, and gets the program counter of each frame.
///
/// # Invariants
///
/// `consume` of `raw`, if there is one, may be called with its `cookie` for all of `'a`.
pub struct Sink<'a> {
    raw: &'a bindings::unwind_orc_sink,
    /// The next is the frame that the state was captured in, which nobody asked for.
    is_own: bool,
    /// How many more are taken.
    room: u32,
}

impl<'a> Sink<'a> {
    /// Takes over a consumer.
    ///
    /// # Safety
    ///
    /// `raw.consume`, if there is one, must be callable with `raw.cookie` for all of `'a`.
    #[inline(always)]
    pub(super) unsafe fn new(raw: &'a bindings::unwind_orc_sink, skips_first: bool) -> Self {
        // INVARIANT: By this function's safety requirements.
        Self {
            raw,
            is_own: skips_first,
            room: match raw.consume {
                Some(_) => u32::MAX,
                None => bindings::UNWIND_ORC_MAX_ENTRIES,
            },
        }
    }

    /// Whether nobody wants the frames: the walk only looks for text without a table.
    #[inline(always)]
    pub fn only_looks(&self) -> bool {
        self.raw.consume.is_none()
    }

    /// Hands over the program counter of a frame, innermost first; false if it was refused.
    #[inline(always)]
    pub fn push(&mut self, pc: u64) -> bool {
        if self.is_own {
            self.is_own = false;
            return true;
        }
        match self.room.checked_sub(1) {
            Some(rest) => self.room = rest,
            None => return false,
        }
        match self.raw.consume {
            // SAFETY: By the type invariants.
            Some(consume) => unsafe { consume(self.raw.cookie, pc as usize) },
            None => true,
        }
    }
}
