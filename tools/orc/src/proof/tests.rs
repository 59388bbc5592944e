// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The proof on small functions, assembled by hand.
//!
//! A function is a list of words and its CFI a list of rows; a test says what the
//! table must hold. `words` has one constant for each instruction.

mod assembly;
mod assumptions;
mod beyond;
mod bounds;
mod compiled;
mod patched;
mod pointers;
mod refused;
mod return_only;
mod several;
mod signed;
mod ways_in;
mod words;

use orc::rule::{Cfa, CfaBase, Frame, Location, Rule, StackPointer, Undescribed, X29};

use crate::claim::{CfiRow, Claim, Claims};
use crate::text::{Function, Kind, TextSection};

use super::{Class, NoLeaf, Proof, Prover};

/// A claim without its place.
#[derive(Clone, Copy)]
struct Row {
    base: CfaBase,
    offset: u32,
    return_address: Location,
    caller_fp: Location,
}

/// CFA = SP + `offset`; nothing saved.
const fn sp(offset: u32) -> Row {
    Row {
        base: CfaBase::Sp,
        offset,
        return_address: Location::Register,
        caller_fp: Location::Register,
    }
}

/// CFA = x29 + `offset`; the record at x29 is saved.
const fn fp(offset: u32) -> Row {
    Row {
        base: CfaBase::Fp,
        ..sp(offset)
    }
    .record(offset)
}

impl Row {
    /// The caller's x29 and the return address are in a record at the CFA minus this.
    const fn record(self, offset: u32) -> Self {
        Self {
            return_address: Location::Slot(offset - 8),
            caller_fp: Location::Slot(offset),
            ..self
        }
    }

    fn claim(self, index: u64) -> Claim {
        Claim {
            start: 4 * index,
            cfa: Cfa {
                base: self.base,
                offset: self.offset,
            },
            return_address: self.return_address,
            caller_fp: self.caller_fp,
            signal_frame: false,
        }
    }

    /// The rule of this row, where x29 holds that, and SP may be anywhere if the CFA
    /// is relative to x29.
    fn with(self, x29: X29) -> Rule {
        self.with_sp(
            x29,
            match self.base {
                CfaBase::Sp => StackPointer::Exact,
                CfaBase::Fp => StackPointer::Anywhere,
            },
        )
    }

    /// The same where SP is from `least` to `most` bytes below the CFA.
    fn with_bounds(self, x29: X29, least: u32, most: Option<u32>) -> Rule {
        self.with_sp(x29, StackPointer::Below { least, most })
    }

    /// The same where SP is there, and the return address is not signed.
    fn with_sp(self, x29: X29, sp: StackPointer) -> Rule {
        Rule::Frame(Frame {
            cfa: Cfa {
                base: self.base,
                offset: self.offset,
            },
            sp,
            return_address: self.return_address,
            signed: match self.return_address {
                Location::Register => None,
                Location::Slot(_) => Some(false),
            },
            caller_fp: self.caller_fp,
            x29,
            patch_site: false,
            left_by_return: None,
        })
    }
}

/// The same rule, where the return address is signed, or not, or nobody knows.
fn signed(rule: Rule, signed: Option<bool>) -> Rule {
    match rule {
        Rule::Frame(frame) => Rule::Frame(Frame { signed, ..frame }),
        unreliable => unreliable,
    }
}

/// The row of a function's first instruction.
const ENTRY: Rule = Rule::Frame(Frame::ENTRY);
const NOT_PROVED: Rule = Rule::Unreliable(Undescribed::NotProved);
const NO_CFI: Rule = Rule::Unreliable(Undescribed::NoCfi);

/// A text section that is put together.
#[derive(Default)]
struct Builder {
    text: TextSection,
}

impl Builder {
    /// Adds a function with CFI; `rows` says from which instruction on a row holds.
    fn function(mut self, words: &[u32], rows: &[(u64, Row)]) -> Self {
        let first = self.next();
        let claims = rows.iter().map(|(at, row)| row.claim(first + at));
        let claims: Vec<Claim> = claims.collect();
        self.add(words, Kind::Func, Some(claims.into()));
        self
    }

    /// Adds a function of assembly, without CFI.
    fn assembly(mut self, words: &[u32]) -> Self {
        self.add(words, Kind::Func, None);
        self
    }

    /// Number of the instruction that comes next.
    fn next(&self) -> u64 {
        self.text.bytes.len() as u64 / 4
    }

    fn add(&mut self, words: &[u32], kind: Kind, claims: Option<Claims>) {
        let start = self.text.bytes.len() as u64;
        self.text
            .bytes
            .extend(words.iter().flat_map(|word| word.to_le_bytes()));
        self.text.functions.push(Function {
            name: format!("f{}", self.text.functions.len()),
            start,
            end: self.text.bytes.len() as u64,
            kind,
            claims,
        });
    }

    /// The proofs of all functions.
    fn prove(&self) -> Vec<Proof> {
        Prover::section(&self.text, || ()).1
    }

    /// The proof of the only function.
    fn proof(&self) -> Proof {
        let mut proofs = self.prove();
        assert_eq!(proofs.len(), 1);
        proofs.remove(0)
    }
}

/// The rules of a proof, by number of the instruction in the section.
fn rows(proof: &Proof) -> Vec<(u64, Rule)> {
    proof
        .rows
        .iter()
        .map(|(at, rule)| (at / 4, *rule))
        .collect()
}

/// What is found: number of the first instruction, how many, and the class.
fn findings(proof: &Proof) -> Vec<(u64, u64, Class)> {
    proof
        .findings
        .iter()
        .map(|f| (f.offset / 4, f.len / 4, f.class))
        .collect()
}
