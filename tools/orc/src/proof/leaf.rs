// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The proof of one function that has no CFI: assembly. It gets a row if it is a
//! leaf on every path, that is if SP, x29 and x30 are those of the entry at each
//! of its instructions. Then it does not matter in which order blocks run, and
//! blocks that nothing reaches (exception fixups) are entered in the same state.

use orc::rule::{Frame, Rule, Undescribed};

use crate::text::{Function, Kind, TextSection};

use super::body::Body;
use super::facts::Facts;
use super::finding::{Counts, Proof};
use super::flow::{self, Blocks, Next};
use super::function::Analysis;
use super::no_leaf::NoLeaf;
use super::section::{Entrance, Prover};
use super::unproved::ways_out;
use super::unreached::roots;
use crate::a64::insn::{Flow, Reg};

pub(super) fn analyze(
    prover: &Prover<'_>,
    text: &TextSection,
    function: &Function,
    entrances: &[Entrance],
) -> Analysis {
    let body = Body::new(text, function, entrances, prover.returns());
    let mut leaf = Leaf {
        prover,
        body: &body,
        escapes: Vec::new(),
        entered: 0,
    };
    let result = match function.kind {
        Kind::Func if body.len() != 0 => leaf.holds(entrances),
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
                ..Counts::default()
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
    Analysis {
        proof: Proof {
            rows: rows(&body, rule),
            assumed: Vec::new(),
            findings: Vec::new(),
            counts,
            no_leaf: result.err(),
        },
        escapes: match result {
            Ok(()) => leaf.escapes,
            Err(_) => ways_out(prover, &body),
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
}

impl Leaf<'_, '_> {
    fn holds(&mut self, entrances: &[Entrance]) -> Result<(), NoLeaf> {
        let body = self.body;
        let mut blocks = Blocks::new(body);
        blocks.enter(0, &Facts::entry());
        for entrance in entrances {
            match body.index(entrance.to) {
                Some(index) if entrance.facts.is_entry_state(Reg::X30) => {
                    blocks.enter(index, &entrance.facts);
                }
                _ => return Err(NoLeaf::EnteredInside),
            }
        }
        blocks.run();
        let given_up = vec![false; body.len()];
        loop {
            let roots = roots(body, &blocks, &given_up);
            if roots.is_empty() {
                break;
            }
            for root in roots {
                blocks.enter(root, &Facts::entry());
                self.entered += 1;
            }
            blocks.run();
        }
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
        let patched = self.body.variants(index).iter();
        for insn in std::iter::once(self.body.insn(index)).chain(patched) {
            match insn.flow {
                Flow::Call(_) | Flow::IndirectCall => return Err(NoLeaf::Calls),
                Flow::ExceptionReturn => return Err(NoLeaf::ReturnsElsewhere),
                Flow::Return(reg) if !facts.is_entry_state(reg) => {
                    return Err(NoLeaf::ReturnsElsewhere);
                }
                _ => {}
            }
        }
        self.leaves(index, facts)
    }

    /// Whether what the instruction at `index` leads to outside may be entered so.
    fn leaves(&mut self, index: usize, facts: &Facts) -> Result<(), NoLeaf> {
        let mut after = facts.clone();
        let mut ways: Vec<(Option<u64>, Facts)> = Vec::new();
        let follows = flow::execute(self.body, index, &mut after, &mut |place, facts| {
            if let Some(to) = place.outside() {
                ways.push((to, facts.clone()));
            }
        });
        if follows != Next::Never {
            match index + 1 {
                next if next == self.body.len() => {
                    let escape = self.prover.falls_to(self.body.function.end, &after);
                    self.escapes.extend(escape.entrance);
                    if !escape.is_allowed {
                        return Err(NoLeaf::RunsOn);
                    }
                }
                next if self.body.is_data(next) => return Err(NoLeaf::RunsOn),
                _ => {}
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
