// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What a walk is told of the task: its rows, and what `recover.c` says.

use crate::cpu::*;
use orc::bpf;
use orc::machine::{FtraceRegs, Machine, RegsLayout, StackRange};
use orc::reason::Reason;
use orc::rule::{Cfa, CfaBase, Frame, Location, RawRule, Rule, StackPointer, Undescribed, X29};
use orc::shadow::Cursor;
use std::num::NonZero;

const STACK: StackRange = StackRange {
    low: 0xffff_8000_1000_0000,
    high: 0xffff_8000_1000_4000,
};
const NO_CFI: Rule = Rule::Unreliable(Undescribed::NoCfi);
/// Of the trampolines of BPF.
const FRAME_BYTES: Option<NonZero<u32>> = NonZero::new(96);

pub(crate) struct Walked<'a> {
    cpu: &'a Cpu,
    functions: &'a [Function],
    /// All that has traced functions is gone.
    pub(crate) is_untraced: bool,
    /// `ftrace_caller` calls this function now, by BL: a kernel without call ops.
    pub(crate) tracer: Option<usize>,
    graph: usize,
    kretprobes: usize,
    shadow: Cursor,
}

impl<'a> Walked<'a> {
    pub(crate) fn new(cpu: &'a Cpu, functions: &'a [Function]) -> Self {
        Self {
            cpu,
            functions,
            is_untraced: false,
            tracer: None,
            graph: cpu.graph.len(),
            kretprobes: cpu.kretprobes.len(),
            shadow: Cursor::at_top(cpu.shadow.len().try_into().unwrap()),
        }
    }

    fn recover_from(
        kept: &[(u64, u64)],
        left: &mut usize,
        fp: u64,
        trampoline: u64,
    ) -> Option<u64> {
        loop {
            let (to, of) = kept[left.checked_sub(1)?];
            if of != fp {
                return None;
            }
            *left -= 1;
            if to != trampoline {
                return Some(to);
            }
        }
    }
}

/// `bl`
fn bl(from: u64, to: u64) -> u32 {
    let words = (to.wrapping_sub(from) / 4) & 0x3ff_ffff;
    0x9400_0000 | u32::try_from(words).unwrap()
}

/// A row with CFA = SP + `size`.
fn row(size: u32, return_address: Location, caller_fp: Location, x29: X29) -> Frame {
    Frame {
        cfa: Cfa {
            base: CfaBase::Sp,
            offset: size,
        },
        sp: StackPointer::Exact,
        return_address,
        signed: (return_address != Location::Register).then_some(false),
        caller_fp,
        x29,
        patch_site: false,
        left_by_return: None,
    }
}

fn of_function(function: &Function, offset: u64) -> Frame {
    use Location::Slot;
    let signed = |x29| Frame {
        signed: Some(true),
        ..row(32, Slot(24), Slot(32), x29)
    };
    match offset {
        _ if function.is_leaf => Frame::ENTRY,
        16 => signed(X29::Caller),
        20 | 24 => signed(X29::Record(32)),
        _ => Frame::ENTRY,
    }
}

/// As `orctool dump` prints them.
fn of_ftrace(offset: u64) -> Rule {
    use Location::{Register, Slot};
    let frame = match offset {
        0..0x1c => Frame::ENTRY,
        0x1c..0x48 => row(144, Register, Register, X29::Caller),
        0x48 => row(144, Register, Slot(16), X29::Caller),
        0x4c => row(144, Register, Slot(16), X29::Record(16)),
        0x50 => row(144, Slot(24), Slot(16), X29::Record(16)),
        0x54..0x84 => row(144, Slot(24), Slot(16), X29::Record(32)),
        0x84..0x98 => row(144, Slot(24), Slot(16), X29::Caller),
        _ => return NO_CFI,
    };
    Rule::Frame(Frame {
        patch_site: true,
        ..frame
    })
}

fn of_graph(offset: u64) -> Rule {
    use Location::{Register, Slot};
    match offset {
        0 => Rule::Frame(Frame::ENTRY),
        4..0x1c => Rule::Frame(row(112, Register, Register, X29::Caller)),
        0x1c..0x3c => Rule::Frame(row(112, Slot(8), Register, X29::Caller)),
        _ => NO_CFI,
    }
}

impl Machine for Walked<'_> {
    const REGS: RegsLayout = RegsLayout::LINUX_7_3;
    const FTRACE_REGS: FtraceRegs = FtraceRegs::LINUX_7_3;

    fn rule(&mut self, pc: u64) -> Result<RawRule, Reason> {
        use Location::Slot;
        let rule = match pc {
            FTRACE..GRAPH => of_ftrace(pc - FTRACE),
            GRAPH..KRETPROBE => of_graph(pc - GRAPH),
            KRETPROBE..HANDLER => NO_CFI,
            HANDLER..FENTRY => Rule::Frame(row(32, Slot(24), Slot(32), X29::Record(32))),
            FENTRY..ENTRY if (0x18..0x2c).contains(&(pc & 0xff)) => {
                return bpf::trampoline(FRAME_BYTES)
            }
            FENTRY..ENTRY => return Err(Reason::BpfOther),
            _ if pc == ENTRY + 4 => return Err(Reason::EntryText),
            _ => {
                let number = Cpu::function(pc).ok_or(Reason::NotText)?;
                let offset = pc % FUNCTION_BYTES;
                Rule::Frame(of_function(&self.functions[number], offset))
            }
        };
        rule.encode().ok_or(Reason::NoRow)
    }

    fn instruction(&mut self, pc: u64) -> Option<u32> {
        const NOP: u32 = 0xd503_201f;
        const BLR: u32 = 0xd63f_0100;
        if let Some(number) = Cpu::function(pc) {
            let function = &self.functions[number];
            return Some(match (pc % FUNCTION_BYTES, function.callee) {
                (0, _) => 0xaa1e_03e9, // mov x9, x30
                (4, _) if function.is_traced() && !self.is_untraced => bl(pc, FTRACE),
                (20, Some(callee)) => bl(pc, Cpu::address(callee)),
                (20, None) => BLR,
                _ => NOP,
            });
        }
        if let (0x68, Some(tracer)) = (pc.wrapping_sub(FTRACE), self.tracer) {
            return Some(bl(pc, Cpu::address(tracer)));
        }
        let is_call = match pc {
            FENTRY..ENTRY if pc & 0xff == 0x20 => return Some(0x1000_005e),
            FENTRY..ENTRY if pc & 0xff == 0x24 => return Some(0xd65f_0140),
            FENTRY..ENTRY => matches!(pc & 0xff, 0x18 | 0x28),
            _ if pc == FTRACE + 0x10 => return Some(0xb500_04d1),
            _ if pc == ENTRY + 4 => return Some(bl(pc, Cpu::address(0))),
            _ => [FTRACE + 0x68, GRAPH + 0x20, HANDLER + 4].contains(&pc),
        };
        Some(if is_call { BLR } else { NOP })
    }

    fn left_by_return(&mut self, entry: u64) -> Option<u32> {
        let function = &self.functions[Cpu::function(entry)?];
        let bytes = u32::try_from(FUNCTION_BYTES).unwrap();
        function.tail.is_none().then_some(bytes)
    }

    fn is_stand_in(&mut self, pc: u64) -> bool {
        match Cpu::function(pc) {
            Some(number) => self.functions.iter().any(|f| f.patch == Some(number)),
            None => !(FTRACE..FENTRY).contains(&pc),
        }
    }

    fn is_bpf_trampoline(&mut self, pc: u64) -> bool {
        (FENTRY..ENTRY).contains(&pc)
    }

    fn is_graph_return(&self, pc: u64) -> bool {
        (GRAPH..GRAPH + 0x40).contains(&pc)
    }

    fn is_ftrace_return(&self, pc: u64) -> bool {
        pc == FTRACE + 0x98
    }

    fn read(&mut self, address: u64) -> Option<u64> {
        Some(self.cpu.words.get(&address).copied().unwrap_or(0x5a5b))
    }

    fn stack(&self, number: usize) -> Option<StackRange> {
        (number == 0).then_some(STACK)
    }

    fn task_regs(&self) -> u64 {
        TASK_REGS
    }

    fn strip_pac(&self, address: u64) -> u64 {
        strip(address)
    }

    fn recover(&mut self, pc: u64, fp: u64) -> Result<u64, Reason> {
        match pc {
            GRAPH => Self::recover_from(&self.cpu.graph, &mut self.graph, fp, GRAPH)
                .ok_or(Reason::FgraphLost),
            KRETPROBE => {
                Self::recover_from(&self.cpu.kretprobes, &mut self.kretprobes, fp, KRETPROBE)
                    .ok_or(Reason::KretprobeLost)
            }
            _ => Ok(pc),
        }
    }

    fn recover_interrupted(&mut self, pc: u64, fp: u64) -> Result<u64, Reason> {
        match pc {
            KRETPROBE => self.recover(pc, fp),
            _ => Ok(pc),
        }
    }

    fn pass_entered(&mut self, lr: u64, fp: u64) {
        if let Some(next) = self.graph.checked_sub(1) {
            if self.cpu.graph[next] == (lr, fp) {
                self.graph = next;
            }
        }
    }

    fn witness(&mut self, raw: u64, cfa: u64, signed: Option<bool>) -> Result<(), Reason> {
        let address = strip(raw);
        let has_code = raw != address;
        let is_authentic = match signed {
            Some(false) => !has_code,
            None if !has_code => true,
            _ => raw == sign(address, cfa),
        };
        if !is_authentic {
            return Err(Reason::NotAuthentic);
        }
        let shadow = &self.cpu.shadow;
        self.shadow.meet(address, |number| {
            Some(strip(*shadow.get(usize::try_from(number).ok()?)?))
        })
    }

    fn finish(&mut self) -> Result<(), Reason> {
        match (self.graph, self.kretprobes) {
            (0, 0) => self.shadow.finish(),
            _ => Err(Reason::KeptReturnLeft),
        }
    }
}
