// SPDX-License-Identifier: GPL-2.0 OR MIT

//! A guess at where a divergence comes from.
//!
//! The proof says what is wrong at an instruction; whoever is to mend it wants to
//! know where to look. The guess rests on what the instruction does at which facts
//! and claim part, and each comes with that evidence. Where it does not suffice,
//! the guess is [`Cause::Unknown`].

use orc::rule::CfaBase;

use crate::a64::insn::{Flow, Insn, Mode, Reg, Step};
use crate::proof::facts::Facts;
use crate::proof::value::Value;
use crate::proof::{implies, Class, Finding};
use crate::text::TextSection;

/// Instructions looked at before and after a finding.
const NEAR: u64 = 64;

/// Where a divergence comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Cause {
    /// Inline assembly changes SP, x29 or x30 and the compiler does not know.
    InlineAsm,
    /// The row comes too early while the frame is made.
    EarlyInPrologue,
    /// The row comes too late while the frame is made.
    LateInPrologue,
    /// The row comes too early while the frame is undone.
    EarlyInEpilogue,
    /// The row comes too late, or not at all, while the frame is undone.
    LateInEpilogue,
    /// One instruction moves SP and loads or stores, and the CFI misses its move.
    MergedWriteback,
    /// On this path the frame is not made, and the CFI has it there all the same.
    PathWithoutFrame,
    /// A return or a tail call with the frame still there, or not all undone.
    WrongExit,
    /// Control runs over the end: the compiler took it not to get there.
    UndefinedBehaviour,
    /// The proof does not go that far.
    CheckerLimit,
    /// The evidence does not suffice.
    Unknown,
}

impl Cause {
    /// A name for people and machines.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::InlineAsm => "inline-asm",
            Self::EarlyInPrologue => "early-cfi-in-prologue",
            Self::LateInPrologue => "late-cfi-in-prologue",
            Self::EarlyInEpilogue => "early-cfi-in-epilogue",
            Self::LateInEpilogue => "late-cfi-in-epilogue",
            Self::MergedWriteback => "merged-writeback",
            Self::PathWithoutFrame => "path-without-frame",
            Self::WrongExit => "wrong-exit",
            Self::UndefinedBehaviour => "undefined-behaviour",
            Self::CheckerLimit => "checker-limit",
            Self::Unknown => "unknown",
        }
    }
}

/// A cause, and what speaks for it.
pub type Guess = (Cause, String);

/// A finding and its surroundings.
#[derive(Clone, Copy, Debug)]
pub struct Scene<'s> {
    /// The section.
    pub text: &'s TextSection,
    /// What is known at each instruction of the function that is reached.
    pub facts: &'s [(u64, Facts)],
    /// What is wrong.
    pub finding: &'s Finding,
}

impl Scene<'_> {
    /// The likeliest cause.
    #[must_use]
    pub fn guess(&self) -> Guess {
        match self.finding.class {
            Class::BadCfi => limit("the CFI says what no row can hold"),
            Class::Unreached => limit("no direct branch leads there"),
            Class::NotExpressible => limit("the claim is true, and no table can say it"),
            Class::WrongReturn | Class::WrongTailCall => (
                Cause::WrongExit,
                format!("{} leaves the function", self.at(self.finding.offset)),
            ),
            Class::FallsThrough => (
                Cause::UndefinedBehaviour,
                format!("{} is the last instruction", self.at(self.finding.offset)),
            ),
            _ => self
                .inline_asm()
                .or_else(|| self.moved())
                .or_else(|| self.without_frame())
                .unwrap_or_else(|| {
                    let what = "no single instruction accounts for it";
                    (Cause::Unknown, what.into())
                }),
        }
    }

    /// What no compiler emits: a call of the next instruction, or the return
    /// address in a register other than x30 while x30 is not it.
    fn inline_asm(&self) -> Option<Guess> {
        let finding = self.finding;
        let range = finding.offset.checked_sub(4)?..finding.offset + finding.len;
        let calls_next = |offset: &u64| {
            let flow = self.insn(*offset).map(|insn| insn.flow);
            flow == Some(Flow::Call(4))
        };
        if let Some(offset) = range.step_by(4).find(calls_next) {
            let what = format!("{} calls the next instruction", self.at(offset));
            return Some((Cause::InlineAsm, what));
        }
        let facts = self.facts_at(finding.offset)?;
        let holds = |reg: &Reg| facts.get(*reg) == Value::ReturnAddress;
        let parked = (0..30).map(Reg::or_sp).find(holds)?;
        (!holds(&Reg::X30)).then(|| {
            let what = format!("the return address is in {parked} meanwhile");
            (Cause::InlineAsm, what)
        })
    }

    /// The claim was true before an instruction that makes or undoes the frame, or
    /// will be after one; or such an instruction next to it moves SP as well.
    fn moved(&self) -> Option<Guess> {
        let first = self.finding.offset;
        let last = first.checked_add(self.finding.len)?.checked_sub(4)?;
        let late = self.last_true().and_then(|pivot| {
            let cause = self.movement(pivot)?.late();
            Some(self.by(pivot, cause, "the row is that before"))
        });
        let early = || {
            let pivot = self.next_true()?.checked_sub(4)?;
            let cause = self.movement(pivot)?.early();
            Some(self.by(pivot, cause, "the row is that after"))
        };
        let merged = || {
            let pivots = [first.checked_sub(4)?, last];
            let pivot = pivots
                .into_iter()
                .find(|pivot| self.misses_writeback(*pivot))?;
            Some(self.merged(pivot))
        };
        late.or_else(early).or_else(merged)
    }

    /// The guess that the instruction at `pivot` accounts for it. Where that moves SP
    /// beside an access that has nothing to do with the frame record, a compiler has
    /// merged two instructions, and left the CFI where the second one was.
    fn by(&self, pivot: u64, cause: Cause, what: &str) -> Guess {
        match self.misses_writeback(pivot) && !self.accesses_record(pivot) {
            true => self.merged(pivot),
            false => (cause, format!("{what} {}", self.at(pivot))),
        }
    }

    fn merged(&self, pivot: u64) -> Guess {
        let what = format!("{} moves SP as well", self.at(pivot));
        (Cause::MergedWriteback, what)
    }

    fn accesses_record(&self, pivot: u64) -> bool {
        match self.insn(pivot).map(|insn| insn.step) {
            Some(Step::Access(access)) => {
                let is_frame = |reg: &Reg| [Reg::X29, Reg::X30].contains(reg);
                access.data.iter().flatten().any(is_frame)
            }
            _ => false,
        }
    }

    /// The last instruction before the finding with the same claim, and at which it is
    /// true, with none between that is not reached.
    fn last_true(&self) -> Option<u64> {
        let first = self.finding.offset;
        self.nearest_true((1..=NEAR).map_while(|number| first.checked_sub(4 * number)))
    }

    /// The same after it.
    fn next_true(&self) -> Option<u64> {
        let end = self.finding.offset.checked_add(self.finding.len)?;
        self.nearest_true((0..NEAR).map_while(|number| end.checked_add(4 * number)))
    }

    fn nearest_true(&self, offsets: impl Iterator<Item = u64>) -> Option<u64> {
        let claim = self.finding.claim.as_ref()?;
        let function = self.text.function_at(self.finding.offset)?;
        offsets
            .take_while(|offset| function.claim_at(*offset) == Some(claim))
            .map_while(|offset| Some((offset, self.facts_at(offset)?)))
            .find(|(_, facts)| implies(facts, claim).is_ok())
            .map(|(offset, _)| offset)
    }

    /// What the instruction at `pivot` does to the frame.
    fn movement(&self, pivot: u64) -> Option<Movement> {
        let next = self.insn(pivot)?.flow == Flow::Next;
        let (before, after) = (self.facts_at(pivot)?, self.facts_at(pivot + 4)?);
        next.then(|| Movement::between(before, after))?
    }

    /// Whether the instruction at `pivot` moves SP beside its access, and the claim's
    /// CFA is off by just that.
    fn misses_writeback(&self, pivot: u64) -> bool {
        let Some(Step::Access(access)) = self.insn(pivot).map(|insn| insn.step) else {
            return false;
        };
        let (Mode::PreIndex(by) | Mode::PostIndex(by)) = access.mode else {
            return false;
        };
        let facts = self.facts_at(self.finding.offset);
        let sp = facts.map(|facts| facts.get(Reg::SP));
        let (Some(claim), Some(Value::Cfa(sp))) = (&self.finding.claim, sp) else {
            return false;
        };
        let off_by = i64::from(claim.cfa.offset) + i64::from(sp);
        access.base == Reg::SP && claim.cfa.base == CfaBase::Sp && off_by.abs() == by.abs()
    }

    /// Nothing has been changed since the entry, and the row speaks of a frame.
    fn without_frame(&self) -> Option<Guess> {
        let facts = self.facts_at(self.finding.offset)?;
        let what = "SP, x29 and x30 are as at the entry";
        facts
            .is_entry_state(Reg::X30)
            .then(|| (Cause::PathWithoutFrame, what.into()))
    }

    fn insn(&self, offset: u64) -> Option<Insn> {
        self.text.word(offset).map(Insn::decode)
    }

    fn facts_at(&self, offset: u64) -> Option<&Facts> {
        let found = self.facts.binary_search_by_key(&offset, |(at, _)| *at);
        self.facts.get(found.ok()?).map(|(_, facts)| facts)
    }

    /// The name of an instruction within its function.
    fn at(&self, offset: u64) -> String {
        let function = self.text.function_at(offset);
        format!("+{:#x}", offset - function.map_or(0, |f| f.start))
    }
}

fn limit(why: &str) -> Guess {
    (Cause::CheckerLimit, why.into())
}

/// What an instruction does to the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Movement {
    Makes,
    Undoes,
}

impl Movement {
    const fn early(self) -> Cause {
        match self {
            Self::Makes => Cause::EarlyInPrologue,
            Self::Undoes => Cause::EarlyInEpilogue,
        }
    }

    const fn late(self) -> Cause {
        match self {
            Self::Makes => Cause::LateInPrologue,
            Self::Undoes => Cause::LateInEpilogue,
        }
    }

    fn between(before: &Facts, after: &Facts) -> Option<Self> {
        Self::of_sp(before, after)
            .or_else(|| Self::of(before, after, Reg::X29, Value::CallerFp))
            .or_else(|| Self::of(before, after, Reg::X30, Value::ReturnAddress))
            .or_else(|| Self::of_slots(before, after))
    }

    fn of_sp(before: &Facts, after: &Facts) -> Option<Self> {
        match (before.get(Reg::SP), after.get(Reg::SP)) {
            (Value::Cfa(from), Value::Cfa(to)) if to < from => Some(Self::Makes),
            (Value::Cfa(from), Value::Cfa(to)) if to > from => Some(Self::Undoes),
            _ => None,
        }
    }

    /// A register that had its caller's value takes another, or the other way round.
    fn of(before: &Facts, after: &Facts, reg: Reg, callers: Value) -> Option<Self> {
        match (before.get(reg) == callers, after.get(reg) == callers) {
            (true, false) => Some(Self::Makes),
            (false, true) => Some(Self::Undoes),
            _ => None,
        }
    }

    fn of_slots(before: &Facts, after: &Facts) -> Option<Self> {
        let saved = |facts: &Facts| {
            let slots = [Value::CallerFp, Value::ReturnAddress];
            slots
                .map(|value| facts.slots_with(value).count())
                .iter()
                .sum::<usize>()
        };
        (saved(after) > saved(before)).then_some(Self::Makes)
    }
}
