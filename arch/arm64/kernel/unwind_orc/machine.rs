// SPDX-License-Identifier: GPL-2.0

//! A task of this kernel, as the core crate wants to see it.

use kernel::unwind_orc::{
    ftrace_regs,
    is_entry_text,
    is_graph_return,
    is_kretprobe_trampoline,
    regs,
    strip_pac,
    Lookup,
    Shadow,
    Tracer,
    Walk,
    MAX_STACKS, //
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
        Frame,
        Rule,
        Undescribed, //
    },
    shadow::Cursor,
    table, //
};

/// The task whose stack is walked.
pub(crate) struct Task<'a, 'w> {
    walk: &'a mut Walk<'w>,
    stacks: [StackRange; MAX_STACKS],
    /// The text that the last frame was in: mostly that of the next one, too.
    last: Option<Text<'w>>,
    /// How far the walk has come on the shadow call stack.
    shadow: Cursor,
    /// Whether the return address that was met last is authentic.
    ///
    /// Asked for only when the walk has made another step: where the address itself is impossible,
    /// that says more.
    last_is_authentic: bool,
}

/// A piece of text and the bytes of its table, which the walker has accepted before. An open table
/// is larger, and a walk may have to do with little stack.
#[derive(Clone, Copy)]
struct Text<'w> {
    start: u64,
    bytes: u32,
    table: &'w [u8],
}

impl Text<'_> {
    /// What the table says of an address, if it is in this text.
    fn rule(&self, pc: u64) -> Option<Result<Rule, Reason>> {
        let offset = u32::try_from(pc.checked_sub(self.start)?).ok()?;

        (offset < self.bytes)
            .then(|| table::lookup_accepted(self.table, offset).ok_or(Reason::NoRow))
    }
}

impl<'a, 'w> Task<'a, 'w> {
    /// The task of this walk.
    pub(crate) fn new(walk: &'a mut Walk<'w>) -> Self {
        let stacks = walk.stacks().ranges().map(|stack| StackRange {
            low: stack.low,
            high: stack.high,
        });

        let entries = walk.shadow().map_or(0, Shadow::entries);

        Self {
            walk,
            stacks,
            last: None,
            shadow: Cursor::at_top(entries),
            last_is_authentic: true,
        }
    }

    /// Whether `raw` has the signature of the frame with this CFA, or none if the row says that
    /// its function does not sign.
    fn is_authentic(&self, raw: u64, cfa: u64, signed: Option<bool>) -> bool {
        let has_code = raw != strip_pac(raw);

        match signed {
            Some(false) => !has_code,
            None if !has_code => true,
            _ => self.walk.is_authentic(raw, cfa),
        }
    }

    fn authenticated(&self) -> Result<(), Reason> {
        self.last_is_authentic
            .then_some(())
            .ok_or(Reason::NotAuthentic)
    }

    /// What the tables say of an address, or why none says anything.
    fn row(&mut self, pc: u64) -> Result<Rule, Reason> {
        if let Some(rule) = self.last.as_ref().and_then(|text| text.rule(pc)) {
            return rule;
        }
        let region = match self.walk.find(pc) {
            Lookup::Found(region) => region,
            Lookup::NoTable => return Err(Reason::NoTable),
            Lookup::NotText => return Err(Reason::NotText),
            // Where it was entered from.
            Lookup::InitText if self.walk.is_boot_idle() => return Err(Reason::EntryText),
            Lookup::InitText => return Err(Reason::InitText),
            Lookup::Veneer | Lookup::BpfEntry => return Ok(Rule::Frame(Frame::ENTRY)),
            Lookup::BpfBody { frame_bytes } => return bpf::body(frame_bytes),
            Lookup::BpfTrampoline { frame_bytes } => return bpf::trampoline(frame_bytes),
            Lookup::BpfOther => return Err(Reason::BpfOther),
        };
        let text = Text {
            start: region.text,
            bytes: region.text_bytes,
            table: region.table,
        };
        let rule = text.rule(pc).unwrap_or(Err(Reason::NotText));

        self.last = Some(text);
        rule
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

    fn rule(&mut self, pc: u64) -> Result<Rule, Reason> {
        match self.row(pc) {
            Ok(Rule::Unreliable(Undescribed::NoCfi)) if is_entry_text(pc) => Err(Reason::EntryText),
            found => found,
        }
    }

    fn instruction(&mut self, pc: u64) -> Option<u32> {
        self.walk.instruction(pc)
    }

    fn is_bpf_trampoline(&mut self, pc: u64) -> bool {
        matches!(self.walk.find(pc), Lookup::BpfTrampoline { .. })
    }

    fn is_graph_return(&self, pc: u64) -> bool {
        is_graph_return(pc)
    }

    fn read(&mut self, address: u64) -> Option<u64> {
        self.walk.stacks().read(address)
    }

    fn stacks(&self) -> &[StackRange] {
        &self.stacks
    }

    fn task_regs(&self) -> u64 {
        self.walk.task_regs()
    }

    fn strip_pac(&self, address: u64) -> u64 {
        strip_pac(address)
    }

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

    fn witness(&mut self, raw: u64, cfa: u64, signed: Option<bool>) -> Result<(), Reason> {
        self.authenticated()?;
        self.last_is_authentic = self.is_authentic(raw, cfa, signed);
        if self.shadow.is_at_base() {
            return Ok(());
        }
        let shadow = self.walk.shadow();

        self.shadow.meet(strip_pac(raw), |number| {
            shadow?.entry(number).map(strip_pac)
        })
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
