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

#[cfg(all(test, not(feature = "before")))]
mod tests {
    use super::*;
    use orc::machine::{FtraceRegs, RegsLayout, StackRange};
    use orc::reason::Reason;
    use orc::rule::{Cfa, CfaBase, Frame as Row, Location, RawRule, X29};

    /// A stack at 0x1000 of functions that have 32 bytes each and their record at the
    /// end of them; entry code is at 0x9000, and all calls are from 0x8000 on.
    struct Task {
        words: Vec<u64>,
        read: usize,
    }

    const BASE: u64 = 0x1000;
    const STACK: [StackRange; 1] = [StackRange {
        low: BASE,
        high: BASE + 0x400,
    }];
    const TOP: u64 = BASE + 0x400 - RegsLayout::LINUX_7_3.size;

    impl Task {
        fn put(&mut self, address: u64, value: u64) {
            self.words[((address - BASE) / 8) as usize] = value;
        }
    }

    impl Machine for Task {
        const REGS: RegsLayout = RegsLayout::LINUX_7_3;
        const FTRACE_REGS: FtraceRegs = FtraceRegs::LINUX_7_3;

        fn rule(&mut self, pc: u64) -> Result<RawRule, Reason> {
            if pc >= 0x9000 {
                return Err(Reason::EntryText);
            }
            let row = Row {
                cfa: Cfa {
                    base: CfaBase::Sp,
                    offset: 32,
                },
                return_address: Location::Slot(8),
                caller_fp: Location::Slot(16),
                x29: X29::Record(16),
                ..Row::ENTRY
            };
            row.pack().ok_or(Reason::NoRow)
        }

        fn instruction(&mut self, _pc: u64) -> Option<u32> {
            Some(0x9400_0002)
        }

        fn read(&mut self, address: u64) -> Option<u64> {
            self.read += 1;
            self.words.get(((address - BASE) / 8) as usize).copied()
        }

        fn stack(&self, number: usize) -> Option<StackRange> {
            STACK.get(number).copied()
        }

        fn task_regs(&self) -> u64 {
            TOP
        }

        fn strip_pac(&self, address: u64) -> u64 {
            address
        }

        fn recover(&mut self, pc: u64, _fp: u64) -> Result<u64, Reason> {
            Ok(pc)
        }

        fn recover_interrupted(&mut self, pc: u64, _fp: u64) -> Result<u64, Reason> {
            Ok(pc)
        }

        fn pass_entered(&mut self, _lr: u64, _fp: u64) {}

        fn witness(&mut self, _raw: u64, _cfa: u64, _signed: Option<bool>) -> Result<(), Reason> {
            Ok(())
        }

        fn finish(&mut self) -> Result<(), Reason> {
            Ok(())
        }
    }

    /// Entry code has called one function, that another, and that one a third.
    fn three_deep() -> (Task, State, Chain) {
        let mut task = Task {
            words: vec![0; 0x80],
            read: 0,
        };
        let mut chain = Chain::default();
        let (mut sp, mut fp) = (TOP, TOP + RegsLayout::LINUX_7_3.stackframe);
        task.put(fp + 16, 1);
        for pc in [0x9004, 0x8104, 0x8204] {
            chain.call(pc, sp, fp, 0);
            task.put(sp - 16, fp);
            task.put(sp - 8, pc);
            fp = sp - 16;
            sp -= 32;
        }
        (task, State::interrupted(0x8300, sp, fp, 0), chain)
    }

    #[test]
    fn second_walk_ends_at_the_caller() {
        let (mut task, state, chain) = three_deep();
        let mut memos = Memos::default();
        let judged = memos.judge(&mut task, state, &chain, |_| {});
        assert_eq!(judged, Some(Judged::Right));
        let whole = std::mem::take(&mut task.read);
        let judged = memos.judge(&mut task, state, &chain, |_| {});
        assert_eq!(judged, Some(Judged::Right));
        assert!(task.read < whole / 2, "{} of {whole}", task.read);
    }

    #[test]
    fn another_state_is_no_memory() {
        let (mut task, state, chain) = three_deep();
        let mut memos = Memos::default();
        memos.judge(&mut task, state, &chain, |_| {});
        // The innermost frame's record now says that its caller had another x29.
        task.put(state.sp + 16, state.fp);
        let judged = memos.judge(&mut task, state, &chain, |_| {});
        assert!(matches!(judged, Some(Judged::Refused(..))), "{judged:?}");
    }

    #[test]
    fn forgets_when_told() {
        let (mut task, state, chain) = three_deep();
        let mut memos = Memos::default();
        memos.judge(&mut task, state, &chain, |_| {});
        // A word of the outermost function.
        task.put(TOP - 16, 0);
        assert_eq!(
            memos.judge(&mut task, state, &chain, |_| {}),
            Some(Judged::Right)
        );
        memos.clear();
        let judged = memos.judge(&mut task, state, &chain, |_| {});
        assert!(matches!(judged, Some(Judged::Refused(..))), "{judged:?}");
    }
}
