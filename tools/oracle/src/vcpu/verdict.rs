// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What the walk says, and what of it is reported.

use super::{Segment, Vcpu};
use crate::counts::{Outcome, Why};
use crate::inject::{Changes, Fault, Taken, Words};
use crate::judge::{entries, judge, records, truth, Judged};
use crate::machine::{strip_pac, Target};
use crate::recover::Kept;
#[cfg(not(feature = "before"))]
use crate::registers::Reg;
use crate::shared::shared;

use orc::machine::State;
use orc::reason::Reason;

/// The task that runs, as a walk sees it: a macro, because it borrows parts of the CPU.
macro_rules! target {
    ($cpu:ident, $stacks:expr) => {
        Target {
            book: &$cpu.book,
            space: &mut $cpu.space,
            reads: &mut $cpu.reads,
            stacks: &$cpu.stacks[..$stacks],
            task: $cpu.task,
            places: $cpu.places,
            changes: None,
            kept: Kept::default(),
        }
    };
}

impl Vcpu {
    pub(super) fn ask(&mut self, segment: &Segment) {
        let outcome = self.outcome(segment.pc);
        self.cell = self.counts.cell(outcome);
        self.counts.cell_mut(self.cell).walks += 1;
        self.row = segment.row;
        self.fresh = true;
    }

    fn outcome(&mut self, pc: u64) -> Outcome {
        if let Some(why) = self.not_judged(pc) {
            return Outcome::NotJudged(why);
        }
        if self.stacks[1].low == 0 {
            self.stacks[1] = self.irq_stack();
        }
        let state = self.interrupted(pc);
        let outcome = self.verdict(state);
        match outcome {
            Outcome::Refused(_, pc) if self.is_init_text(pc) => {
                return Outcome::NotJudged(Why::InitText)
            }
            Outcome::Refused(reason, pc) if !self.counts.knows(outcome) => {
                self.report_refused(state, reason, pc);
            }
            _ => {}
        }
        outcome
    }

    fn interrupted(&mut self, pc: u64) -> State {
        let state = State::interrupted(pc, self.sp, self.fp, self.lr);
        #[cfg(not(feature = "before"))]
        if shared().may_need_x9(pc) {
            return state.with_x9(self.registers.read(Reg::X(9)));
        }
        state
    }

    /// The first of a kind.
    fn report_refused(&mut self, state: State, reason: Reason, pc: u64) {
        let shared = shared();
        let entries = entries(&mut target!(self, 3), state);
        let truth = truth(state, &self.chain, self.places.kept.trampoline);
        shared.say(&format!(
            "REFUSED {} at {}\n  walk  {}\n  truth {}\n",
            reason.name(),
            shared.names(&[pc]),
            shared.names(&entries),
            shared.names(&truth)
        ));
    }

    pub(super) fn is_init_text(&self, pc: u64) -> bool {
        let (low, high) = self.places.init_text;
        (low..high).contains(&pc)
    }

    fn not_judged(&mut self, pc: u64) -> Option<Why> {
        if pc >> 55 & 1 == 0 || self.sp >> 55 & 1 == 0 {
            return Some(Why::NotMapped);
        }
        if self.switching {
            return Some(Why::Switching);
        }
        if self.task == 0 && !self.find_task() {
            return Some(Why::NoTask);
        }
        self.chain.is_lost().then_some(Why::TruthLost)
    }

    /// The verdict where the task runs.
    fn verdict(&mut self, state: State) -> Outcome {
        self.walks += 1;
        self.reads.start();
        let outcome = match self.remembered(state) {
            Some(outcome) if self.walks % 256 == 0 => self.compared(state, outcome),
            Some(outcome) => outcome,
            None => self.whole(state, 3),
        };
        if outcome == Outcome::Right && self.walks % 2048 == 0 {
            self.inject(state);
        }
        outcome
    }

    /// A verdict that ends where an earlier walk was, if that can be.
    fn remembered(&mut self, state: State) -> Option<Outcome> {
        if !Kept::is_empty(&mut self.space, &self.places.kept, self.task) {
            return None;
        }
        self.memos.truncate(self.chain.frames().len());
        let mut memos = std::mem::take(&mut self.memos);
        let judged = memos.judge(&mut target!(self, 3), state, &self.chain, |target| {
            target.reads.first_is_done()
        });
        self.memos = memos;
        match judged {
            Some(Judged::Right) => Some(Outcome::Right),
            Some(Judged::Refused(reason, pc)) => Some(Outcome::Refused(reason, pc)),
            Some(Judged::Wrong) | None => None,
        }
    }

    /// A sample, to see that what is remembered is what a walk says.
    fn compared(&mut self, state: State, outcome: Outcome) -> Outcome {
        let name = "remembered verdicts compared with whole walks";
        *self.counts.events.entry(name).or_default() += 1;
        let whole = self.whole(state, 3);
        if whole != outcome {
            *self.counts.ends.entry("differing").or_default() += 1;
            shared().say(&format!(
                "MEMO {state:x?} remembered {outcome:x?} whole {whole:x?}\n"
            ));
        }
        whole
    }

    /// The same walk with words of the stack changed, once for each kind of fault.
    fn inject(&mut self, state: State) {
        let trampoline = self.places.kept.trampoline;
        let (changes, stacks, text) = (Changes::default(), self.stacks, shared().image.text);
        let mut target = target!(self, 3);
        target.changes = Some(&changes);
        entries(&mut target, state);
        let words = Words::new(
            changes.take_read(),
            |value| stacks.iter().any(|stack| stack.contains(value, 8)),
            |value| (text.0..text.1).contains(&strip_pac(value)),
        );
        for fault in Fault::ALL {
            let Some(changes) = words.change(fault, &mut self.random, &shared().calls) else {
                continue;
            };
            let mut target = target!(self, 3);
            target.changes = Some(&changes);
            let taken = match judge(&mut target, state, &self.chain, trampoline) {
                Judged::Right => Taken::Harmless,
                Judged::Wrong => Taken::Wrong,
                Judged::Refused(..) => Taken::Refused,
            };
            *self.counts.faults.entry((fault, taken)).or_default() += 1;
        }
    }

    /// The verdict of a whole walk. A task that does not run has no stack but its own.
    pub(super) fn whole(&mut self, state: State, stacks: usize) -> Outcome {
        let trampoline = self.places.kept.trampoline;
        let mut target = target!(self, stacks);
        let judged = judge(&mut target, state, &self.chain, trampoline);
        if self.walks % 64 == 0 {
            target.kept = Kept::default();
            match records(&mut target, state, &self.chain, trampoline) {
                Some(true) => self.counts.records[0] += 1,
                Some(false) => self.counts.records[1] += 1,
                None => self.counts.records[2] += 1,
            }
        }
        match judged {
            Judged::Right => Outcome::Right,
            Judged::Refused(reason, pc) => Outcome::Refused(reason, pc),
            Judged::Wrong => {
                target.kept = Kept::default();
                let entries = entries(&mut target, state);
                if !self.counts.knows(Outcome::Wrong(state.pc)) {
                    self.report_wrong(state, &entries);
                }
                Outcome::Wrong(state.pc)
            }
        }
    }

    fn report_wrong(&mut self, state: State, entries: &[u64]) {
        let shared = shared();
        if !shared.may_report() {
            return;
        }
        let mut lines = format!(
            "WRONG cpu {} task {:#x} {state:x?}\n  row {:?}\n",
            self.number,
            self.task,
            self.book.row(self.book.find(state.pc))
        );
        lines += &format!("  walk  {}\n", shared.names(entries));
        lines += &format!(
            "  truth {}\n",
            shared.names(&truth(state, &self.chain, self.places.kept.trampoline))
        );
        for frame in self.chain.frames().iter().rev().take(6) {
            lines += &format!("  frame {frame:x?}\n");
        }
        for word in 0..24 {
            let address = state.sp + 8 * word;
            let value = self.space.read(address).unwrap_or(0);
            lines += &format!(
                "  {address:#x}: {value:#018x} {}\n",
                shared.name_of_text(value)
            );
        }
        shared.say(&lines);
    }
}
