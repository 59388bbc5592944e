// SPDX-License-Identifier: GPL-2.0 OR MIT

//! One CPU of the guest: what happens on it, and what is asked there.

use crate::book::Book;
use crate::counts::{Counts, Outcome, Why};
use crate::decode::{ALL, DAIF, FP, LR, SP};
use crate::inject::{Changes, Fault, Random, Taken, Words};
use crate::judge::{entries, judge, records, truth, Judged};
use crate::machine::{strip_pac, Places, Target};
use crate::memo::Memos;
use crate::memory::Space;
use crate::plugin::linked;
use crate::reads::Reads;
use crate::recover::Kept;
use crate::registers::{Reg, Registers};
use crate::shared::{shared, Shared};
use crate::truth::{Abnormal, Chain, Frame, Kind, Returned};

use orc::machine::{RegsLayout, StackRange, State};
use orc::reason::Reason;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

/// In a mask of changes: memory that no callback told of.
pub const MEMORY: u8 = 0x40;

/// Ends of frames that were not as traces had said: a failure.
const ELSEWHERE: &str = "elsewhere";

/// Neighbouring instructions with one row, between which nothing changes.
pub struct Segment {
    /// The first.
    pub pc: u64,
    /// How many.
    pub count: u32,
    /// What the instructions before have changed.
    pub changed: u8,
    /// The number of their row.
    pub row: u16,
    /// Whether they were judged.
    pub seen: AtomicBool,
}

/// One CPU.
pub struct Vcpu {
    number: u32,
    registers: Registers,
    space: Space,
    book: Arc<Book>,
    places: Places,
    /// What the registers that the walk starts from were, last.
    sp: u64,
    fp: u64,
    lr: u64,
    irqs: bool,
    /// What is to be read again.
    changed: u8,
    /// In user space; the vectors are next.
    pub user: bool,
    task: u64,
    next_task: u64,
    switching: bool,
    preempt_count: *const u32,
    stacks: [StackRange; 3],
    chain: Chain,
    /// Where it is kept at what frames go on, by number of the frame.
    kept: Vec<(u64, usize)>,
    reads: Reads,
    memos: Memos,
    /// Whether `cell` still holds, for the row `row`.
    fresh: bool,
    row: u16,
    cell: usize,
    /// The last that was counted.
    counted: (u64, u32, usize),
    walks: u64,
    random: Random,
    reliable: u64,
    /// The counts.
    pub counts: Counts,
}

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
    /// A CPU that has not run.
    pub fn new(number: u32, registers: Registers, shared: &Shared) -> Self {
        let mut counts = Counts::default();
        let cell = counts.cell(Outcome::NotJudged(Why::NotMapped));
        counts.cell(Outcome::Right);
        Self {
            number,
            registers,
            space: Space::new(shared.ram),
            book: shared.book(),
            places: shared.places,
            sp: 0,
            fp: 0,
            lr: 0,
            irqs: false,
            changed: ALL,
            user: false,
            task: 0,
            next_task: 0,
            switching: false,
            preempt_count: std::ptr::null(),
            stacks: [StackRange { low: 0, high: 0 }; 3],
            chain: Chain::default(),
            kept: Vec::new(),
            reads: Reads::new(),
            memos: Memos::default(),
            fresh: false,
            row: 0,
            cell,
            counted: (0, 0, cell),
            walks: 0,
            random: Random::new(shared.seed.wrapping_mul(0x9e37_79b9) + u64::from(number)),
            reliable: 0,
            counts,
        }
    }

    /// The first instruction of a segment is next.
    #[inline]
    pub fn head(&mut self, segment: &Segment) {
        let changed = self.changed | segment.changed;
        if changed != 0 {
            self.read_registers(changed);
        }
        if self.user {
            self.enter_from_user();
        }
        if !self.fresh || segment.row != self.row {
            self.ask(segment);
        }
        let preemptible = self.is_preemptible();
        let count = u64::from(segment.count);
        self.counts.cell_mut(self.cell).points[usize::from(preemptible)] += count;
        self.counted = (segment.pc, segment.count, self.cell);
        if self.cell == self.right_cell() {
            self.reliable += count;
            if !segment.seen.load(Ordering::Relaxed) {
                segment.seen.store(true, Ordering::Relaxed);
            }
        }
    }

    fn right_cell(&self) -> usize {
        1
    }

    fn is_preemptible(&self) -> bool {
        // SAFETY: a word of the guest's memory, which stays mapped.
        self.irqs
            && !self.preempt_count.is_null()
            && unsafe { self.preempt_count.read_volatile() } == 0
    }

    fn read_registers(&mut self, changed: u8) {
        if changed & SP != 0 {
            self.sp = self.registers.read(Reg::Sp);
        }
        if changed & FP != 0 {
            self.fp = self.registers.read(Reg::X29);
        }
        if changed & LR != 0 {
            self.lr = self.registers.read(Reg::X30);
        }
        if changed & DAIF != 0 {
            self.irqs = self.registers.read(Reg::Cpsr) & 0x80 == 0;
        }
        self.changed = 0;
        if changed & MEMORY != 0 {
            self.forget();
        }
        if changed != DAIF {
            self.fresh = false;
        }
    }

    /// Something that the last instruction of a block changes.
    pub fn will_change(&mut self, changed: u8) {
        self.changed |= changed;
    }

    fn enter_from_user(&mut self) {
        self.user = false;
        self.chain.clear();
        self.forget();
        self.read_registers(ALL);
    }

    /// A store: if a walk has read what it writes, it is to be made again.
    #[inline]
    pub fn stored(&mut self, address: u64, bytes: u64) {
        if self.stacks.iter().any(|stack| stack.contains(address, 1)) {
            self.stored_on_stack(address);
            if bytes > 8 {
                self.stored_on_stack(address + 8);
            }
        }
    }

    fn stored_on_stack(&mut self, address: u64) {
        if self.reads.first_has(address) {
            self.fresh = false;
        }
        // Callers are above the frame of this function.
        let own = self.chain.top().map_or(0, |frame| frame.sp);
        if (self.sp..own).contains(&address) && own - self.sp < self.places.thread_bytes {
            return;
        }
        if self.reads.others_have(address) {
            self.forget();
        }
    }

    /// Forgets what walks have said of callers.
    fn forget(&mut self) {
        self.memos.clear();
        self.reads.forget_others();
        self.fresh = false;
    }

    /// Whether a store may tell where a frame goes on.
    #[inline]
    pub fn is_kept(&self, address: u64) -> bool {
        self.kept
            .iter()
            .any(|(at, _)| at.wrapping_sub(address).wrapping_add(16) <= 32)
    }

    /// A store to such a place.
    pub fn divert(&mut self, address: u64, value: u64) {
        let places = &self.kept;
        for (at, number) in places {
            let Some(frame) = self.chain.frames_mut().get_mut(*number) else {
                continue;
            };
            if frame.at != *at {
                continue;
            }
            if address == *at {
                frame.diverted = Some(value);
                self.fresh = false;
            } else if address + 16 == *at && frame.kind == Kind::Exception {
                frame.linked = Some(value);
                self.fresh = false;
            }
        }
    }

    /// The innermost frame goes on at what is kept at this address.
    fn keep(&mut self, at: u64) {
        let number = self.chain.frames().len().wrapping_sub(1);
        if let Some(frame) = self.chain.frames_mut().last_mut() {
            frame.at = at;
        }
        self.kept.retain(|(_, other)| *other < number);
        self.kept.push((at, number));
    }

    /// Another call stack is this CPU's.
    fn keep_again(&mut self) {
        self.kept.clear();
        for (number, frame) in self.chain.frames().iter().enumerate() {
            if frame.at != 0 {
                self.kept.push((frame.at, number));
            }
        }
    }

    /// `ftrace_caller` is entered: what it calls may send the task elsewhere.
    pub fn ftrace_caller(&mut self) {
        let (size, pc) = shared().offsets.ftrace_regs;
        self.keep(self.sp.wrapping_sub(size + 32).wrapping_add(pc));
    }

    fn ask(&mut self, segment: &Segment) {
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
        let state = State::interrupted(pc, self.sp, self.fp, self.lr);
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

    fn is_init_text(&self, pc: u64) -> bool {
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

    /// The task that a CPU starts with.
    fn find_task(&mut self) -> bool {
        let task = self.registers.read(Reg::SpEl0);
        if task >> 48 != 0xffff {
            return false;
        }
        self.chain.forget_early();
        self.set_task(task)
    }

    fn set_task(&mut self, task: u64) -> bool {
        self.space.set_root(
            self.registers.read(Reg::Ttbr1),
            self.registers.read(Reg::Tcr),
        );
        self.book = shared().book();
        let offsets = &shared().offsets;
        let Some(stack) = self.space.read(task + offsets.stack) else {
            return false;
        };
        let count = self.space.place((task + offsets.preempt) & !7);
        self.preempt_count = count.map_or(std::ptr::null(), |place| place.cast::<u32>());
        self.task = task;
        self.stacks[0] = StackRange {
            low: stack,
            high: stack + self.places.thread_bytes,
        };
        self.stacks[1] = self.irq_stack();
        true
    }

    fn irq_stack(&mut self) -> StackRange {
        let offsets = &shared().offsets;
        let per_cpu = self
            .space
            .read(offsets.per_cpu_offset + 8 * u64::from(self.number));
        let pointer =
            per_cpu.and_then(|offset| self.space.read(offset.wrapping_add(offsets.irq_stack_ptr)));
        match pointer {
            Some(low) if low != 0 => StackRange {
                low,
                high: low + self.places.thread_bytes,
            },
            _ => StackRange { low: 0, high: 0 },
        }
    }

    /// The verdict where the task runs.
    fn verdict(&mut self, state: State) -> Outcome {
        self.walks += 1;
        self.reads.start();
        if !Kept::is_empty(&mut self.space, &self.places.kept, self.task) {
            return self.whole(state, 3);
        }
        self.memos.truncate(self.chain.frames().len());
        let mut memos = std::mem::take(&mut self.memos);
        let judged = memos.judge(&mut target!(self, 3), state, &self.chain, |target| {
            target.reads.first_is_done()
        });
        self.memos = memos;
        let outcome = match judged {
            Some(Judged::Right) => Outcome::Right,
            Some(Judged::Refused(reason, pc)) => Outcome::Refused(reason, pc),
            Some(Judged::Wrong) | None => return self.whole(state, 3),
        };
        // A sample, to see that what is remembered is what a walk says.
        if self.walks % 256 == 0 {
            *self
                .counts
                .events
                .entry("remembered verdicts compared with whole walks")
                .or_default() += 1;
            let whole = self.whole(state, 3);
            if whole != outcome {
                *self.counts.ends.entry("differing").or_default() += 1;
                shared().say(&format!(
                    "MEMO {state:x?} remembered {outcome:x?} whole {whole:x?}\n"
                ));
            }
            if whole == Outcome::Right && self.walks % 2048 == 0 {
                self.inject(state);
            }
            return whole;
        }
        outcome
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
    fn whole(&mut self, state: State, stacks: usize) -> Outcome {
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

    /// A call at `pc` is next.
    pub fn call(&mut self, pc: u64) {
        self.chain.call(pc + 4, self.sp, self.fp, self.reliable);
        self.lr = pc + 4;
        self.fresh = false;
    }

    /// A return by a register is next.
    pub fn ret(&mut self, register: u8, pc: u64) {
        let target = match register {
            30 => self.lr,
            _ => self.registers.read(Reg::X(register)),
        };
        let target = linked(strip_pac(target));
        self.fresh = false;
        if self.switching && shared().switch.contains(pc) {
            return self.switched(target);
        }
        match self.chain.ret(target, self.sp, register == 30) {
            Returned::Frame | Returned::Jump => self.memos.truncate(self.chain.frames().len()),
            Returned::Skipped(abnormal) => self.skipped(&abnormal),
            Returned::Diverted(abnormal) => self.diverted(&abnormal),
        }
    }

    /// A function that ftrace held up goes on elsewhere.
    fn diverted(&mut self, abnormal: &Abnormal) {
        self.memos.truncate(self.chain.frames().len());
        let name = "functions that went on elsewhere, as their traces said";
        *self.counts.events.entry(name).or_default() += 1;
        self.check_end(&abnormal.frame, abnormal.target);
    }

    /// A frame has ended: it must go on where traces have said.
    fn check_end(&mut self, frame: &Frame, target: u64) {
        if target == frame.diverted.unwrap_or(frame.pc) {
            return;
        }
        *self.counts.ends.entry(ELSEWHERE).or_default() += 1;
        let judged = self.reliable - frame.judged;
        if shared().may_report() {
            shared().say(&format!(
                "ELSEWHERE {} went to {} after {judged} reliable points\n",
                shared().names(&[frame.diverted.unwrap_or(frame.pc)]),
                shared().names(&[target])
            ));
        }
    }

    fn skipped(&mut self, abnormal: &Abnormal) {
        self.memos.truncate(self.chain.frames().len());
        let name = "functions that a trampoline returned for";
        *self.counts.events.entry(name).or_default() += 1;
        if shared().may_explain() {
            shared().say(&format!(
                "SKIPPED {} for {}\n",
                shared().names(&[abnormal.frame.pc]),
                shared().names(&[abnormal.target])
            ));
        }
    }

    /// An instruction of the vectors is next: an exception was taken.
    pub fn exception(&mut self, slot: u64) {
        let elr = self.registers.read(Reg::Elr);
        self.correct(elr);
        self.read_registers(ALL);
        self.irqs = false;
        self.fresh = false;
        if self.user || slot >= 0x400 {
            self.user = false;
            self.chain.clear();
            self.forget();
            return;
        }
        self.chain
            .exception(elr, self.sp, self.fp, self.lr, self.reliable);
        let regs = RegsLayout::LINUX_7_3;
        self.keep(self.sp.wrapping_sub(regs.size).wrapping_add(regs.pc));
        *self
            .counts
            .events
            .entry("exceptions in the kernel")
            .or_default() += 1;
    }

    /// An exception came amid a segment, which was counted as a whole.
    fn correct(&mut self, elr: u64) {
        let (pc, count, cell) = self.counted;
        let Some(done) = elr.checked_sub(pc).map(|bytes| bytes / 4 + 1) else {
            return;
        };
        if let Some(surplus) = u64::from(count).checked_sub(done) {
            let points = &mut self.counts.cell_mut(cell).points;
            let at = usize::from(points[1] >= surplus);
            points[at] = points[at].saturating_sub(surplus);
            self.counted.1 = 0;
        }
    }

    /// An `eret` is next.
    pub fn exception_return(&mut self) {
        let target = self.registers.read(Reg::Elr);
        let mode = self.registers.read(Reg::Spsr) & 0xf;
        self.fresh = false;
        self.changed = ALL;
        if mode == 0 {
            self.user = true;
            return;
        }
        let Some((frame, unfinished)) = self.chain.eret() else {
            // Where the kernel is entered it drops to EL1 by one.
            return;
        };
        self.memos.truncate(self.chain.frames().len());
        if unfinished != 0 {
            *self
                .counts
                .ends
                .entry("eret with calls unfinished")
                .or_default() += 1;
        }
        self.check_end(&frame, target);
        if target != frame.pc {
            self.resumed_elsewhere(&frame, target);
        }
    }

    /// An exception returns to another instruction than it came from: a probe has
    /// executed that instruction, or it was mended.
    fn resumed_elsewhere(&mut self, frame: &Frame, target: u64) {
        let shared = shared();
        let is_other = |pc| shared.image.name(pc).0.is_empty();
        let returns = self
            .chain
            .top()
            .is_some_and(|top| top.kind == Kind::Call && top.pc == target && top.sp == frame.sp);
        let name = if returns {
            self.chain.ret(target, frame.sp, true);
            "exceptions after which a function had returned"
        } else if frame.linked == Some(frame.pc + 4) && frame.lr != frame.pc + 4 {
            self.chain
                .call(frame.pc + 4, frame.sp, frame.fp, self.reliable);
            "exceptions after which a function was called"
        } else if shared.same_function(frame.pc, target) {
            "exceptions after which a function went on elsewhere in itself"
        } else if is_other(frame.pc) || is_other(target) {
            "exceptions after which a slot was executed, or left"
        } else {
            "exceptions after which another function went on"
        };
        *self.counts.events.entry(name).or_default() += 1;
        if shared.may_explain() {
            shared.say(&format!(
                "RESUMED {} at {}: {name}\n",
                shared.names(&[frame.pc]),
                shared.names(&[target])
            ));
        }
    }

    /// The value of a register.
    pub fn register(&mut self, register: Reg) -> u64 {
        self.registers.read(register)
    }

    /// `unwind_orc_module_finalize()` is entered.
    pub fn module_loaded(&mut self) {
        let [header, sections, module] =
            [0, 1, 2].map(|number| self.registers.read(Reg::X(number)));
        if shared()
            .module_loaded(&mut self.space, header, sections, module)
            .is_none()
        {
            *self
                .counts
                .ends
                .entry("modules that could not be read")
                .or_default() += 1;
        }
        self.book = shared().book();
        *self.counts.events.entry("modules loaded").or_default() += 1;
    }

    /// BPF code has been made, or goes.
    pub fn bpf(&mut self, is_new: bool) {
        let ksym = self.registers.read(Reg::X(0));
        self.space.forget();
        let done = match is_new {
            true => shared().bpf_added(&mut self.space, ksym),
            false => shared().bpf_gone(&mut self.space, ksym),
        };
        let name = match done {
            Some(()) => "BPF symbols that came or went",
            None => "BPF symbols that could not be read",
        };
        *self.counts.events.entry(name).or_default() += 1;
        self.book = shared().book();
    }

    /// `cpu_switch_to()` is entered.
    pub fn switch(&mut self) {
        if self.changed != 0 {
            self.read_registers(self.changed);
        }
        let previous = self.registers.read(Reg::X(0));
        let next = self.registers.read(Reg::X(1));
        if self.task == 0 {
            self.set_task(previous);
        }
        if self.task == previous {
            let state = State::switched_out(strip_pac(self.lr), self.sp, self.fp);
            let outcome = self.whole(state, 1);
            *self.counts.switched_out.entry(outcome).or_default() += 1;
        } else {
            *self
                .counts
                .ends
                .entry("switches from another task than was known")
                .or_default() += 1;
        }
        let old = std::mem::take(&mut self.chain);
        self.chain = shared().exchange(previous, old, next);
        self.keep_again();
        self.forget();
        self.next_task = next;
        self.switching = true;
        self.fresh = false;
        *self.counts.events.entry("context switches").or_default() += 1;
    }

    /// `cpu_switch_to()` returns, on the other stack.
    fn switched(&mut self, target: u64) {
        self.switching = false;
        self.set_task(self.next_task);
        if target == shared().ret_from_fork {
            self.chain.clear();
        } else if self.chain.ret(target, self.sp, true) == Returned::Jump {
            *self
                .counts
                .ends
                .entry("switches to an unknown place")
                .or_default() += 1;
        }
    }
}
