// SPDX-License-Identifier: GPL-2.0 OR MIT

//! One CPU of the guest: what happens on it, and what is asked there.

mod events;
mod stores;
mod tasks;
mod verdict;

use crate::book::Book;
use crate::counts::{Counts, Outcome, Why};
use crate::decode::{ALL, DAIF, FP, LR, SP};
use crate::inject::Random;
use crate::machine::Places;
use crate::memo::Memos;
use crate::memory::Space;
use crate::reads::Reads;
use crate::registers::{Reg, Registers};
use crate::shared::Shared;
use crate::truth::Chain;

use orc::machine::StackRange;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

/// In a mask of changes: memory that no callback told of.
pub const MEMORY: u8 = 0x40;

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
}
