// SPDX-License-Identifier: GPL-2.0 OR MIT

//! One path through a function, and whether each row on it is true.

use fARM64::{FlowControl, Mnemonic, Operand, Register};
use orc::rule::{CfaBase, Frame, Location, StackPointer, X29};

use crate::code::{Code, Op, Place};
use crate::execute::{execute, scramble_written};
use crate::memory::{general, Machine};

/// A path is not followed further than this.
const STEPS: usize = 1500;
/// Once it has been where it should, it turns to the exit after so many.
const WANDER: usize = 60;

/// What was seen on one path.
#[derive(Debug, Default)]
pub struct Path {
    /// By instruction: whether the path came by.
    pub visited: Vec<bool>,
    /// The first instruction with a row that is false, and what of it.
    pub wrong: Option<(usize, &'static str)>,
    /// Whether the CFI was seen to be false somewhere, proved or not.
    pub claim_is_false: bool,
    /// Whether it came to an end, and not to where paths are cut off.
    pub is_whole: bool,
}

/// What paths through one function are compared with.
pub struct Walk<'a> {
    pub code: &'a Code,
    /// What is proved, by instruction.
    pub rows: &'a [Option<Frame>],
    /// What the CFI says, by instruction.
    pub claims: &'a [Option<Frame>],
    /// By instruction: how far it is to where the path should go.
    pub goal: &'a [u32],
    /// By instruction: how far it is to a way out of the function.
    pub exit: &'a [u32],
}

struct Walker<'w> {
    walk: &'w Walk<'w>,
    machine: Machine,
    path: Path,
    patched: Vec<Option<Op>>,
    /// Steps since the goal was met.
    since: Option<usize>,
    steers: bool,
}

impl Walk<'_> {
    /// Runs one path from the entry.
    pub fn path(&self, seed: u64) -> Path {
        let mut walker = Walker {
            walk: self,
            machine: Machine::entry(seed),
            path: Path {
                visited: vec![false; self.code.len()],
                ..Path::default()
            },
            patched: vec![None; self.code.len()],
            since: None,
            steers: true,
        };
        walker.patch();
        walker.run();
        walker.path
    }
}

impl Walker<'_> {
    /// Chooses what the kernel has patched: mostly what leads to the goal.
    fn patch(&mut self) {
        for patch in &self.walk.code.patches {
            let place = patch.ops.first().map(|op| op.place);
            let leads = match place {
                Some(Place::Inside(to)) => self.is_nearer(to, patch.first + 1),
                _ => self.machine.random.one_in(2),
            };
            if leads != self.machine.random.one_in(8) {
                for (slot, op) in self.patched[patch.first..].iter_mut().zip(&patch.ops) {
                    *slot = Some(*op);
                }
            }
        }
    }

    fn run(&mut self) {
        let mut index = 0;
        for _ in 0..STEPS {
            if index >= self.walk.code.len() || self.walk.code.data[index] {
                self.path.is_whole = true;
                return;
            }
            self.look(index);
            match self.step(index) {
                Some(next) => index = next,
                None => {
                    self.path.is_whole = true;
                    return;
                }
            }
        }
    }

    /// Compares what is said of an instruction with the machine.
    fn look(&mut self, index: usize) {
        self.path.visited[index] = true;
        match self.since {
            None if self.walk.goal[index] == 0 => self.since = Some(0),
            since => self.since = since.map(|steps| steps + 1),
        }
        self.steers = match self.since {
            None => !self.machine.random.one_in(16),
            Some(steps) => steps > WANDER,
        };
        if let Some(row) = &self.walk.rows[index] {
            if let Err(what) = is_true(&self.machine, row, false) {
                self.wrong(index, what);
            }
        }
        if let Some(claim) = &self.walk.claims[index] {
            self.path.claim_is_false |= is_true(&self.machine, claim, true).is_err();
        }
    }

    fn wrong(&mut self, index: usize, what: &'static str) {
        if self.walk.rows[index].is_some() && self.path.wrong.is_none() {
            self.path.wrong = Some((index, what));
        }
    }

    /// Executes an instruction; where control goes, if it stays in the function.
    fn step(&mut self, index: usize) -> Option<usize> {
        let op = self.patched[index].unwrap_or(self.walk.code.ops[index]);
        if let Some(to) = self.fault(index, &op) {
            return to;
        }
        if op.insn.is_invalid() {
            return None;
        }
        if op.flow == FlowControl::Next {
            execute(&op.insn, &mut self.machine);
            if index + 1 == self.walk.code.len() && !self.walk.code.runs_into_function {
                self.wrong(index, "runs into what is no function");
            }
            return Some(index + 1);
        }
        self.branch(index, &op)
    }

    /// Whether an access faults that may; where control goes then.
    fn fault(&mut self, index: usize, op: &Op) -> Option<Option<usize>> {
        let (place, written) = *self.walk.code.fixups.get(&index)?;
        let goes = match place {
            Place::Inside(to) if self.steers => self.is_nearer(to, index + 1),
            _ => self.machine.random.one_in(3),
        };
        if !goes {
            return None;
        }
        scramble_written(&op.insn, &mut self.machine);
        let written = (0..31).filter(|number| (written >> number) & 1 == 1);
        written.for_each(|number| self.machine.scramble(number));
        match place {
            Place::Inside(to) => Some(Some(to)),
            _ => Some(None),
        }
    }

    fn branch(&mut self, index: usize, op: &Op) -> Option<usize> {
        match op.flow {
            FlowControl::ConditionalBranch => {
                let taken = match op.place {
                    Place::Inside(to) if self.steers => self.is_nearer(to, index + 1),
                    _ => self.machine.random.one_in(2),
                };
                match taken {
                    true => self.go(index, op),
                    false => Some(index + 1),
                }
            }
            FlowControl::UnconditionalBranch => self.go(index, op),
            FlowControl::Call if op.place == Place::Inside(index + 1) => {
                self.machine.scramble(30);
                Some(index + 1)
            }
            FlowControl::Call | FlowControl::IndirectCall => {
                self.machine.call();
                self.walk.code.returns(index).then_some(index + 1)
            }
            FlowControl::Exception => match op.insn.mnemonic() {
                Mnemonic::Svc | Mnemonic::Hvc | Mnemonic::Smc => {
                    self.machine.firmware();
                    Some(index + 1)
                }
                Mnemonic::Brk => self.walk.code.returns(index).then_some(index + 1),
                _ => None,
            },
            FlowControl::IndirectBranch => self.jump(index),
            FlowControl::Return => {
                self.give_back(index, &op.insn);
                None
            }
            FlowControl::Next => None,
        }
    }

    /// A direct branch that is taken.
    fn go(&mut self, index: usize, op: &Op) -> Option<usize> {
        match op.place {
            Place::Inside(to) => Some(to),
            Place::Entry(_) => {
                if !self.machine.is_entry_state(30) {
                    self.wrong(index, "tail call in another state than at the entry");
                }
                None
            }
            Place::Other => None,
        }
    }

    /// An indirect branch: a tail call, or through a jump table.
    fn jump(&mut self, index: usize) -> Option<usize> {
        let targets = self.walk.code.targets(index);
        if targets.is_empty() || self.machine.is_entry_state(30) && self.machine.random.one_in(2) {
            return None;
        }
        let nearest = targets.iter().min_by_key(|to| self.distance(**to));
        match nearest {
            Some(to) if self.steers && self.distance(*to) != u32::MAX => Some(*to),
            _ => Some(self.machine.random.pick(&targets)),
        }
    }

    fn give_back(&mut self, index: usize, insn: &fARM64::Instruction) {
        let target = match (insn.mnemonic(), insn.op(0)) {
            (Mnemonic::Eret | Mnemonic::Eretaa | Mnemonic::Eretab | Mnemonic::Drps, _) => return,
            (
                Mnemonic::Ret,
                Operand::Reg {
                    reg: Register::Xzr, ..
                },
            ) => return,
            (Mnemonic::Ret, Operand::Reg { reg, .. }) => general(reg),
            _ => Some(30),
        };
        if !target.is_some_and(|target| self.machine.is_entry_state(target)) {
            self.wrong(index, "returns in another state than at the entry");
        }
    }

    /// How far it is to where the path should go now.
    fn distance(&self, index: usize) -> u32 {
        let distances = match self.since {
            None => self.walk.goal,
            Some(_) => self.walk.exit,
        };
        distances.get(index).copied().unwrap_or(u32::MAX)
    }

    fn is_nearer(&mut self, one: usize, other: usize) -> bool {
        match self.distance(one).cmp(&self.distance(other)) {
            std::cmp::Ordering::Less => true,
            std::cmp::Ordering::Greater => false,
            std::cmp::Ordering::Equal => self.machine.random.one_in(2),
        }
    }
}

/// Whether SP may be that far below the CFA. The machine has no second stack.
fn is_within(sp: StackPointer, bytes: u64) -> bool {
    match sp {
        StackPointer::Exact | StackPointer::OtherStack | StackPointer::Anywhere => true,
        StackPointer::Below { least, most } => {
            bytes >= least.into() && most.is_none_or(|most| bytes <= most.into())
        }
    }
}

/// Whether a row is true of the machine; or what of it is not.
///
/// `is_claim`: of what the compiler says, slots below SP are not held against it.
fn is_true(machine: &Machine, row: &Frame, is_claim: bool) -> Result<(), &'static str> {
    let base = match row.cfa.base {
        CfaBase::Sp => machine.sp(),
        CfaBase::Fp => machine.get(29).0,
    };
    let cfa = base.wrapping_add(row.cfa.offset.into());
    if cfa != machine.cfa {
        return Err("CFA");
    }
    if !is_within(row.sp, cfa.wrapping_sub(machine.sp())) {
        return Err("SP");
    }
    let found = |location, register: usize| match location {
        Location::Register => Some(machine.get(register)),
        Location::Slot(below) => machine.slot(cfa.wrapping_sub(below.into())),
    };
    let is_popped = |location| match location {
        Location::Slot(below) => is_claim && cfa.wrapping_sub(below.into()) < machine.sp(),
        Location::Register => false,
    };
    let returned = found(row.return_address, 30).filter(|(_, tainted)| !tainted);
    let returned = returned.filter(|(value, _)| machine.is_return_address(*value));
    match returned {
        Some((value, _)) if row.signed.is_some() && machine.is_signed(value) != row.signed => {
            return Err("signed");
        }
        None if !is_popped(row.return_address) => return Err("return address"),
        _ => {}
    }
    let is_found = found(row.caller_fp, 29) == Some((machine.caller_fp, false));
    if !is_found && !is_popped(row.caller_fp) {
        return Err("caller's x29");
    }
    let x29 = machine.get(29);
    let is_predicted = match row.x29 {
        _ if is_claim => true,
        X29::Other => true,
        X29::Caller => x29 == (machine.caller_fp, false),
        X29::Record(below) => x29.0 == cfa.wrapping_sub(below.into()),
    };
    match is_predicted {
        true => Ok(()),
        false => Err("x29"),
    }
}
