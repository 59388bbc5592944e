// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The stack that the walk is on, and the order in which stacks may follow.
//!
//! Stacks nest: a task's own is left for the IRQ stack or the overflow stack, and
//! is the last that a walk reaches. A stack that the walk has left can't hold an
//! outer frame, so it is left for good (`unwind_consume_stack()` of the kernel).

use crate::machine::{Machine, StackRange};
use crate::reason::Reason;

/// Number of the task's own stack.
const TASK: usize = 0;
/// The walk remembers so many stacks as left.
const STACKS: usize = 32;

/// The stack that the walk is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stacks {
    current: StackRange,
    number: usize,
    left: u32,
}

impl Stacks {
    /// The walk starts on the stack that holds SP.
    pub(crate) fn starting_at<M: Machine>(machine: &M, sp: u64) -> Result<Self, Reason> {
        if sp % 16 != 0 {
            return Err(Reason::SpMisaligned);
        }
        let (number, current) = find(machine, sp, 16).ok_or(Reason::SpOffStack)?;
        Ok(Self {
            current,
            number,
            left: 0,
        })
    }

    /// The bounds of this stack.
    pub(crate) fn current(&self) -> StackRange {
        self.current
    }

    /// Whether this is the task's own stack.
    pub(crate) fn is_task(&self) -> bool {
        self.number == TASK
    }

    /// Leaves this stack for the one that holds all of these bytes.
    ///
    /// `unknown` is the reason when no stack does.
    pub(crate) fn leave_for<M: Machine>(
        &mut self,
        machine: &M,
        address: u64,
        size: u64,
        unknown: Reason,
    ) -> Result<(), Reason> {
        let (number, stack) = find(machine, address, size).ok_or(unknown)?;
        let left = self.left | bit(self.number);
        if self.is_task() || left & bit(number) != 0 {
            return Err(Reason::StackReentered);
        }
        *self = Self {
            current: stack,
            number,
            left,
        };
        Ok(())
    }

    /// The aligned eight bytes at an address on this stack.
    pub(crate) fn read<M: Machine>(&self, machine: &mut M, address: u64) -> Result<u64, Reason> {
        if address % 8 != 0 || !self.current.contains(address, 8) {
            return Err(Reason::SlotOutsideFrame);
        }
        machine.read(address).ok_or(Reason::Unreadable)
    }
}

fn find<M: Machine>(machine: &M, address: u64, size: u64) -> Option<(usize, StackRange)> {
    (0..STACKS)
        .map_while(|number| Some((number, machine.stack(number)?)))
        .find(|(_, stack)| stack.contains(address, size))
}

/// The bit that remembers this stack.
fn bit(number: usize) -> u32 {
    u32::try_from(number)
        .ok()
        .and_then(|number| 1_u32.checked_shl(number))
        .unwrap_or(0)
}
