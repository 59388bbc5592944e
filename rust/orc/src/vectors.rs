// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Synthetic stacks with the verdict that each must get.
//!
//! One set for Cargo's tests and for KUnit: plain data, and a machine that serves
//! it to the walk without allocating. Each vector is named by its outcome.
//! The text that they run in is in [`text`]; the stacks are those of a kernel
//! thread or a system call, drawn by hand from the kernel's sources, so that they
//! share no code with what they test.

// All sums here are of constants: an overflow fails the build.
#![allow(clippy::arithmetic_side_effects)]

mod bpf_trampoline;
mod follow;
mod refuse;
mod refuse_more;
mod refuse_tracing;
pub mod text;
mod trampolines;
mod witness;

use crate::machine::{FtraceRegs, Machine, RegsLayout, StackRange, State};
use crate::reason::{Reason, Verdict};
use crate::rule::RawRule;
use crate::shadow::Cursor;
use crate::walk::walk;

/// No vector has more entries than this.
pub const MAX_FRAMES: usize = 16;

/// What an unlisted word of a stack holds: no address of anything.
pub const POISON: u64 = 0xffff_5a5a_5a5a_5a5b;

/// A task, its stacks, and what the walk must say.
#[derive(Clone, Copy, Debug)]
pub struct Vector {
    /// The outcome, as the name of a test.
    pub name: &'static str,
    /// Where the walk starts.
    pub start: State,
    /// The stacks, the task's own first.
    pub stacks: &'static [StackRange],
    /// Address and value of the words on the stacks, in groups; a later group
    /// overrides an earlier one.
    pub words: &'static [&'static [Word]],
    /// A word that can't be read.
    pub unreadable: Option<u64>,
    /// What the tracers have kept, the last function's first.
    pub returns: &'static [Return],
    /// The shadow call stack, the outermost function's return address first.
    pub shadow: &'static [u64],
    /// Number of entries that the caller takes.
    pub capacity: usize,
    /// The entries to expect.
    pub frames: &'static [u64],
    /// The verdict to expect.
    pub verdict: Verdict,
}

/// Address and value of eight bytes.
pub type Word = (u64, u64);

/// A return address that a tracer has replaced.
#[derive(Clone, Copy, Debug)]
pub struct Return {
    /// What it was replaced by.
    pub trampoline: u64,
    /// x29 of the frame returned to.
    pub fp: u64,
    /// The address itself.
    pub pc: u64,
}

/// What a walk over a vector gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The verdict.
    pub verdict: Verdict,
    /// The entries, and zeros after the last.
    pub frames: [u64; MAX_FRAMES],
    /// Number of entries.
    pub count: usize,
    /// The walk read only aligned words on the stacks that it was given.
    pub reads_are_on_stack: bool,
}

/// In what an outcome differs from its vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// Another verdict, which is this.
    Verdict(Verdict),
    /// Other entries.
    Frames,
    /// A read where nothing may be read.
    Read,
}

/// All vectors.
pub fn all() -> impl Iterator<Item = &'static Vector> {
    [
        follow::VECTORS,
        bpf_trampoline::VECTORS,
        refuse::VECTORS,
        refuse_more::VECTORS,
        refuse_tracing::VECTORS,
        trampolines::VECTORS,
        witness::VECTORS,
    ]
    .into_iter()
    .flatten()
}

/// Walks over a vector.
#[must_use]
pub fn run(vector: &'static Vector) -> Outcome {
    let mut machine = Synthetic {
        vector,
        reads_are_on_stack: true,
        given: 0,
        shadow: Cursor::at_top(u32::try_from(vector.shadow.len()).unwrap_or(u32::MAX)),
    };
    let mut frames = [0; MAX_FRAMES];
    let mut count = 0;
    let verdict = walk(&mut machine, vector.start, |pc| {
        if count == vector.capacity {
            return false;
        }
        match frames.get_mut(count) {
            Some(slot) => *slot = pc,
            None => return false,
        }
        count = count.saturating_add(1);
        true
    });
    Outcome {
        verdict,
        frames,
        count,
        reads_are_on_stack: machine.reads_are_on_stack,
    }
}

/// Walks over a vector and compares.
///
/// # Errors
///
/// The first [`Mismatch`].
pub fn check(vector: &'static Vector) -> Result<(), Mismatch> {
    let outcome = run(vector);
    if outcome.verdict != vector.verdict {
        return Err(Mismatch::Verdict(outcome.verdict));
    }
    if outcome.frames.get(..outcome.count) != Some(vector.frames) {
        return Err(Mismatch::Frames);
    }
    if !outcome.reads_are_on_stack {
        return Err(Mismatch::Read);
    }
    Ok(())
}

/// Serves a vector to the walk.
struct Synthetic {
    vector: &'static Vector,
    reads_are_on_stack: bool,
    /// A bit for each kept return that the walk has got.
    given: u32,
    shadow: Cursor,
}

impl Synthetic {
    /// The next return that this tracer has kept, and its bit.
    fn next(&self, trampoline: u64) -> Option<(&'static Return, u32)> {
        (0..u32::BITS)
            .map(|number| 1 << number)
            .zip(self.vector.returns)
            .find(|(bit, kept)| self.given & bit == 0 && kept.trampoline == trampoline)
            .map(|(bit, kept)| (kept, bit))
    }

    fn kept(&mut self, pc: u64, fp: u64, lost: Reason) -> Result<u64, Reason> {
        match self.next(pc) {
            Some((kept, bit)) if kept.fp == fp => {
                self.given |= bit;
                Ok(kept.pc)
            }
            _ => Err(lost),
        }
    }
}

impl Machine for Synthetic {
    const REGS: RegsLayout = RegsLayout::LINUX_7_3;
    const FTRACE_REGS: FtraceRegs = FtraceRegs::LINUX_7_3;

    fn rule(&mut self, pc: u64) -> Result<RawRule, Reason> {
        text::raw_rule(pc)
    }

    fn instruction(&mut self, pc: u64) -> Option<u32> {
        text::instruction(pc)
    }

    fn is_bpf_trampoline(&mut self, pc: u64) -> bool {
        (text::BPF_TRAMPOLINE..text::BPF_DISPATCHER).contains(&pc)
    }

    fn is_graph_return(&self, pc: u64) -> bool {
        (text::RETURN_TO_HANDLER..text::KRETPROBE).contains(&pc)
    }

    fn is_ftrace_return(&self, pc: u64) -> bool {
        pc == text::FTRACE_RETURN
    }

    fn left_by_return(&mut self, entry: u64) -> Option<u32> {
        text::raw_rule(entry).ok()?.left_by_return()
    }

    fn is_stand_in(&mut self, pc: u64) -> bool {
        pc & !0xff == text::STAND_IN
    }

    fn read(&mut self, address: u64) -> Option<u64> {
        let on_stack = |stack: &StackRange| stack.contains(address, 8);
        if address % 8 != 0 || !self.vector.stacks.iter().any(on_stack) {
            self.reads_are_on_stack = false;
        }
        if self.vector.unreadable == Some(address) {
            return None;
        }
        let words = self.vector.words.iter().rev().copied().flatten();
        let mut found = words.filter(|word| word.0 == address);
        Some(found.next().map_or(POISON, |word| word.1))
    }

    fn stack(&self, number: usize) -> Option<StackRange> {
        self.vector.stacks.get(number).copied()
    }

    fn task_regs(&self) -> u64 {
        text::TASK_REGS
    }

    fn strip_pac(&self, address: u64) -> u64 {
        // As XPACI does: bit 55 is that of the address.
        match address & (1 << 55) {
            0 => address & 0x0000_ffff_ffff_ffff,
            _ => address | 0xffff_0000_0000_0000,
        }
    }

    fn recover(&mut self, pc: u64, fp: u64) -> Result<u64, Reason> {
        match pc {
            text::RETURN_TO_HANDLER => self.kept(pc, fp, Reason::FgraphLost),
            text::KRETPROBE => self.kept(pc, fp, Reason::KretprobeLost),
            _ => Ok(pc),
        }
    }

    fn recover_interrupted(&mut self, pc: u64, fp: u64) -> Result<u64, Reason> {
        match pc {
            text::KRETPROBE => self.kept(pc, fp, Reason::KretprobeLost),
            _ => Ok(pc),
        }
    }

    fn pass_entered(&mut self, lr: u64, fp: u64) {
        if let Some((kept, bit)) = self.next(text::RETURN_TO_HANDLER) {
            if kept.pc == lr && kept.fp == fp {
                self.given |= bit;
            }
        }
    }

    fn witness(&mut self, raw: u64, _cfa: u64, signed: Option<bool>) -> Result<(), Reason> {
        let address = self.strip_pac(raw);
        let is_signed = raw != address;
        let is_right = !is_signed || raw == text::signed(address);
        if !is_right || signed.is_some_and(|signed| signed != is_signed) {
            return Err(Reason::NotAuthentic);
        }
        let (vector, mut shadow) = (self.vector, self.shadow);
        shadow.meet(address, |number| {
            let entry = vector.shadow.get(usize::try_from(number).ok()?)?;
            Some(self.strip_pac(*entry))
        })?;
        self.shadow = shadow;
        Ok(())
    }

    fn finish(&mut self) -> Result<(), Reason> {
        let left = [text::RETURN_TO_HANDLER, text::KRETPROBE];
        match left.into_iter().any(|by| self.next(by).is_some()) {
            true => Err(Reason::KeptReturnLeft),
            false => self.shadow.finish(),
        }
    }
}
