// SPDX-License-Identifier: GPL-2.0 OR MIT

//! A task of the guest, as the walk wants to see it.

#[cfg(not(feature = "before"))]
use crate::book::NOT_TEXT;
use crate::book::{Book, Packed};
use crate::inject::Changes;
use crate::memory::Space;
use crate::reads::Reads;
use crate::recover::{Kept, Layout};

#[cfg(not(feature = "before"))]
use orc::machine::FtraceRegs;
use orc::machine::{Machine, RegsLayout, StackRange};
use orc::reason::Reason;

/// Addresses in vmlinux that the walk has to know.
#[derive(Clone, Copy, Debug, Default)]
pub struct Places {
    /// The vmlinux init text.
    pub init_text: (u64, u64),
    /// `init_task`.
    pub init_task: u64,
    /// Where return addresses are that tracers have replaced.
    pub kept: Layout,
    /// `THREAD_SIZE`.
    pub thread_bytes: u64,
}

/// The task that is walked.
pub struct Target<'a> {
    /// The rows.
    pub book: &'a Book,
    /// The memory.
    pub space: &'a mut Space,
    /// What is read goes in here.
    pub reads: &'a mut Reads,
    /// The task's own stack, and those of the CPU.
    pub stacks: &'a [StackRange],
    /// `struct task_struct`.
    pub task: u64,
    /// Fixed addresses.
    pub places: Places,
    /// What is changed in its memory, and noted of it.
    pub changes: Option<&'a Changes>,
    /// What the walk has used of the addresses that tracers keep.
    pub kept: Kept,
}

impl Machine for Target<'_> {
    const REGS: RegsLayout = RegsLayout::LINUX_7_3;

    #[cfg(not(feature = "before"))]
    const FTRACE_REGS: FtraceRegs = FtraceRegs::LINUX_7_3;

    fn rule(&mut self, pc: u64) -> Packed {
        let (low, high) = self.places.init_text;
        if (low..high).contains(&pc) {
            return Err(match self.task == self.places.init_task {
                true => Reason::EntryText,
                false => Reason::InitText,
            });
        }
        self.book.packed(self.book.find(pc))
    }

    fn read(&mut self, address: u64) -> Option<u64> {
        self.reads.add(address);
        if let Some(changes) = self.changes {
            return changes.read(self.space, address);
        }
        self.space.read(address)
    }

    #[cfg(feature = "before")]
    fn stacks(&self) -> &[StackRange] {
        self.stacks
    }

    #[cfg(not(feature = "before"))]
    fn stack(&self, number: usize) -> Option<StackRange> {
        self.stacks.get(number).copied()
    }

    fn task_regs(&self) -> u64 {
        self.stacks
            .first()
            .map_or(0, |stack| stack.high - Self::REGS.size)
    }

    fn strip_pac(&self, address: u64) -> u64 {
        strip_pac(address)
    }

    fn recover(&mut self, pc: u64, fp: u64) -> Result<u64, Reason> {
        self.kept
            .recover(self.space, &self.places.kept, self.task, pc, fp)
    }

    fn recover_interrupted(&mut self, pc: u64, fp: u64) -> Result<u64, Reason> {
        match pc == self.places.kept.trampoline {
            true => self.recover(pc, fp),
            false => Ok(pc),
        }
    }

    #[cfg(not(feature = "before"))]
    fn instruction(&mut self, pc: u64) -> Option<u32> {
        if self.book.find(pc) == NOT_TEXT {
            return None;
        }
        match self.space.read32(pc)? {
            BRK_KPROBE => self.book.original(pc),
            word => Some(word),
        }
    }

    #[cfg(not(feature = "before"))]
    fn is_bpf_trampoline(&mut self, pc: u64) -> bool {
        self.book.is_trampoline(pc)
    }

    #[cfg(not(feature = "before"))]
    fn is_graph_return(&self, pc: u64) -> bool {
        let kept = &self.places.kept;
        (kept.return_to_handler..kept.return_to_handler_end).contains(&pc)
    }

    #[cfg(not(feature = "before"))]
    fn is_ftrace_return(&self, pc: u64) -> bool {
        pc == self.places.kept.ftrace_return
    }

    #[cfg(not(feature = "before"))]
    fn left_by_return(&mut self, entry: u64) -> Option<u32> {
        let row = self.book.packed(self.book.find(entry));
        row.ok()?.left_by_return()
    }

    /// Live patches are modules, and what they patch may be in a module, too.
    #[cfg(not(feature = "before"))]
    fn is_stand_in(&mut self, pc: u64) -> bool {
        self.book.original(pc).is_none()
    }

    #[cfg(not(feature = "before"))]
    fn pass_entered(&mut self, lr: u64, fp: u64) {
        self.kept
            .pass_entered(self.space, &self.places.kept, self.task, lr, fp);
    }

    #[cfg(not(feature = "before"))]
    fn witness(&mut self, _raw: u64, _cfa: u64, _signed: Option<bool>) -> Result<(), Reason> {
        Ok(())
    }

    #[cfg(not(feature = "before"))]
    fn finish(&mut self) -> Result<(), Reason> {
        match self.kept.all_used(self.space, &self.places.kept, self.task) {
            true => Ok(()),
            false => Err(Reason::KeptReturnLeft),
        }
    }
}

/// `BRK64_OPCODE_KPROBES`.
#[cfg(not(feature = "before"))]
const BRK_KPROBE: u32 = 0xd420_0080;

/// A kernel address without its authentication code. All text is in the top 2^48 bytes.
#[must_use]
pub fn strip_pac(address: u64) -> u64 {
    match address >> 55 & 1 {
        1 => address | 0xffff_0000_0000_0000,
        _ => address,
    }
}
