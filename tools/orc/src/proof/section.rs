// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The proof of all functions of a file, and of the branches between them.
//!
//! Each function is proved by itself, as if entered only at its start. Branches
//! into the middle of another (a cold part and its hot part, shared tails in
//! assembly) are gathered, and their facts become further entries of the function
//! they lead to, which is then proved again, until nothing changes.
//!
//! A function that is entered at its start is taken to be entered as AAPCS64 says.
//! A branch that is known to do otherwise is a finding where it is, and one more way
//! in.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;

use crate::claim::CfiRow;
use crate::graph::{At, Body, Graph, Place, Returns};
use crate::text::{Function, Kind, TextSection};

use super::exits::ways_out;
use super::facts::Facts;
use super::finding::Proof;
use super::function::{self, Analysis};
use super::points::Point;
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
    pub to: At,
    pub facts: Facts,
}

/// Proves the functions of a file.
#[derive(Debug)]
pub struct Prover<'a> {
    graph: Graph<'a>,
    /// By function, in the order of the graph: ways in from other functions.
    entrances: Vec<Vec<Entrance>>,
    /// By function: whether its start is entered as AAPCS64 says.
    starts: Vec<bool>,
    returns: Returns,
}

impl<'a> Prover<'a> {
    /// For a section between whose functions there are no branches, or where they
    /// don't matter. [`Prover::file`] finds them.
    #[must_use]
    pub fn new(text: &'a TextSection) -> Self {
        Self::knowing(text, Returns::default())
    }

    /// The same, where it is known which functions of the section return.
    #[must_use]
    pub fn knowing(text: &'a TextSection, returns: Returns) -> Self {
        Self::with(Graph::new(vec![text]), returns)
    }

    fn with(graph: Graph<'a>, returns: Returns) -> Self {
        let functions = 0..graph.functions();
        let starts = functions.map(|number| {
            let (_, function) = graph.function(number);
            is_entered_at_start(function) && !graph.is_continued(number)
        });
        let mut prover = Self {
            entrances: vec![Vec::new(); graph.functions()],
            starts: starts.collect(),
            graph,
            returns,
        };
        for (number, entrance) in prover.strays() {
            prover.entrances[number].push(entrance);
        }
        prover
    }

    /// Proves a file with one text section; the proofs are in its order. `done` is
    /// called once for each function.
    #[must_use]
    pub fn section(text: &'a TextSection, done: impl Fn() + Sync) -> (Self, Vec<Proof>) {
        let (prover, mut proofs) = Self::file(vec![text], Vec::new(), done);
        let first = proofs.pop().unwrap_or_default();
        (prover, first)
    }

    /// Proves every function of some text sections of a file, in parallel; the proofs
    /// are in the order of sections and functions. `done` is called once for each
    /// function. The `others` are the rest of the file's text, which may lead into
    /// these; of them no more is proved than what that needs.
    #[must_use]
    pub fn file(
        texts: Vec<&'a TextSection>,
        others: Vec<&'a TextSection>,
        done: impl Fn() + Sync,
    ) -> (Self, Vec<Vec<Proof>>) {
        let wanted = texts.len();
        let graph = Graph::new(texts.into_iter().chain(others).collect());
        let returns = Returns::of_graph(&graph);
        let mut prover = Self::with(graph, returns);
        let needed = prover.needed(wanted);
        let mut results = BTreeMap::new();
        let all = needed
            .iter()
            .flat_map(|section| prover.graph.functions_of(*section));
        let all: Vec<usize> = all.collect();
        results.extend(prover.analyze_all(all, &|number| {
            done();
            prover.analyze(number)
        }));
        for round in 0.. {
            let changed = prover.gather(&results, round);
            if changed.is_empty() {
                break;
            }
            // It ends: what has been refused leads to the same places for good.
            let again = prover.analyze_all(changed, &|number| match round < ROUNDS {
                true => prover.analyze(number),
                false => prover.refuse(number),
            });
            results.extend(again);
        }
        let proofs = (0..wanted).map(|section| {
            let functions = prover.graph.functions_of(section);
            let proofs = functions.map(|number| results.remove(&number));
            proofs
                .map(|result| result.unwrap_or_default().proof)
                .collect()
        });
        let proofs = proofs.collect();
        (prover, proofs)
    }

    fn analyze_all(
        &self,
        functions: Vec<usize>,
        analyze: &(impl Fn(usize) -> Analysis + Sync),
    ) -> Vec<(usize, Analysis)> {
        let functions = functions.into_par_iter();
        functions.map(|number| (number, analyze(number))).collect()
    }

    /// The sections that have to be proved: those wanted, and those that lead into the
    /// middle of a function of one that has to be.
    fn needed(&self, wanted: usize) -> BTreeSet<usize> {
        let mut needed: BTreeSet<usize> = (0..wanted).collect();
        let others = (wanted..self.graph.sections()).into_par_iter();
        let leads: Vec<(usize, BTreeSet<usize>)> = others
            .map(|section| (section, self.leads_into(section)))
            .collect();
        loop {
            let open = leads
                .iter()
                .filter(|(section, _)| !needed.contains(section));
            let mut found = open.filter(|(_, to)| !to.is_disjoint(&needed)).peekable();
            if found.peek().is_none() {
                return needed;
            }
            let found: Vec<usize> = found.map(|(section, _)| *section).collect();
            needed.extend(found);
        }
    }

    /// The sections into the middle of whose functions one of a section leads.
    fn leads_into(&self, section: usize) -> BTreeSet<usize> {
        let mut sections = BTreeSet::new();
        for number in self.graph.functions_of(section) {
            let ways = ways_out(self, &self.body(number));
            sections.extend(ways.iter().map(|way| way.to.section));
        }
        sections
    }

    /// Proves one function of the first section.
    #[must_use]
    pub fn function(&self, index: usize) -> Proof {
        self.analyze(index).proof
    }

    /// What is known at each instruction of function number `index` of a section that
    /// control reaches: offset and facts, in the order of the text. For explanations,
    /// and for tests that judge another claim by the same facts.
    #[must_use]
    pub fn facts(&self, section: usize, index: usize) -> Vec<(u64, Facts)> {
        let number = self.graph.functions_of(section).start + index;
        function::facts(&self.body(number), &self.entrances[number])
    }

    /// Each instruction of function number `index` of the first section, reached or
    /// not, and where control goes from there.
    #[must_use]
    pub fn points(&self, index: usize) -> Vec<Point> {
        function::points(&self.body(index), &self.entrances[index])
    }

    fn body(&self, number: usize) -> Body<'_> {
        let entrances = self.entrances[number].iter();
        let entrances = entrances.map(|entrance| entrance.to.offset);
        Body::new(&self.graph, number, entrances, &self.returns)
    }

    fn analyze(&self, number: usize) -> Analysis {
        let body = self.body(number);
        let entrances = &self.entrances[number];
        match &body.function.claims {
            Some(_) => function::analyze(self, &body, entrances),
            None => leaf::analyze(self, &body, entrances, self.graph.is_out_of_line(number)),
        }
    }

    fn refuse(&self, number: usize) -> Analysis {
        function::refuse(self, &self.body(number))
    }

    /// Ways in from code that is in no function.
    fn strays(&self) -> Vec<(usize, Entrance)> {
        let strays = self.graph.strays().iter();
        let ways = strays.filter_map(|stray| {
            let facts = match stray.is_call {
                true => Facts::entry(),
                false => Facts::NONE,
            };
            let number = self.graph.number(stray.to)?;
            Some((number, self.entrance(stray.to, &facts)?))
        });
        ways.collect()
    }

    /// Hands the ways out of each function to the function they lead to; gives the
    /// functions for which they changed.
    fn gather(&mut self, results: &BTreeMap<usize, Analysis>, round: usize) -> Vec<usize> {
        let mut gathered: BTreeMap<usize, Vec<Entrance>> = BTreeMap::new();
        for (number, entrance) in self.strays() {
            gathered.entry(number).or_default().push(entrance);
        }
        for entrance in results.values().flat_map(|analysis| &analysis.escapes) {
            let number = self.graph.number(entrance.to);
            let Some(number) = number.filter(|number| results.contains_key(number)) else {
                continue;
            };
            let mut entrance = entrance.clone();
            if round >= ROUNDS_WITH_RANGES {
                entrance.facts.forget_ranges();
            }
            gathered.entry(number).or_default().push(entrance);
        }
        let mut changed = Vec::new();
        for (index, old) in self.entrances.iter_mut().enumerate() {
            let new = gathered.remove(&index).unwrap_or_default();
            if *old != new {
                *old = new;
                changed.push(index);
            }
        }
        changed.retain(|number| results.contains_key(number));
        changed
    }

    /// The number, in its section, of the function that an offset is in.
    #[must_use]
    pub fn function_at(&self, section: usize, offset: u64) -> Option<usize> {
        let number = self.graph.number(At { section, offset })?;
        Some(number - self.graph.functions_of(section).start)
    }

    /// Judges running on over the end of a function. Past padding it comes to the next
    /// one, but it may not.
    pub(super) fn falls_from(&self, body: &Body<'_>, facts: &Facts) -> Escape {
        let end = body.end();
        let is_function = self.graph.number(end).is_some() && end.offset == body.function.end;
        let escape = self.escape(Place::Outside(end), facts);
        Escape {
            is_allowed: escape.is_allowed && is_function,
            ..escape
        }
    }

    /// The way into the function at `to`, with these facts; none when it is the
    /// plain entry, or what is entered has no row that depends on it.
    pub(super) fn entrance(&self, to: At, facts: &Facts) -> Option<Entrance> {
        let (_, function) = self.graph.function(self.graph.number(to)?);
        function.row_at(to.offset)?;
        (!self.is_plain_entry(to)).then(|| Entrance {
            to,
            facts: facts.clone(),
        })
    }

    /// Whether a function starts at `to` that is entered as AAPCS64 says.
    fn is_plain_entry(&self, to: At) -> bool {
        let number = self.graph.starting_at(to);
        number.is_some_and(|number| self.starts[number])
    }

    /// Whether the start of a function, by number, is entered as AAPCS64 says.
    pub(super) fn is_entered_at_start(&self, number: usize) -> bool {
        self.starts[number]
    }

    /// Whether function number `index` of a section starts as AAPCS64 says, and
    /// nothing leads into it from elsewhere but to this offset.
    pub(super) fn is_entered_only_at(&self, section: usize, index: usize, offset: u64) -> bool {
        let number = self.graph.functions_of(section).start + index;
        let mut entrances = self.entrances[number].iter();
        self.starts[number] && entrances.all(|entrance| entrance.to.offset == offset)
    }

    /// Judges a way out of a function.
    pub(super) fn escape(&self, to: Place, facts: &Facts) -> Escape {
        let is_entry_state = facts.is_entry_state(Reg::X30);
        let target = match to {
            Place::Outside(to) => self.graph.number(to).map(|number| (to, number)),
            Place::Inside(_) | Place::Elsewhere => None,
        };
        let Some((to, number)) = target else {
            return Escape {
                is_allowed: is_entry_state,
                entrance: None,
            };
        };
        let (_, function) = self.graph.function(number);
        if has_no_row(function) {
            return Escape {
                is_allowed: true,
                entrance: None,
            };
        }
        let row = function.row_at(to.offset);
        let is_plain_entry = to.offset == function.start && self.starts[number];
        let is_allowed = match row {
            // Where a row is not looked at, what follows is judged by this state.
            Some(row) if !is_plain_entry => judge::implies_row(facts, row) != Some(false),
            _ => is_entry_state,
        };
        // A leaf's row is true in whatever state it is entered at its start.
        let matters = !is_plain_entry || !is_allowed && function.claims.is_some();
        Escape {
            is_allowed,
            entrance: matters.then(|| Entrance {
                to,
                facts: facts.clone(),
            }),
        }
    }
}

/// What becomes of a way out of a function.
pub(super) struct Escape {
    /// Whether what it leads to may be entered in this state.
    pub is_allowed: bool,
    /// What the function it leads to must know.
    pub entrance: Option<Entrance>,
}

/// Whether a function is entered at its start as AAPCS64 says; not so a part of
/// another one.
fn is_entered_at_start(function: &Function) -> bool {
    match function.row_at(function.start) {
        Some(CfiRow::Claim(claim)) => judge::is_entry(claim),
        Some(row) => row.parked().is_none(),
        None => true,
    }
}

/// Whether a function has no row, whatever its instructions are. Nothing then
/// follows from how it is entered, so it may be entered in any state. (Where it
/// leads to counts as [`Facts::NONE`], see `exits`.)
fn has_no_row(function: &Function) -> bool {
    function.claims.is_none() && function.kind == Kind::Code
}
