// SPDX-License-Identifier: GPL-2.0 OR MIT

//! A task that runs traced functions, instruction by instruction.
//!
//! Functions, `ftrace_caller`, `return_to_handler`, trampolines of BPF and the kretprobes'
//! breakpoint do here to SP, x9, x29, x30 and memory what they do in a kernel.

use std::collections::BTreeMap;

pub(crate) const FUNCTIONS: u64 = 0xffff_8000_8000_0000;
pub(crate) const FUNCTION_BYTES: u64 = 0x100;
pub(crate) const FTRACE: u64 = FUNCTIONS + 0x1_0000;
pub(crate) const GRAPH: u64 = FTRACE + 0x200;
pub(crate) const KRETPROBE: u64 = FTRACE + 0x400;
/// What the trampolines call: tracers and BPF programs.
pub(crate) const HANDLER: u64 = FTRACE + 0x600;
/// Trampolines of BPF: the first does not call the traced function, the second does.
pub(crate) const FENTRY: u64 = FTRACE + 0x800;
pub(crate) const FEXIT: u64 = FTRACE + 0x900;
/// The call of the outermost function, in entry code.
pub(crate) const ENTRY: u64 = FTRACE + 0xa00;
pub(crate) const TASK_REGS: u64 = 0xffff_8000_1000_4000 - 320;
pub(crate) const STACKFRAME: u64 = 296;
/// What a call leaves in x9.
const JUNK: u64 = FTRACE + 0xf02;

/// What is done to a function, and what it does. It calls only functions after it.
#[derive(Clone, Debug)]
pub(crate) struct Function {
    pub(crate) is_leaf: bool,
    pub(crate) is_graph_traced: bool,
    pub(crate) is_probed: bool,
    /// The function that a live patch puts in its place.
    pub(crate) patch: Option<usize>,
    /// Where a BPF trampoline is.
    pub(crate) trampoline: Option<u64>,
    pub(crate) callee: Option<usize>,
    pub(crate) tail: Option<usize>,
    pub(crate) graph_comes_first: bool,
}

impl Function {
    pub(crate) const fn is_traced(&self) -> bool {
        self.is_graph_traced || self.patch.is_some() || self.trampoline.is_some()
    }
}

/// How a task was taken off its CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// By an interrupt.
    Interrupt,
    /// In what the trampoline at PC has called.
    Handler,
}

/// Where in `ftrace_return_to_handler()`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Popping {
    Not,
    Known,
    Done,
}

#[derive(Clone, Debug)]
pub(crate) struct Cpu {
    pub(crate) pc: u64,
    pub(crate) sp: u64,
    pub(crate) fp: u64,
    pub(crate) lr: u64,
    pub(crate) x9: u64,
    x0: u64,
    x10: u64,
    pub(crate) words: BTreeMap<u64, u64>,
    /// Kept return addresses with the x29 returned to, the outermost first.
    pub(crate) graph: Vec<(u64, u64)>,
    pub(crate) kretprobes: Vec<(u64, u64)>,
    pub(crate) shadow: Vec<u64>,
    popping: Popping,
    /// A return address that is not yet replaced.
    has_kept: bool,
}

type Observer<'a> = &'a mut dyn FnMut(&Cpu, Stop);

impl Cpu {
    pub(crate) fn start() -> Self {
        let fp = TASK_REGS + STACKFRAME;
        Self {
            pc: FUNCTIONS,
            sp: TASK_REGS,
            fp,
            lr: ENTRY + 8,
            x9: JUNK,
            x0: 0,
            x10: 0,
            words: BTreeMap::from([(fp, 0), (fp + 8, 0), (fp + 16, 1)]),
            graph: Vec::new(),
            kretprobes: Vec::new(),
            shadow: Vec::new(),
            popping: Popping::Not,
            has_kept: false,
        }
    }

    pub(crate) fn function(pc: u64) -> Option<usize> {
        let number = pc.checked_sub(FUNCTIONS)? / FUNCTION_BYTES;
        (pc < FTRACE).then(|| usize::try_from(number).unwrap())
    }

    pub(crate) fn address(function: usize) -> u64 {
        FUNCTIONS + u64::try_from(function).unwrap() * FUNCTION_BYTES
    }

    fn read(&self, address: u64) -> u64 {
        self.words[&address]
    }

    fn store(&mut self, address: u64, word: u64) {
        self.words.insert(address, word);
    }

    fn push(&mut self, bytes: u64, x29: u64, x30: u64) {
        self.sp -= bytes;
        self.store(self.sp, x29);
        self.store(self.sp + 8, x30);
    }

    /// The functions that run when all calls from now on are left out: those that are
    /// active, or about to be.
    pub(crate) fn truth(&self, functions: &[Function], stop: Stop) -> Vec<usize> {
        let mut cpu = self.clone();
        let mut found: Vec<usize> = Self::function(cpu.pc).into_iter().collect();
        if stop == Stop::Handler {
            match cpu.pc {
                GRAPH..KRETPROBE => cpu.pop_graph(&mut None),
                FTRACE..GRAPH => cpu.replace_kept(),
                _ => {}
            }
            cpu.pc += 4;
        }
        while cpu.pc != ENTRY + 8 {
            let before = cpu.pc;
            cpu.step(functions, &mut None);
            match Self::function(cpu.pc) {
                Some(to) if cpu.pc != before + 4 => found.push(to),
                _ => {}
            }
        }
        found
    }

    /// Where the graph tracer has kept a return address, it is going to replace it.
    fn replace_kept(&mut self) {
        if self.has_kept {
            self.store(self.sp + 88, GRAPH);
            self.has_kept = false;
        }
    }

    /// Executes an instruction. Without an observer no function, tracer or program is
    /// called any more.
    pub(crate) fn step(&mut self, functions: &[Function], observer: &mut Option<Observer<'_>>) {
        match self.pc {
            KRETPROBE => self.break_at_kretprobe(),
            FTRACE..GRAPH => self.step_ftrace(functions, observer),
            GRAPH..KRETPROBE => self.step_graph(observer),
            FENTRY..ENTRY => self.step_trampoline(observer),
            _ => {
                let number = Self::function(self.pc).unwrap();
                self.step_function(&functions[number], number, observer.is_some());
            }
        }
    }

    fn step_function(&mut self, function: &Function, number: usize, is_live: bool) {
        let offset = self.pc - Self::address(number);
        self.pc += 4;
        match offset {
            0 => {
                if function.is_probed && is_live {
                    self.kretprobes.push((self.lr, self.fp));
                    self.lr = KRETPROBE;
                }
                self.x9 = self.lr;
            }
            4 if function.is_traced() && is_live => (self.lr, self.pc) = (self.pc, FTRACE),
            8.. if function.is_leaf && offset < 32 => {}
            8 => {
                self.lr = sign(self.lr, self.sp);
                self.shadow.push(self.lr);
            }
            12 => self.push(32, self.fp, self.lr),
            16 => self.fp = self.sp,
            20 => {
                (self.x9, self.lr) = (JUNK, self.pc);
                if let Some(callee) = function.callee.filter(|_| is_live) {
                    self.pc = Self::address(callee);
                }
            }
            24 => {
                (self.fp, self.lr) = (self.read(self.sp), self.read(self.sp + 8));
                self.sp += 32;
            }
            28 => {
                assert_eq!(self.shadow.pop(), Some(self.lr));
                self.lr = strip(self.lr);
            }
            32 => match function.tail.filter(|_| is_live) {
                Some(tail) => self.pc = Self::address(tail),
                None => self.pc = self.lr,
            },
            _ => {}
        }
    }

    fn break_at_kretprobe(&mut self) {
        loop {
            let (to, fp) = self.kretprobes.pop().unwrap();
            assert_eq!(fp, self.fp);
            if to != KRETPROBE {
                (self.lr, self.pc) = (to, to);
                return;
            }
        }
    }

    fn step_ftrace(&mut self, functions: &[Function], observer: &mut Option<Observer<'_>>) {
        let offset = self.pc - FTRACE;
        let regs = self.sp;
        if offset == 0x68 {
            self.call_tracers(functions, observer);
            (self.x9, self.lr) = (JUNK, self.pc + 4);
        }
        self.pc += 4;
        match offset {
            0x10 => {
                let traced = &functions[Self::function(self.lr).unwrap()];
                let is_alone = traced.patch.is_none() && !traced.is_graph_traced;
                if let Some(to) = traced.trampoline.filter(|_| is_alone) {
                    self.pc = to;
                }
            }
            0x14 => self.x10 = self.sp,
            0x18 => self.sp -= 144,
            0x30 => self.store(regs + 72, 0),
            0x34 => self.store(regs + 80, self.fp),
            0x38 => self.store(regs + 88, self.x9),
            0x3c => self.store(regs + 96, self.x10),
            0x40 => self.store(regs + 104, self.lr),
            0x44 => {
                self.store(regs + 128, self.fp);
                self.store(regs + 136, self.x9);
            }
            0x48 => self.fp = regs + 128,
            0x4c => {
                self.store(regs + 112, self.fp);
                self.store(regs + 120, self.lr);
            }
            0x50 => self.fp = regs + 112,
            0x80 => self.fp = self.read(regs + 80),
            0x88 if self.read(regs + 72) != 0 => {
                self.x9 = self.read(regs + 88);
                self.lr = self.read(regs + 104);
                self.pc = self.read(regs + 72);
                self.sp += 144;
            }
            0x8c => self.lr = self.read(regs + 88),
            0x90 => self.x9 = self.read(regs + 104),
            0x94 => self.sp += 144,
            0x98 => self.pc = self.x9,
            _ => {}
        }
    }

    /// Live patch, function graph tracer and BPF in turn; the task may be preempted after
    /// each of their steps.
    fn call_tracers(&mut self, functions: &[Function], observer: &mut Option<Observer<'_>>) {
        let Some(observe) = observer else {
            return;
        };
        let regs = self.sp;
        let traced = &functions[Self::function(self.lr).unwrap()];
        observe(self, Stop::Handler);
        for is_graph in [traced.graph_comes_first, !traced.graph_comes_first] {
            if is_graph && traced.is_graph_traced {
                self.graph
                    .push((self.read(regs + 88), self.read(regs + 80)));
                self.has_kept = true;
                observe(self, Stop::Handler);
                self.replace_kept();
                observe(self, Stop::Handler);
            }
            if let Some(patch) = traced.patch.filter(|_| !is_graph) {
                self.store(regs + 104, Self::address(patch));
                observe(self, Stop::Handler);
            }
        }
        if let Some(to) = traced.trampoline {
            self.store(regs + 72, to);
            observe(self, Stop::Handler);
        }
    }

    fn step_graph(&mut self, observer: &mut Option<Observer<'_>>) {
        match self.pc - GRAPH {
            0 => self.sp -= 112,
            0x14 => self.store(self.sp + 80, self.fp),
            0x18 => self.store(self.sp + 104, self.lr),
            0x20 => {
                self.pop_graph(observer);
                (self.x9, self.lr) = (JUNK, self.pc + 4);
            }
            0x24 => self.lr = self.x0,
            0x38 => self.sp += 112,
            0x3c => {
                self.pc = self.lr;
                return;
            }
            _ => {}
        }
        self.pc += 4;
    }

    fn pop_graph(&mut self, observer: &mut Option<Observer<'_>>) {
        let mut observe = |cpu: &Self| {
            if let Some(observe) = observer {
                observe(cpu, Stop::Handler);
            }
        };
        if self.popping == Popping::Not {
            observe(self);
            let (to, fp) = *self.graph.last().unwrap();
            assert_eq!(fp, self.fp);
            self.x0 = to;
            self.store(self.sp + 104, to);
            self.popping = Popping::Known;
            observe(self);
        }
        if self.popping == Popping::Known {
            self.graph.pop();
            self.popping = Popping::Done;
            observe(self);
        }
        self.popping = Popping::Not;
    }

    fn step_trampoline(&mut self, observer: &mut Option<Observer<'_>>) {
        let calls_function = self.pc >= FEXIT;
        let offset = self.pc & 0xff;
        if matches!(offset, 0x18 | 0x28) {
            if let Some(observe) = observer {
                observe(self, Stop::Handler);
            }
            (self.x9, self.lr) = (JUNK, self.pc + 4);
        }
        self.pc += 4;
        match offset {
            0x04 => self.push(16, self.fp, self.x9),
            0x08 | 0x10 => self.fp = self.sp,
            0x0c => self.push(16, self.fp, self.lr),
            0x14 => self.sp -= 64,
            0x1c => self.x10 = self.read(self.fp + 8),
            0x20 if calls_function => self.lr = self.pc + 4,
            0x24 if calls_function => self.pc = self.x10,
            0x2c => self.sp = self.fp,
            0x30 => (self.fp, self.lr) = (self.read(self.sp), self.read(self.sp + 8)),
            0x34 => {
                (self.fp, self.x9) = (self.read(self.sp + 16), self.read(self.sp + 24));
                self.sp += 32;
            }
            0x38 => (self.x10, self.lr) = (self.lr, self.x9),
            0x3c if calls_function => self.pc = self.lr,
            0x3c => self.pc = self.x10,
            _ => {}
        }
    }
}

pub(crate) fn strip(address: u64) -> u64 {
    address | 0xffff << 48
}

pub(crate) fn sign(address: u64, modifier: u64) -> u64 {
    let code = (modifier >> 4).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58;
    address & !(0x7f << 56) | code << 56
}
