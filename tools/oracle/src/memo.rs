// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Walks that end where an earlier one was.
//!
//! A walk is a loop of steps, and a step depends on the state that it starts from and
//! on the words that it reads. So once a walk comes to the state of a caller that an
//! earlier walk came to, and no word that the earlier one read from there on was
//! written, both end alike. What an earlier walk said is remembered for each frame of
//! the call stack, until such a word is written. Some walks are made whole all the
//! same, and compared.

use crate::judge::Judged;
use crate::truth::{Chain, Frame};

use orc::machine::{Machine, State};
use orc::walk::Steps;

/// What is remembered of a frame: the walk as it came there, and how it ended.
#[derive(Clone, Copy)]
struct Memo {
    steps: Steps,
    judged: Judged,
}

/// What is remembered of all frames of a call stack.
#[derive(Default)]
pub struct Memos {
    memos: Vec<Option<Memo>>,
    came: Vec<(usize, Steps)>,
}

/// How a frame's part of a walk ends.
enum End {
    Judged(Judged),
    Unlike,
}

impl Memos {
    /// Forgets all.
    pub fn clear(&mut self) {
        self.memos.clear();
    }

    /// Forgets frames that have ended: only this many are left.
    pub fn truncate(&mut self, frames: usize) {
        self.memos.truncate(frames);
    }

    /// A verdict from `state`, if all goes as the truth says; `None` when the walk
    /// and the truth are not frame by frame the same, which somebody else must judge.
    ///
    /// No tracer may hold an address of the task: what the walk has used of them
    /// would belong to its state.
    pub fn judge<M: Machine>(
        &mut self,
        machine: &mut M,
        state: State,
        chain: &Chain,
        first_is_done: impl Fn(&mut M),
    ) -> Option<Judged> {
        self.came.clear();
        let mut steps = match Steps::start(machine, state) {
            Ok(steps) => steps,
            Err(reason) => return Some(Judged::Refused(reason, state.pc)),
        };
        if let Err(reason) = steps.settle(machine) {
            return Some(Judged::Refused(reason, steps.state().pc));
        }
        if steps.state().pc != state.pc {
            return None;
        }
        let end = self.follow(machine, &mut steps, chain, first_is_done);
        let End::Judged(judged) = end else {
            return None;
        };
        self.memos.resize(chain.frames().len(), None);
        for (number, steps) in self.came.drain(..) {
            if let Some(memo) = self.memos.get_mut(number) {
                *memo = Some(Memo { steps, judged });
            }
        }
        Some(judged)
    }

    fn follow<M: Machine>(
        &mut self,
        machine: &mut M,
        steps: &mut Steps,
        chain: &Chain,
        first_is_done: impl Fn(&mut M),
    ) -> End {
        let mut frames = chain.frames();
        let mut first = true;
        loop {
            let pc = steps.state().pc;
            let went = steps.next(machine);
            if first {
                first_is_done(machine);
                first = false;
            }
            match went {
                Ok(true) => {}
                Ok(false) if frames.is_empty() => return End::Judged(Judged::Right),
                Ok(false) => return End::Unlike,
                Err(reason) => return End::Judged(Judged::Refused(reason, pc)),
            }
            let Some((frame, outer)) = frames.split_last() else {
                return End::Unlike;
            };
            if let Some(Some(memo)) = self.memos.get(outer.len()) {
                if memo.steps == *steps {
                    return End::Judged(memo.judged);
                }
            }
            let came = *steps;
            if let Err(reason) = steps.settle(machine) {
                return End::Judged(Judged::Refused(reason, steps.state().pc));
            }
            if !is_plain(frame, steps.state()) {
                return End::Unlike;
            }
            self.came.push((outer.len(), came));
            frames = outer;
        }
    }
}

/// Whether the frame goes on where it was left, and that is what the walk says.
fn is_plain(frame: &Frame, state: State) -> bool {
    let changed = frame.diverted.is_some_and(|pc| pc != frame.pc);
    !changed && frame.pc == state.pc
}
