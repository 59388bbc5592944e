// SPDX-License-Identifier: GPL-2.0

//! The stack of a task, for whoever wants to know it, and whether it can be believed.

use crate::{
    bindings,
    fmt,
    prelude::*,
    str::BStr,
    sync::aref::ARef,
    task::{
        Pid,
        Task, //
    }, //
};
use core::ptr::{
    self,
    NonNull, //
};

/// The frames of a task as they were at one moment, and the walker's verdict on them.
pub struct Trace {
    frames: KVec<usize>,
    depth: usize,
    verdict: bindings::unwind_orc_verdict,
}

/// Why, and where, a [`Trace`] could not be believed.
#[derive(Clone, Copy)]
pub struct Refusal<'a> {
    /// The reason in a few words.
    pub name: &'a BStr,
    /// The number of the frame it was found at; the innermost is 0.
    pub frame: u32,
    /// The program counter of that frame.
    pub at: Symbol,
}

/// An address in the kernel's text, displayed as `function+offset/size` of the call before it.
#[derive(Clone, Copy)]
pub struct Symbol(pub usize);

impl Trace {
    /// The most frames that are kept; [`Trace::depth`] may be more.
    pub const MAX_FRAMES: usize = 128;

    /// Walks the stack of the task that has `pid` in the PID namespace of the caller.
    ///
    /// The task is kept where it is meanwhile, but not afterwards. May sleep.
    ///
    /// # Errors
    ///
    /// [`ESRCH`] if there is no such task, and those of [`Trace::of_task`].
    pub fn of_pid(pid: Pid) -> Result<Self> {
        // SAFETY: It has no safety requirements.
        let task = NonNull::new(unsafe { bindings::find_get_task_by_vpid(pid) }).ok_or(ESRCH)?;
        // SAFETY: It is a valid task, and the reference that came with it goes to the `ARef`.
        // CAST: `Task` is a transparent wrapper around `task_struct`.
        let task = unsafe { ARef::<Task>::from_raw(task.cast()) };

        Self::of_task(&task)
    }

    /// Walks the stack of `task`, as [`Trace::of_pid`] does.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`], and those of `unwind_orc_trace_task()`: [`EOPNOTSUPP`] if no walker is there.
    pub fn of_task(task: &Task) -> Result<Self> {
        let mut frames = KVec::from_elem(0, Self::MAX_FRAMES, GFP_KERNEL)?;
        let mut verdict = bindings::unwind_orc_verdict::default();

        // SAFETY: The task is valid by the type invariants of `Task`. `frames` has as many
        // elements as may be filled in, and `verdict` is valid for writes.
        let result = unsafe {
            bindings::unwind_orc_trace_task(
                task.as_ptr(),
                frames.as_mut_ptr(),
                Self::MAX_FRAMES as u32,
                &mut verdict,
            )
        };
        let depth = usize::try_from(result).map_err(|_| Error::from_errno(result))?;
        frames.truncate(depth);

        Ok(Self {
            frames,
            depth,
            verdict,
        })
    }

    /// The first [`Trace::MAX_FRAMES`] frames, innermost first, up to the one that could not be
    /// believed, if there is one.
    pub fn frames(&self) -> impl Iterator<Item = Symbol> + '_ {
        self.frames.iter().copied().map(Symbol)
    }

    /// How many frames the walk saw.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// Why the trace is unreliable; `None` if it is reliable.
    pub fn refusal(&self) -> Option<Refusal<'_>> {
        if self.verdict.reason == 0 {
            return None;
        }
        // Not by way of `CStr`, whose conversions can overflow as far as the compiler knows.
        let mut parts = self.verdict.name.split(|byte| *byte == 0);

        Some(Refusal {
            name: BStr::from_bytes(parts.next().unwrap_or_default()),
            frame: self.verdict.frame,
            at: Symbol(self.verdict.pc),
        })
    }
}

impl fmt::Display for Refusal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_fmt(fmt!("{} at {}", self.name, self.at))
    }
}

impl fmt::Display for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0_u8; 160];
        let address: *const c_void = ptr::without_provenance(self.0);

        // SAFETY: `text` is valid for writes of its length, which the function does not exceed.
        // The format takes a pointer, which `%pB` looks up as a number and does not follow.
        let written = unsafe {
            bindings::scnprintf(text.as_mut_ptr(), text.len(), c"%pB".as_char_ptr(), address)
        };
        let text = text.get(..written as usize).unwrap_or_default();

        fmt::Display::fmt(BStr::from_bytes(text), f)
    }
}
