// SPDX-License-Identifier: GPL-2.0

//! Offering a walker to the kernel, and the two entries it is called through.

use super::{
    region::Region,
    walk::{
        Sink,
        Start,
        Walk, //
    },
};
use crate::{
    bindings,
    error::to_result,
    prelude::*, //
};
use core::{
    marker::PhantomData,
    num::NonZero,
    slice, //
};

/// Why, and where, a stack could not be believed.
#[derive(Clone, Copy, Debug)]
pub struct Unreliable {
    /// The walker's number for the reason.
    pub reason: NonZero<u32>,
    /// The number of the frame it was found at; the innermost is 0.
    pub frame: u32,
    /// The program counter of that frame.
    pub pc: u64,
    /// Whether it is only that there is no table, so that another unwinder may answer.
    pub no_table: bool,
}

/// The number of frames, but only of a stack walked to its proper end with every frame believed.
pub type Verdict = Result<u32, Unreliable>;

/// Decides whether a stack can be believed.
///
/// The functions are called on any CPU, several at a time.
pub trait Walker {
    /// Checks the table of a text section, once, before any walk uses it. May sleep.
    ///
    /// # Errors
    ///
    /// What is wrong with the table, for the log; it is then not used.
    fn check(region: &Region<'_>) -> Result<(), &'static str>;

    /// Walks the stack of one task and tells the sink each frame.
    ///
    /// It may be called with interrupts disabled and with runqueue locks held: it must not sleep,
    /// print, allocate, or take a lock.
    fn walk(walk: &mut Walk<'_>, sink: &mut Sink<'_>) -> Verdict;

    /// The text for a reason, in a few words; 47 bytes of it are kept.
    fn name(reason: NonZero<u32>) -> &'static str;
}

/// A walker that answers for the kernel for as long as this exists.
///
/// # Invariants
///
/// `ops` is registered with the C edge.
pub struct Registration<W: Walker> {
    // Kept, because the C edge compares addresses, and two uses of a constant may have two.
    ops: &'static bindings::unwind_orc_ops,
    walker: PhantomData<W>,
}

impl<W: Walker> Registration<W> {
    const OPS: &'static bindings::unwind_orc_ops = &bindings::unwind_orc_ops {
        check: Some(check::<W>),
        walk: Some(walk::<W>),
        name: Some(name::<W>),
    };

    /// Checks all tables with [`Walker::check`] and lets the walker answer from now on.
    ///
    /// # Errors
    ///
    /// Those of `unwind_orc_register()`: there is a walker already, or the table of the kernel
    /// itself is not there or was not accepted.
    pub fn new() -> Result<Self> {
        let ops = Self::OPS;

        // SAFETY: `ops` and its entries are part of the module that `W` is part of, whose own data
        // holds this, as it does every registration. That is dropped before the module goes, and
        // `drop()` unregisters `ops` and waits until nobody is in its entries.
        to_result(unsafe { bindings::unwind_orc_register(ops) })?;

        // INVARIANT: It was registered just now.
        Ok(Self {
            ops,
            walker: PhantomData,
        })
    }
}

impl<W: Walker> Drop for Registration<W> {
    /// Lets the stock walker answer again, and waits until nothing runs in this one.
    fn drop(&mut self) {
        // SAFETY: By the type invariant `ops` is registered, and only this unregisters it.
        unsafe { bindings::unwind_orc_unregister(self.ops) };
    }
}

/// The operation `check` of `struct unwind_orc_ops`.
///
/// # Safety
///
/// Only for the C edge, as described in its header: `region` must be valid for the call, with a
/// table and a build-id that are null or valid, and `why` be valid for writes of `len` bytes.
unsafe extern "C" fn check<W: Walker>(
    region: *const bindings::unwind_orc_region,
    why: *mut c_char,
    len: usize,
) -> c_int {
    // SAFETY: By this function's safety requirements.
    let region = unsafe { Region::from_raw(region) };

    match W::check(&region) {
        Ok(()) => 0,
        Err(name) => {
            // SAFETY: By this function's safety requirements; nothing else refers to the buffer.
            let why = unsafe { slice::from_raw_parts_mut(why, len) };
            copy_name(why, name);
            EINVAL.to_errno()
        }
    }
}

/// The operation `walk` of `struct unwind_orc_ops`.
///
/// # Safety
///
/// Only for the C edge, as described in its header: `start` must be valid and describe `task`,
/// which must be a valid task that keeps its stack during the call unless `start` says that it
/// runs or has none; `sink` must be valid, and its `consume` callable with its `cookie`; `outcome`
/// must be valid for writes; and the caller must be in an RCU read side section.
unsafe extern "C" fn walk<W: Walker>(
    start: *const bindings::unwind_orc_start,
    task: *mut bindings::task_struct,
    sink: *const bindings::unwind_orc_sink,
    outcome: *mut bindings::unwind_orc_outcome,
) -> c_int {
    // SAFETY: By this function's safety requirements. Where stacks of the CPU may be walked, the
    // caller can't be preempted, and nothing here changes that.
    let mut walk = unsafe { Walk::new(task, &*start) };
    let is_current = matches!(walk.start(), Start::Current { .. });
    // SAFETY: By this function's safety requirements.
    let mut sink = unsafe { Sink::new(&*sink, is_current) };
    // The frame that captured the state is not counted.
    let counted = |frame: u32| frame.saturating_sub(is_current.into());

    let (reason, frame, pc, result) = match W::walk(&mut walk, &mut sink) {
        Ok(frames) => (0, counted(frames), 0, 0),
        Err(why) => {
            let error = if why.no_table { ENODATA } else { EINVAL };
            (
                why.reason.get(),
                counted(why.frame),
                why.pc as usize,
                error.to_errno(),
            )
        }
    };
    // SAFETY: By this function's safety requirements.
    unsafe { outcome.write(bindings::unwind_orc_outcome { reason, frame, pc }) };
    result
}

/// The operation `name` of `struct unwind_orc_ops`.
///
/// # Safety
///
/// Only for the C edge, as described in its header: `name` must be valid for writes of `len` bytes.
unsafe extern "C" fn name<W: Walker>(reason: u32, name: *mut c_char, len: usize) {
    // SAFETY: By this function's safety requirements; nothing else refers to the buffer.
    let to = unsafe { slice::from_raw_parts_mut(name, len) };

    copy_name(to, NonZero::new(reason).map_or("", W::name));
}

/// Copies as much of `name` as there is room for, and fills the rest with NUL bytes, at least one.
fn copy_name(to: &mut [c_char], name: &str) {
    let Some((last, to)) = to.split_last_mut() else {
        return;
    };

    to.fill(0);
    to.iter_mut()
        .zip(name.bytes())
        .for_each(|(to, byte)| *to = byte);
    *last = 0;
}
