// SPDX-License-Identifier: GPL-2.0

//! A task of this kernel, as the core crate wants to see it.

use kernel::unwind_orc::{
    ftrace_regs,
    is_entry_text,
    is_ftrace_return,
    is_graph_return,
    is_kretprobe_trampoline,
    is_replaced,
    regs,
    strip_pac,
    Code,
    Lookup,
    Region,
    Shadow,
    Tracer,
    Walk, //
};
use orc::{
    bpf,
    machine::{
        FtraceRegs,
        Machine,
        RegsLayout,
        StackRange, //
    },
    reason::Reason,
    rule::{
        RawRule,
        Undescribed, //
    },
    shadow::Cursor,
    table::Table, //
};

/// The task whose stack is walked.
pub(crate) struct Task<'a, 'w> {
    walk: &'a mut Walk<'w>,
    /// The texts that the last frames were in: mostly that of the next one, too. Two, as stacks go
    /// from the kernel to a module and back.
    texts: [Option<Text<'w>>; 2],
    /// Which of them the last frame was in.
    last_is_second: bool,
    /// How far the walk has come on the shadow call stack.
    shadow: Cursor,
    /// Whether the return address that was met last is authentic.
    ///
    /// Asked for only when the walk has made another step: where the address itself is impossible,
    /// that says more.
    last_is_authentic: bool,
    /// Whether it has a witness.
    last_is_vouched_for: bool,
}

/// A piece of text and its table, which the walker has accepted before.
#[derive(Clone, Copy)]
struct Text<'w> {
    code: Code<'w>,
    table: Table<'w>,
}

impl<'w> Text<'w> {
    /// Opens a region.
    fn new(region: &Region<'w>) -> Option<Self> {
        Some(Self {
            code: region.code(),
            table: Table::accepted(region.table())?,
        })
    }

    /// What the table says of an address, if it is in this text.
    #[inline(always)]
    fn rule(&self, pc: u64) -> Option<Result<RawRule, Reason>> {
        let offset = self.code.offset(pc)?;

        Some(self.table.find(offset).ok_or(Reason::NoRow))
    }
}

impl<'a, 'w> Task<'a, 'w> {
    /// The task of this walk.
    pub(crate) fn new(walk: &'a mut Walk<'w>) -> Self {
        let entries = walk.shadow().map_or(0, Shadow::entries);

        Self {
            walk,
            texts: [None; 2],
            last_is_second: false,
            shadow: Cursor::at_top(entries),
            last_is_authentic: true,
            last_is_vouched_for: false,
        }
    }

    /// Looks at a return address and its code, if the row says that its function signs, or does
    /// not: it has the signature of the frame with this CFA, or none.
    #[inline(always)]
    fn authenticate(&mut self, raw: u64, cfa: u64, signed: Option<bool>) {
        let has_code = raw != strip_pac(raw);

        self.last_is_vouched_for = false;
        self.last_is_authentic = match signed {
            Some(false) => !has_code,
            None if !has_code => true,
            _ => {
                let is_authentic = self.walk.is_authentic(raw, cfa);

                self.last_is_vouched_for = has_code && is_authentic && cfg!(CONFIG_UNWIND_ORC_PAC);
                is_authentic
            }
        };
    }

    fn authenticated(&self) -> Result<(), Reason> {
        self.last_is_authentic
            .then_some(())
            .ok_or(Reason::NotAuthentic)
    }

    /// The text that the last frame was in.
    #[inline(always)]
    fn last(&self) -> Option<&Text<'w>> {
        let [first, second] = &self.texts;

        if self.last_is_second {
            second.as_ref()
        } else {
            first.as_ref()
        }
    }

    /// What the tables say of an address, or why none says anything.
    #[inline(always)]
    fn row(&mut self, pc: u64) -> Result<RawRule, Reason> {
        match self.last().and_then(|text| text.rule(pc)) {
            Some(rule) => rule,
            None => self.row_elsewhere(pc),
        }
    }

    /// The same for an address that is not in the text of the last.
    #[inline(never)]
    fn row_elsewhere(&mut self, pc: u64) -> Result<RawRule, Reason> {
        self.last_is_second = !self.last_is_second;
        if let Some(rule) = self.last().and_then(|text| text.rule(pc)) {
            return rule;
        }
        let region = match self.walk.find(pc) {
            Lookup::Found(region) => region,
            // Where a forged address leads, no other unwinder is to be asked.
            Lookup::NoTable => {
                self.authenticated()?;
                return Err(Reason::NoTable);
            }
            Lookup::NotText => return Err(Reason::NotText),
            // Where it was entered from.
            Lookup::InitText if self.walk.is_boot_idle() => return Err(Reason::EntryText),
            Lookup::InitText => return Err(Reason::InitText),
            Lookup::Veneer | Lookup::BpfEntry => return Ok(RawRule::ENTRY),
            Lookup::FtraceVeneer => return Ok(RawRule::FTRACE_START),
            Lookup::BpfBody { frame_bytes } => return bpf::body(frame_bytes),
            Lookup::BpfTrampoline { frame_bytes } => return bpf::trampoline(frame_bytes),
            Lookup::BpfOther => return Err(Reason::BpfOther),
        };
        let [first, second] = &mut self.texts;
        let last = if self.last_is_second { second } else { first };

        *last = Text::new(&region);
        self.last()
            .and_then(|text| text.rule(pc))
            .unwrap_or(Err(Reason::NoRow))
    }
}

impl Machine for Task<'_, '_> {
    const REGS: RegsLayout = RegsLayout {
        x9: regs::X9,
        fp: regs::FP,
        lr: regs::LR,
        sp: regs::SP,
        pc: regs::PC,
        pstate: regs::PSTATE,
        stackframe: regs::STACKFRAME,
        size: regs::SIZE,
    };

    const FTRACE_REGS: FtraceRegs = FtraceRegs {
        direct_tramp: ftrace_regs::DIRECT,
        fp: ftrace_regs::FP,
        lr: ftrace_regs::LR,
        sp: ftrace_regs::SP,
        pc: ftrace_regs::PC,
        size: ftrace_regs::SIZE,
    };

    #[inline(always)]
    fn rule(&mut self, pc: u64) -> Result<RawRule, Reason> {
        match self.row(pc) {
            Ok(rule) if rule.is_unreliable(Undescribed::NoCfi) && is_entry_text(pc) => {
                Err(Reason::EntryText)
            }
            found => found,
        }
    }

    #[inline(always)]
    fn instruction(&mut self, pc: u64) -> Option<u32> {
        match self.last().and_then(|text| text.code.instruction(pc)) {
            // It may be a kprobe's.
            Some(instruction) if !is_breakpoint(instruction) => Some(instruction),
            _ => self.walk.instruction(pc),
        }
    }

    #[inline(always)]
    fn left_by_return(&mut self, entry: u64) -> Option<u32> {
        if self.last_is_vouched_for {
            return None;
        }
        self.row(entry).ok()?.left_by_return()
    }

    fn is_stand_in(&mut self, pc: u64) -> bool {
        match self.walk.find(pc) {
            Lookup::Found(region) => region.is_patch(),
            _ => true,
        }
    }

    fn is_bpf_trampoline(&mut self, pc: u64) -> bool {
        matches!(self.walk.find(pc), Lookup::BpfTrampoline { .. })
    }

    fn is_graph_return(&self, pc: u64) -> bool {
        is_graph_return(pc)
    }

    fn is_ftrace_return(&self, pc: u64) -> bool {
        is_ftrace_return(pc)
    }

    #[inline(always)]
    fn read(&mut self, address: u64) -> Option<u64> {
        self.walk.stacks().read(address)
    }

    #[inline(always)]
    fn read_record(&mut self, address: u64) -> Option<[u64; 2]> {
        self.walk.stacks().read_two(address)
    }

    fn stack(&self, number: usize) -> Option<StackRange> {
        let stack = self.walk.stacks().ranges().get(number)?;

        Some(StackRange {
            low: stack.low,
            high: stack.high,
        })
    }

    fn task_regs(&self) -> u64 {
        self.walk.task_regs()
    }

    fn strip_pac(&self, address: u64) -> u64 {
        strip_pac(address)
    }

    #[inline(always)]
    fn is_replaced(&self, pc: u64) -> bool {
        is_replaced(pc)
    }

    #[inline(always)]
    fn recover(&mut self, pc: u64, fp: u64) -> Result<u64, Reason> {
        self.walk.recover(pc, fp).map_err(|tracer| match tracer {
            Tracer::FunctionGraph => Reason::FgraphLost,
            Tracer::Kretprobe => Reason::KretprobeLost,
        })
    }

    fn recover_interrupted(&mut self, pc: u64, fp: u64) -> Result<u64, Reason> {
        if is_kretprobe_trampoline(pc) {
            self.recover(pc, fp)
        } else {
            Ok(pc)
        }
    }

    fn pass_entered(&mut self, lr: u64, fp: u64) {
        self.walk.pass_entered(lr, fp);
    }

    #[inline(always)]
    fn witness(&mut self, raw: u64, cfa: u64, signed: Option<bool>) -> Result<(), Reason> {
        self.authenticated()?;
        self.authenticate(raw, cfa, signed);
        if self.shadow.is_at_base() {
            return Ok(());
        }
        let shadow = self.walk.shadow();
        let before = self.shadow;

        self.shadow.meet(strip_pac(raw), |number| {
            shadow?.entry(number).map(strip_pac)
        })?;
        self.last_is_vouched_for |= self.shadow != before;
        Ok(())
    }

    fn finish(&mut self) -> Result<(), Reason> {
        self.authenticated()?;
        if self.walk.all_recovered() {
            self.shadow.finish()
        } else {
            Err(Reason::KeptReturnLeft)
        }
    }
}

/// Whether this is BRK, with any number: C6.2 of the Arm ARM.
const fn is_breakpoint(instruction: u32) -> bool {
    instruction & 0xffe0_001f == 0xd420_0000
}
