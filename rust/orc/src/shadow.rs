// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The shadow call stack: a second copy of return addresses.
//!
//! A function that saves its return address pushes a copy first, and pops it before it
//! returns. So the copies are return addresses of frames on the stack, in the same
//! order. Frames without a copy are many (assembly, BPF programs, a function that was
//! interrupted before its push or after its pop), but there is no copy without a
//! frame: a walk that comes to the end of the stack and has not met all of them has
//! missed a function, or has taken another for it.

use crate::reason::Reason;

/// How far a walk has come on a shadow call stack.
///
/// The default is for a kernel or a task without one: all addresses will do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// Entries not met yet: those from the base up to here.
    left: u32,
}

impl Cursor {
    /// At the top of a shadow call stack of `entries`.
    #[must_use]
    pub const fn at_top(entries: u32) -> Self {
        Self { left: entries }
    }

    /// Whether there is nothing that a walk would have to meet any more.
    #[must_use]
    pub const fn is_at_base(self) -> bool {
        self.left == 0
    }

    /// The walk has met this return address.
    ///
    /// `entry` gives an entry by its number, 0 being the outermost function's. Both are
    /// without pointer authentication codes, and both as tracers have left them.
    ///
    /// Each entry goes to the first frame that it can be for. If the entries can be
    /// paired with the frames in order at all, they are paired like this.
    ///
    /// # Errors
    ///
    /// [`Reason::Unreadable`] if there is no such entry.
    pub fn meet(
        &mut self,
        return_address: u64,
        entry: impl FnOnce(u32) -> Option<u64>,
    ) -> Result<(), Reason> {
        let Some(next) = self.left.checked_sub(1) else {
            return Ok(());
        };
        if entry(next).ok_or(Reason::Unreadable)? == return_address {
            self.left = next;
        }
        Ok(())
    }

    /// The walk has come to the end of the stack.
    ///
    /// # Errors
    ///
    /// [`Reason::ShadowLeft`] if an entry was not met.
    pub const fn finish(self) -> Result<(), Reason> {
        match self.is_at_base() {
            true => Ok(()),
            false => Err(Reason::ShadowLeft),
        }
    }
}
