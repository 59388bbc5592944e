// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What is executed: calls, returns, exceptions.

use super::Vcpu;
use crate::decode::ALL;
use crate::machine::strip_pac;
use crate::plugin::linked;
use crate::registers::Reg;
use crate::shared::shared;
use crate::truth::{Abnormal, Frame, Kind, Returned};

use orc::machine::RegsLayout;

/// Ends of frames that were not as traces had said: a failure.
const ELSEWHERE: &str = "elsewhere";

impl Vcpu {
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
}
