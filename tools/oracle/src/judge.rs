// SPDX-License-Identifier: GPL-2.0 OR MIT

//! One verdict of the walk, beside the truth.

use crate::truth::{Chain, Frame, Kind};

use orc::machine::{Kind as StateKind, Machine, State};
use orc::reason::{Reason, Verdict};
use orc::walk::walk;

/// What the walk said, and whether it was right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judged {
    /// Reliable, and all entries are the truth's.
    Right,
    /// Reliable, and they are not.
    Wrong,
    /// Unreliable, at this PC.
    Refused(Reason, u64),
}

/// Walks from `state` and compares with `chain`.
///
/// `trampoline` is that of the kretprobes: a function that was interrupted there has
/// returned, so it is no entry.
pub fn judge<M: Machine>(machine: &mut M, state: State, chain: &Chain, trampoline: u64) -> Judged {
    let mut truth = Truth::new(state, chain, trampoline);
    let mut right = true;
    let verdict = walk(machine, state, |pc| {
        right &= truth.next_is(pc);
        true
    });
    match verdict {
        Verdict::Reliable { .. } if right && truth.at_end() => Judged::Right,
        Verdict::Reliable { .. } => Judged::Wrong,
        Verdict::Unreliable { reason, pc, .. } => Judged::Refused(reason, pc),
    }
}

/// All entries of a walk.
pub fn entries<M: Machine>(machine: &mut M, state: State) -> Vec<u64> {
    let mut entries = Vec::new();
    walk(machine, state, |pc| {
        entries.push(pc);
        entries.len() < 1000
    });
    entries
}

/// The truth, innermost first.
struct Truth<'a> {
    /// What comes before the frames.
    first: Option<u64>,
    frames: &'a [Frame],
    trampoline: u64,
}

impl<'a> Truth<'a> {
    fn new(state: State, chain: &'a Chain, trampoline: u64) -> Self {
        let first = match state.kind {
            StateKind::Interrupted { .. } => Some(state.pc),
            // The call of cpu_switch_to() is a frame of its own.
            _ => None,
        };
        Self {
            first: first.filter(|pc| *pc != trampoline),
            frames: chain.frames(),
            trampoline,
        }
    }

    fn next_is(&mut self, pc: u64) -> bool {
        self.next() == Some(pc)
    }

    fn at_end(mut self) -> bool {
        self.next().is_none()
    }
}

impl Iterator for Truth<'_> {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        loop {
            let (frame, outer) = self.frames.split_last()?;
            self.frames = outer;
            let pc = frame.diverted.unwrap_or(frame.pc);
            // It has returned already, or will not be executed.
            let returned = outer.last().is_some_and(|outer| {
                outer.kind == Kind::Call && outer.sp == frame.sp && outer.pc == pc && pc != frame.pc
            });
            if returned || frame.kind == Kind::Exception && frame.pc == self.trampoline {
                continue;
            }
            // A call that a probe has made in place of the instruction.
            if frame.kind == Kind::Exception && pc != frame.pc && frame.linked == Some(frame.pc + 4)
            {
                self.first = Some(frame.pc + 4);
            }
            return Some(pc);
        }
    }
}

/// The truth as a list, for people.
pub fn truth(state: State, chain: &Chain, trampoline: u64) -> Vec<u64> {
    Truth::new(state, chain, trampoline).collect()
}

/// What frame records alone say from x29, beside the truth: `None` when they end
/// nowhere.
pub fn records<M: Machine>(
    machine: &mut M,
    state: State,
    chain: &Chain,
    trampoline: u64,
) -> Option<bool> {
    let mut truth = Truth::new(state, chain, trampoline);
    let mut right = truth.next_is(state.pc);
    let mut fp = state.fp;
    for _ in 0..200 {
        let (next, lr) = (read(machine, fp)?, read(machine, fp.checked_add(8)?)?);
        if next == 0 && lr == 0 {
            match read(machine, fp.checked_add(16)?)? {
                1 => return Some(right && truth.at_end()),
                2 => {
                    let regs = fp.checked_sub(M::REGS.stackframe)?;
                    let pc = read(machine, regs.checked_add(M::REGS.pc)?)?;
                    right &= truth.next_is(pc);
                    fp = read(machine, regs.checked_add(M::REGS.fp)?)?;
                    continue;
                }
                _ => return None,
            }
        }
        let mut pc = machine.strip_pac(lr);
        for _ in 0..4 {
            pc = machine.recover(pc, next).ok()?;
        }
        right &= truth.next_is(pc);
        fp = next;
    }
    None
}

fn read<M: Machine>(machine: &mut M, address: u64) -> Option<u64> {
    #[cfg(feature = "before")]
    let mut stacks = machine.stacks().iter().copied();
    #[cfg(not(feature = "before"))]
    let mut stacks = (0..).map_while(|number| machine.stack(number));
    let on_stack = stacks.any(|stack| stack.contains(address, 8));
    match on_stack && address % 8 == 0 {
        true => machine.read(address),
        false => None,
    }
}
