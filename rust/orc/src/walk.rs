// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The walk over a task's stack.
//!
//! It gives each function on the stack to the caller, innermost first, as
//! `arch_stack_walk_reliable()` does, and says at the end whether they are all.

use crate::machine::{Kind, Machine, State};
use crate::reason::{Reason, Verdict};
use crate::stacks::Stacks;
use crate::step::{at_call, step};

/// A function graph return may hide a kretprobe's, or the other way round; two for each
/// of the functions that have reached each other by their last jump, or by a live patch.
const RECOVERIES: u32 = 16;

/// Walks the stack of a task from `start`, and gives each PC to `emit`.
///
/// `emit` returns false when it wants no more, which makes the trace unreliable.
/// The verdict counts entries, so a caller that drops its own frame counts it
/// too. The walk ends after at most a few steps for each 16 bytes of stack.
pub fn walk<M, F>(machine: &mut M, start: State, mut emit: F) -> Verdict
where
    M: Machine,
    F: FnMut(u64) -> bool,
{
    let mut frame = 0_u32;
    let mut steps = match Steps::start(machine, start) {
        Ok(steps) => steps,
        Err(reason) => return unreliable(reason, frame, &start),
    };
    loop {
        if let Err(reason) = steps.settle(machine) {
            return unreliable(reason, frame, &steps.state);
        }
        if !emit(steps.state.pc) {
            return unreliable(Reason::BufferFull, frame, &steps.state);
        }
        match steps.next(machine) {
            Ok(true) => frame = frame.saturating_add(1),
            Ok(false) => {
                return Verdict::Reliable {
                    frames: frame.saturating_add(1),
                }
            }
            Err(reason) => return unreliable(reason, frame, &steps.state),
        }
    }
}

/// A walk, frame by frame: [`Steps::settle`] and [`Steps::next`] in turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Steps {
    state: State,
    stacks: Stacks,
    /// An address in the function of the frame before, or zero.
    callee: u64,
}

impl Steps {
    /// Before the innermost frame.
    ///
    /// # Errors
    ///
    /// Why no walk can start there.
    pub fn start<M: Machine>(machine: &M, start: State) -> Result<Self, Reason> {
        Ok(Self {
            state: start,
            callee: 0,
            stacks: Stacks::starting_at(machine, start.sp)?,
        })
    }

    /// The registers of this frame.
    #[must_use]
    pub const fn state(&self) -> State {
        self.state
    }

    /// Makes the PC of this frame the address that execution goes on at.
    ///
    /// # Errors
    ///
    /// Why that is not known.
    #[inline(always)]
    pub fn settle<M: Machine>(&mut self, machine: &mut M) -> Result<(), Reason> {
        settle(machine, &mut self.state)
    }

    /// Steps to the caller; false at the end of the stack.
    ///
    /// # Errors
    ///
    /// Why the caller is not known, or the end not believed.
    #[inline(always)]
    pub fn next<M: Machine>(&mut self, machine: &mut M) -> Result<bool, Reason> {
        let (pc, callee) = (self.state.pc, at_call(&self.state));
        let result = step(machine, &mut self.stacks, &mut self.state, self.callee);
        match result {
            Ok(true) => {
                self.callee = callee;
                return Ok(true);
            }
            // An error is about this frame.
            _ => self.state.pc = pc,
        }
        result?;
        machine.finish().map(|()| false)
    }
}

fn unreliable(reason: Reason, frame: u32, state: &State) -> Verdict {
    Verdict::Unreliable {
        reason,
        frame,
        pc: state.pc,
    }
}

/// Makes the PC of a frame the address that execution goes on at.
fn settle<M: Machine>(machine: &mut M, state: &mut State) -> Result<(), Reason> {
    match state.kind {
        Kind::Interrupted { .. } => settle_interrupted(machine, state)?,
        Kind::ReturnsTo | Kind::SwitchedOut => settle_return(machine, state)?,
        Kind::Entered { .. } => {}
    }
    if state.pc == 0 {
        return Err(Reason::NullPc);
    }
    if state.pc % 4 != 0 {
        return Err(Reason::MisalignedPc);
    }
    Ok(())
}

/// At a kretprobe's trampoline the function has returned already, and execution
/// goes on in its caller, at exactly the recovered address. x30 says nothing
/// there.
fn settle_interrupted<M: Machine>(machine: &mut M, state: &mut State) -> Result<(), Reason> {
    let pc = machine.recover_interrupted(state.pc, state.fp)?;
    if pc != state.pc {
        state.pc = pc;
        state.kind = Kind::Interrupted { lr: None, x9: 0 };
    }
    Ok(())
}

/// A tracer that replaced the return address has kept the real one; it did so
/// before the function could sign the address.
#[inline(always)]
fn settle_return<M: Machine>(machine: &mut M, state: &mut State) -> Result<(), Reason> {
    state.pc = machine.strip_pac(state.pc);
    match machine.is_replaced(state.pc) {
        true => recover(machine, state),
        false => Ok(()),
    }
}

#[inline(never)]
fn recover<M: Machine>(machine: &mut M, state: &mut State) -> Result<(), Reason> {
    for _ in 0..RECOVERIES {
        let pc = machine.recover(state.pc, state.fp)?;
        if pc == state.pc {
            return Ok(());
        }
        state.pc = pc;
    }
    Err(Reason::RecoveryLoop)
}
