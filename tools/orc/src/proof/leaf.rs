// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The proof of one function that has no CFI: assembly. It gets a row if it is a
//! leaf on every path, that is if SP, x29 and x30 are those of the entry at each
//! of its instructions. Then it does not matter in which order blocks run, and
//! blocks that nothing reaches (exception fixups) are entered in the same state.

use orc::rule::{Frame, Rule, Undescribed};

use crate::a64::insn::Reg;
use crate::graph::{Body, Place, Way};
use crate::text::Kind;

use super::assumption;
use super::exits::ways_out;
use super::facts::Facts;
use super::finding::{Counts, Proof};
use super::flow::{self, Blocks, Next};
use super::function::Analysis;
use super::indirect::enter_as_entry;
use super::no_leaf::NoLeaf;
use super::return_only;
use super::section::{Entrance, Prover};

/// `is_out_of_line`: it belongs to the functions that branch to it, and is looked at
/// there.
pub(super) fn analyze(
    prover: &Prover<'_>,
    body: &Body<'_>,
    entrances: &[Entrance],
    is_out_of_line: bool,
) -> Analysis {
    let mut leaf = Leaf {
        prover,
        body,
        escapes: Vec::new(),
        entered: 0,
        return_only: return_only::entry(body),
        counts: Counts::default(),
    };
    let result = match body.function.kind {
        Kind::Func if !body.is_empty() && !is_out_of_line => leaf.holds(entrances),
        _ => Err(NoLeaf::Code),
    };
    let count = body.len() as u64;
    let (rule, counts) = match result {
        Ok(()) => (
            Rule::Frame(Frame::ENTRY),
            Counts {
                leaf: count,
                entered_by_claim: leaf.entered,
                opaque_sites: body.opaque_sites as u64,
                entries: 1,
                ..leaf.counts
            },
        ),
        Err(_) => (
            Rule::Unreliable(Undescribed::NoCfi),
            Counts {
                undescribed: count,
                ..Counts::default()
            },
        ),
    };
    let entry = leaf.return_only.filter(|_| result.is_ok());
    Analysis {
        proof: Proof {
            return_only: entry.and_then(|entry| return_only::confirm(body, entry, &counts)),
            rows: rows(body, rule),
            assumed: Vec::new(),
            findings: Vec::new(),
            counts,
            no_leaf: result.err(),
        },
        escapes: match result {
            Ok(()) => leaf.escapes,
            Err(_) if is_out_of_line => Vec::new(),
            Err(_) => ways_out(prover, body),
        },
    }
}

/// One rule for the whole function, but for the data in it.
fn rows(body: &Body<'_>, rule: Rule) -> Vec<(u64, Rule)> {
    let mut rows: Vec<(u64, Rule)> = Vec::new();
    for index in 0..body.len() {
        let rule = match body.is_data(index) {
            true => Rule::Unreliable(Undescribed::Hole),
            false => rule,
        };
        if rows.last().is_none_or(|(_, last)| *last != rule) {
            rows.push((body.offset(index), rule));
        }
    }
    if rows.is_empty() {
        rows.push((body.function.start, rule));
    }
    rows
}

struct Leaf<'l, 'a> {
    prover: &'l Prover<'l>,
    body: &'l Body<'a>,
    escapes: Vec<Entrance>,
    /// How many blocks were entered without being reached.
    entered: u64,
    /// Where calls of it go, as long as nothing but its returns has been seen to lead out.
    return_only: Option<usize>,
    counts: Counts,
}

impl Leaf<'_, '_> {
    fn holds(&mut self, entrances: &[Entrance]) -> Result<(), NoLeaf> {
        let body = self.body;
        let mut blocks = Blocks::new(body);
        blocks.enter(0, &Facts::entry());
        for entrance in entrances {
            match body.index(entrance.to.offset) {
                Some(index) if entrance.facts.is_entry_state(Reg::X30) => {
                    blocks.enter(index, &entrance.facts);
                }
                _ => return Err(NoLeaf::EnteredInside),
            }
        }
        blocks.run();
        self.entered = enter_as_entry(body, &mut blocks);
        let mut result = Ok(());
        blocks.each(|index, facts| result = result.and_then(|()| self.holds_at(index, facts)));
        result
    }

    fn holds_at(&mut self, index: usize, facts: &Facts) -> Result<(), NoLeaf> {
        if self.body.is_data(index) {
            return Err(NoLeaf::RunsOn);
        }
        if !facts.is_entry_state(Reg::X30) {
            return Err(NoLeaf::ChangesFrame);
        }
        assumption::count(self.body, index, facts, &mut self.counts);
        let (mut result, mut stays) = (Ok(()), true);
        let (body, entry) = (self.body, self.return_only);
        body.edges(index, |edge| {
            stays &= entry.is_some_and(|at| return_only::stays(body, at, index, &edge, facts));
            self.counts.veneers += u64::from(edge.veneer.is_some());
            let why = match edge.way {
                Way::Call | Way::AfterCall => NoLeaf::Calls,
                Way::Exit => NoLeaf::ReturnsElsewhere,
                Way::Return(reg) if !facts.is_entry_state(reg) => NoLeaf::ReturnsElsewhere,
                _ => return,
            };
            result = result.and(Err(why));
        });
        self.return_only = entry.filter(|_| stays);
        result?;
        self.leaves(index, facts)
    }

    /// Whether what the instruction at `index` leads to outside may be entered so.
    fn leaves(&mut self, index: usize, facts: &Facts) -> Result<(), NoLeaf> {
        let body = self.body;
        let is_last = index + 1 == body.len();
        if body.only_goes_on(index) && !is_last && !body.is_data(index + 1) {
            return Ok(());
        }
        let mut after = facts.clone();
        let mut ways: Vec<(Place, Facts)> = Vec::new();
        let follows = flow::execute(body, index, &mut after, &mut |edge, facts| {
            if edge.is_exit() {
                ways.push((edge.to, facts.clone()));
            }
        });
        if follows != Next::Never {
            if is_last {
                let escape = self.prover.falls_from(body, &after);
                self.escapes.extend(escape.entrance);
                if !escape.is_allowed {
                    return Err(NoLeaf::RunsOn);
                }
            } else if body.is_data(index + 1) {
                return Err(NoLeaf::RunsOn);
            }
        }
        for (to, facts) in ways {
            let escape = self.prover.escape(to, &facts);
            self.escapes.extend(escape.entrance);
            if !escape.is_allowed {
                return Err(NoLeaf::BranchesOut);
            }
        }
        Ok(())
    }
}
