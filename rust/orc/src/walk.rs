// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The walk over a task's stack.
//!
//! It gives each function on the stack to the caller, innermost first, as
//! `arch_stack_walk_reliable()` does, and says at the end whether they are all.

use crate::machine::{Kind, Machine, State};
use crate::reason::{Reason, Verdict};
use crate::stacks::Stacks;
use crate::step::{step, Next};

/// A function graph return may hide a kretprobe's, or the other way round.
const RECOVERIES: u32 = 4;

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
    let mut state = start;
    let mut stacks = match Stacks::starting_at(machine, start.sp) {
        Ok(stacks) => stacks,
        Err(reason) => return unreliable(reason, frame, &state),
    };
    loop {
        if let Err(reason) = settle(machine, &mut state) {
            return unreliable(reason, frame, &state);
        }
        if !emit(state.pc) {
            return unreliable(Reason::BufferFull, frame, &state);
        }
        state = match step(machine, &mut stacks, &state) {
            Ok(Next::Frame(caller)) => caller,
            Ok(Next::End) => {
                return match machine.finish() {
                    Ok(()) => Verdict::Reliable {
                        frames: frame.saturating_add(1),
                    },
                    Err(reason) => unreliable(reason, frame, &state),
                }
            }
            Err(reason) => return unreliable(reason, frame, &state),
        };
        frame = frame.saturating_add(1);
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
        state.kind = Kind::Interrupted { lr: None };
    }
    Ok(())
}

/// A tracer that replaced the return address has kept the real one; it did so
/// before the function could sign the address.
fn settle_return<M: Machine>(machine: &mut M, state: &mut State) -> Result<(), Reason> {
    state.pc = machine.strip_pac(state.pc);
    for _ in 0..RECOVERIES {
        let pc = machine.recover(state.pc, state.fp)?;
        if pc == state.pc {
            return Ok(());
        }
        state.pc = pc;
    }
    Err(Reason::RecoveryLoop)
}
