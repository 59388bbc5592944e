// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The proof of all functions of a text section, and of the branches between them.
//!
//! Each function is proved by itself, as if entered only at its start. Branches
//! into the middle of another (a cold part and its hot part, shared tails in
//! assembly) are gathered, and their facts become further entries of the function
//! they lead to, which is then proved again, until nothing changes.
//!
//! A function that is entered at its start is taken to be entered as AAPCS64 says.
//! A branch that does otherwise is a finding where it is.

use std::collections::BTreeMap;

use rayon::prelude::*;

use crate::text::{Function, Kind, TextSection};

use super::body::Body;
use super::facts::Facts;
use super::finding::Proof;
use super::function::{self, Analysis};
use super::points::Point;
use super::returns::Returns;
use super::{judge, leaf};
use crate::a64::insn::Reg;

/// More rounds than branches between functions ever took. A function whose
/// entries still change after them is not proved.
const ROUNDS: usize = 16;

/// Ranges that grow from function to function are given up after this many.
const ROUNDS_WITH_RANGES: usize = 4;

/// A way into a function other than its start: where, and with which facts.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entrance {
    /// Offset in the section.
    pub to: u64,
    pub facts: Facts,
}

/// Proves functions of one text section.
#[derive(Debug)]
pub struct Prover<'a> {
    text: &'a TextSection,
    /// By function, in the section's order: ways in from other functions.
    entrances: Vec<Vec<Entrance>>,
    /// By function: whether its start is entered as AAPCS64 says.
    starts: Vec<bool>,
    returns: Returns,
}

impl<'a> Prover<'a> {
    /// For a section between whose functions there are no branches, or where they
    /// don't matter. [`Prover::section`] finds them.
    #[must_use]
    pub fn new(text: &'a TextSection) -> Self {
        Self::knowing(text, Returns::default())
    }

    /// The same, where it is known which functions of the section return.
    #[must_use]
    pub fn knowing(text: &'a TextSection, returns: Returns) -> Self {
        Self {
            text,
            entrances: vec![Vec::new(); text.functions.len()],
            starts: text.functions.iter().map(is_entered_at_start).collect(),
            returns,
        }
    }

    /// Which functions of the section may return.
    pub(super) fn returns(&self) -> &Returns {
        &self.returns
    }

    /// Proves every function of a section, in parallel; the proofs are in the
    /// section's order. `done` is called once for each function.
    #[must_use]
    pub fn section(text: &'a TextSection, done: impl Fn() + Sync) -> (Self, Vec<Proof>) {
        let mut prover = Self::knowing(text, Returns::of(text));
        let mut results: Vec<Analysis> = (0..text.functions.len())
            .into_par_iter()
            .map(|index| {
                let analysis = prover.analyze(index);
                done();
                analysis
            })
            .collect();
        for round in 0.. {
            let changed = prover.gather(&results, round);
            if changed.is_empty() {
                break;
            }
            let again: Vec<(usize, Analysis)> = changed
                .into_par_iter()
                .map(|index| match round < ROUNDS {
                    true => (index, prover.analyze(index)),
                    false => (index, prover.refuse(index)),
                })
                .collect();
            // It ends: what has been refused leads to the same places for good.
            for (index, analysis) in again {
                results[index] = analysis;
            }
        }
        let proofs = results.into_iter().map(|analysis| analysis.proof).collect();
        (prover, proofs)
    }

    /// Proves one function, number `index` of the section.
    #[must_use]
    pub fn function(&self, index: usize) -> Proof {
        self.analyze(index).proof
    }

    /// What is known at each instruction of function number `index` that control
    /// reaches: offset and facts, in the order of the text. For explanations, and
    /// for tests that judge another claim by the same facts.
    #[must_use]
    pub fn facts(&self, index: usize) -> Vec<(u64, Facts)> {
        let function = &self.text.functions[index];
        function::facts(self, self.text, function, &self.entrances[index])
    }

    /// Each instruction of function number `index`, reached or not, and where
    /// control goes from there.
    #[must_use]
    pub fn points(&self, index: usize) -> Vec<Point> {
        let function = &self.text.functions[index];
        function::points(self, self.text, function, &self.entrances[index])
    }

    fn analyze(&self, index: usize) -> Analysis {
        let function = &self.text.functions[index];
        let entrances = &self.entrances[index];
        match &function.claims {
            Some(_) => function::analyze(self, self.text, function, entrances),
            None => leaf::analyze(self, self.text, function, entrances),
        }
    }

    fn refuse(&self, index: usize) -> Analysis {
        let function = &self.text.functions[index];
        let body = Body::new(self.text, function, &self.entrances[index], &self.returns);
        function::refuse(self, &body)
    }

    /// Hands the ways out of each function to the function they lead to; gives the
    /// functions for which they changed.
    fn gather(&mut self, results: &[Analysis], round: usize) -> Vec<usize> {
        let mut gathered: BTreeMap<usize, Vec<Entrance>> = BTreeMap::new();
        for entrance in results.iter().flat_map(|analysis| &analysis.escapes) {
            if let Some(index) = self.function_at(entrance.to) {
                let mut entrance = entrance.clone();
                if round >= ROUNDS_WITH_RANGES {
                    entrance.facts.forget_ranges();
                }
                gathered.entry(index).or_default().push(entrance);
            }
        }
        let mut changed = Vec::new();
        for (index, old) in self.entrances.iter_mut().enumerate() {
            let new = gathered.remove(&index).unwrap_or_default();
            if *old != new {
                *old = new;
                changed.push(index);
            }
        }
        changed
    }

    /// The number of the function that an offset is in.
    #[must_use]
    pub fn function_at(&self, offset: u64) -> Option<usize> {
        let functions = &self.text.functions;
        let index = functions
            .partition_point(|f| f.start <= offset)
            .checked_sub(1)?;
        (offset < functions[index].end).then_some(index)
    }

    /// Judges running on over the end of a function, at `end`.
    pub(super) fn falls_to(&self, end: u64, facts: &Facts) -> Escape {
        let is_function = self.function_at(end).is_some();
        let escape = self.escape(Some(end), facts);
        Escape {
            is_allowed: escape.is_allowed && is_function,
            ..escape
        }
    }

    /// The way into the function at `to`, with these facts; none when it is the
    /// plain entry, or what is entered has no row that depends on it.
    pub(super) fn entrance(&self, to: u64, facts: &Facts) -> Option<Entrance> {
        self.text.functions[self.function_at(to)?].claim_at(to)?;
        (!self.is_plain_entry(to)).then(|| Entrance {
            to,
            facts: facts.clone(),
        })
    }

    /// Whether a function starts at `to` that is entered as AAPCS64 says.
    pub(super) fn is_plain_entry(&self, to: u64) -> bool {
        let function = self
            .function_at(to)
            .map(|index| &self.text.functions[index]);
        function.is_some_and(|function| {
            to == function.start && function.claim_at(to).is_none_or(judge::is_entry)
        })
    }

    /// Judges a branch out of a function.
    pub(super) fn escape(&self, to: Option<u64>, facts: &Facts) -> Escape {
        let is_entry_state = facts.is_entry_state(Reg::X30);
        let target = to.and_then(|to| Some((to, self.function_at(to)?)));
        let Some((to, index)) = target else {
            return Escape {
                is_allowed: is_entry_state,
                entrance: None,
            };
        };
        let function = &self.text.functions[index];
        if has_no_row(function) {
            return Escape {
                is_allowed: true,
                entrance: None,
            };
        }
        let claim = function.claim_at(to);
        let is_plain_entry = to == function.start && self.starts[index];
        let is_allowed = match claim {
            Some(claim) if !is_plain_entry => judge::implies(facts, claim).is_ok(),
            _ => is_entry_state,
        };
        let is_no_part = to == function.start && !is_allowed;
        Escape {
            is_allowed,
            entrance: (!is_plain_entry && !is_no_part).then(|| Entrance {
                to,
                facts: facts.clone(),
            }),
        }
    }
}

/// What becomes of a branch out of a function.
pub(super) struct Escape {
    /// Whether what it leads to may be entered in this state.
    pub is_allowed: bool,
    /// What the function it leads to must know.
    pub entrance: Option<Entrance>,
}

/// Whether a function is entered at its start as AAPCS64 says; not so a part of
/// another one.
fn is_entered_at_start(function: &Function) -> bool {
    let claim = function.claim_at(function.start);
    claim.is_none_or(judge::is_entry)
}

/// Whether a function has no row, whatever its instructions are. Nothing then
/// follows from how it is entered, so it may be entered in any state. (Where it
/// leads to counts as [`Facts::NONE`], see `unproved`.)
fn has_no_row(function: &Function) -> bool {
    function.claims.is_none() && function.kind == Kind::Code
}
