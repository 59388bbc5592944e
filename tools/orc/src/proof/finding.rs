// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What the proof of a function comes to: rows, counts, and a finding for each
//! run of instructions that it could not prove.

use std::fmt;
use std::ops::Range;

use orc::rule::{Frame, Rule};
use serde::Serialize;

use crate::claim::Claim;

use super::no_leaf::NoLeaf;

/// The result for one function.
#[derive(Clone, Debug, Default)]
pub struct Proof {
    /// What the table says from each offset on, sorted; the first is the start of
    /// the function. No two neighbours are equal.
    pub rows: Vec<(u64, Rule)>,
    /// Runs of proved instructions that direct control flow from the entry does
    /// not reach (see [`Counts::assumed`]), in the order of the text.
    pub assumed: Vec<Range<u64>>,
    /// What is not proved and should be, in the order of the text.
    pub findings: Vec<Finding>,
    /// How much was proved.
    pub counts: Counts,
    /// Why a function without CFI got no row.
    pub no_leaf: Option<NoLeaf>,
    /// The entry of a function that is left by its return alone, by what is in it:
    /// see [`super::return_only`].
    pub return_only: Option<u64>,
}

/// How much of a function, or of several, was proved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Instructions that CFI describes.
    pub instructions: u64,
    /// Of these, those whose row is proved.
    pub proved: u64,
    /// Of the proved ones, those that direct control flow from the entry does not
    /// reach: they follow a block that was entered with its own claim.
    pub assumed: u64,
    /// Those whose row is not proved. `instructions` is the sum of this and `proved`.
    pub unproved: u64,
    /// Of the unproved ones, those whose row is true, but no table can hold it.
    pub inexpressible: u64,
    /// Instructions without CFI that are proved to be in a leaf.
    pub leaf: u64,
    /// Instructions without CFI that get no row.
    pub undescribed: u64,
    /// A1: calls after which the proof goes on, if their callee may return.
    pub calls: u64,
    /// A2: places where functions are entered as AAPCS64 says.
    pub entries: u64,
    /// A3: stores through pointers that are not made of SP.
    pub stores_elsewhere: u64,
    /// A4: stores into local arrays.
    pub stores_in_arrays: u64,
    /// A5: moves of SP by an amount that only run time tells.
    pub sp_by_run_time: u64,
    /// A6: blocks entered with their own claim.
    pub entered_by_claim: u64,
    /// A7: calls and traps taken not to return, because their row does not hold after
    /// them.
    pub no_return: u64,
    /// A7: calls and traps at the end of a function taken not to return, because nothing
    /// is known of what is called.
    pub calls_at_end: u64,
    /// A8: conditional branches at the end of a function taken to be always taken,
    /// because what follows does not expect their state.
    pub dead_ends: u64,
    /// A9: patch sites of which only the kernel knows what it writes there.
    pub opaque_sites: u64,
    /// A10: ways through what a linker has put out of line.
    pub veneers: u64,
    /// A11: calls over which a register keeps what AAPCS64 does not say that it keeps,
    /// because the CFI says so before and after them.
    pub kept_over_calls: u64,
    /// A12: functions taken to be entered by branches of their file alone, as their first
    /// row is not that of an entry.
    pub parts: u64,
    /// A13: moves of SP to an address from memory, taken for one of another stack.
    pub other_stacks: u64,
}

impl Proof {
    /// Whether the instruction at this offset is proved on an assumption.
    #[must_use]
    pub fn is_assumed(&self, offset: u64) -> bool {
        self.assumed.iter().any(|run| run.contains(&offset))
    }
}

impl Counts {
    /// Adds those of another function.
    pub fn add(&mut self, other: &Self) {
        self.instructions += other.instructions;
        self.proved += other.proved;
        self.assumed += other.assumed;
        self.unproved += other.unproved;
        self.inexpressible += other.inexpressible;
        self.leaf += other.leaf;
        self.undescribed += other.undescribed;
        self.calls += other.calls;
        self.entries += other.entries;
        self.stores_elsewhere += other.stores_elsewhere;
        self.stores_in_arrays += other.stores_in_arrays;
        self.sp_by_run_time += other.sp_by_run_time;
        self.veneers += other.veneers;
        self.parts += other.parts;
        self.other_stacks += other.other_stacks;
        self.entered_by_claim += other.entered_by_claim;
        self.no_return += other.no_return;
        self.calls_at_end += other.calls_at_end;
        self.dead_ends += other.dead_ends;
        self.opaque_sites += other.opaque_sites;
        self.kept_over_calls += other.kept_over_calls;
    }
}

/// A run of instructions of one function whose claim is not proved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// First byte, from the start of the section.
    pub offset: u64,
    /// Bytes affected.
    pub len: u64,
    /// What the CFI claims there; `None` for an instruction that leaves a
    /// function without CFI.
    pub claim: Option<Claim>,
    /// What is known there, in words; empty for an instruction never reached.
    pub facts: String,
    /// The row that the facts imply, if they imply one.
    pub should: Option<Frame>,
    /// What is wrong.
    pub class: Class,
}

/// What is wrong at a finding, and where to look for the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// The facts imply the row before: the CFI follows the change too early.
    EarlyRow,
    /// The facts imply the row after, or the CFA is said to come from x29 when that
    /// is the caller's again: the CFI follows the change too late.
    LateRow,
    /// A call has overwritten x30 where the return address is in no other place.
    CallWithoutFrame,
    /// The CFA is another one than the claim says.
    WrongCfa,
    /// The return address is not where the claim says.
    WrongReturnAddress,
    /// The caller's x29 is not where the claim says.
    WrongCallerFp,
    /// The facts imply the claim, and no table can say it.
    NotExpressible,
    /// A return with SP, x29 or the return address not those of the entry.
    WrongReturn,
    /// A branch to another function in a state that it does not expect.
    WrongTailCall,
    /// Control runs on into what is not part of the function.
    FallsThrough,
    /// The CFI says something that no claim can hold; why is in the facts.
    BadCfi,
    /// No direct branch reaches it, no proved instruction has the same row, or an
    /// indirect branch of the function disagrees with its row.
    Unreached,
}

impl Class {
    /// A word or two for people and machines.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::EarlyRow => "early-row",
            Self::LateRow => "late-row",
            Self::CallWithoutFrame => "call-without-frame",
            Self::WrongCfa => "wrong-cfa",
            Self::WrongReturnAddress => "wrong-return-address",
            Self::WrongCallerFp => "wrong-caller-fp",
            Self::NotExpressible => "not-expressible",
            Self::WrongReturn => "wrong-return",
            Self::WrongTailCall => "wrong-tail-call",
            Self::FallsThrough => "falls-through",
            Self::BadCfi => "bad-cfi",
            Self::Unreached => "unreached",
        }
    }

    /// What is wrong, in a sentence.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::EarlyRow => {
                "the row describes the state after an instruction that is not executed yet"
            }
            Self::LateRow => {
                "the row describes the state before an instruction that is executed already"
            }
            Self::CallWithoutFrame => {
                "the row says that x30 holds the return address, and it does not"
            }
            Self::WrongCfa => "the CFA is not where the row says",
            Self::WrongReturnAddress => "the return address is not where the row says",
            Self::WrongCallerFp => "the caller's x29 is not where the row says",
            Self::NotExpressible => "the row is true, and no ORC table can say it",
            Self::WrongReturn => {
                "a return with SP, x29 or the return address not those of the entry"
            }
            Self::WrongTailCall => {
                "a branch to another function in a state that it does not expect"
            }
            Self::FallsThrough => "control runs over the end of the function",
            Self::BadCfi => "the CFI says what no row can hold",
            Self::Unreached => {
                "no direct branch leads there, and no indirect one agrees with the row"
            }
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
