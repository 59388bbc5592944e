// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The proof of one function that has no CFI: assembly. It gets a row if it is a
//! leaf on every path, that is if SP, x29 and x30 are those of the entry at each
//! of its instructions. Then it does not matter in which order blocks run, and
//! blocks that nothing reaches (exception fixups) are entered in the same state.

use orc::rule::{Frame, Rule, Undescribed};

use crate::text::{Function, Kind, TextSection};

use super::body::{Body, Place};
use super::facts::Facts;
use super::finding::{Counts, Proof};
use super::flow::{self, Blocks, Next, Outcome};
use super::function::Analysis;
use super::insn::{Flow, Reg};
use super::section::{Entrance, Prover};
use super::unproved::ways_out;
use super::unreached::roots;

pub(super) fn analyze(
    prover: &Prover<'_>,
    text: &TextSection,
    function: &Function,
    entrances: &[Entrance],
) -> Analysis {
    let body = Body::new(text, function, entrances);
    let mut leaf = Leaf {
        prover,
        body: &body,
        escapes: Vec::new(),
        outcome: Outcome::default(),
        entered: 0,
    };
    let is_leaf = function.kind == Kind::Func && body.len() != 0 && leaf.holds(entrances);
    let count = body.len() as u64;
    let (rule, counts) = match is_leaf {
        true => (
            Rule::Frame(Frame::ENTRY),
            Counts {
                leaf: count,
                entered_by_claim: leaf.entered,
                opaque_sites: body.opaque_sites as u64,
                ..Counts::default()
            },
        ),
        false => (
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
            findings: Vec::new(),
            counts,
        },
        escapes: match is_leaf {
            true => leaf.escapes,
            false => ways_out(prover, &body),
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
    outcome: Outcome,
    /// How many blocks were entered without being reached.
    entered: u64,
}

impl Leaf<'_, '_> {
    fn holds(&mut self, entrances: &[Entrance]) -> bool {
        let body = self.body;
        let mut blocks = Blocks::new(body);
        blocks.enter(0, &Facts::entry());
        for entrance in entrances {
            match body.index(entrance.to) {
                Some(index) => blocks.enter(index, &entrance.facts),
                None => return false,
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
        let mut holds = true;
        blocks.each(|index, facts| holds = holds && self.holds_at(index, facts));
        holds
    }

    fn holds_at(&mut self, index: usize, facts: &Facts) -> bool {
        if self.body.is_data(index) || !facts.is_entry_state(Reg::X30) {
            return false;
        }
        let patched = self.body.variants(index).iter();
        for insn in std::iter::once(self.body.insn(index)).chain(patched) {
            let is_allowed = match insn.flow {
                Flow::Call(_) | Flow::IndirectCall | Flow::ExceptionReturn => false,
                Flow::Return(reg) => facts.is_entry_state(reg),
                _ => true,
            };
            if !is_allowed {
                return false;
            }
        }
        self.leaves(index, facts)
    }

    /// Whether what the instruction at `index` leads to outside may be entered so.
    fn leaves(&mut self, index: usize, facts: &Facts) -> bool {
        let mut after = facts.clone();
        flow::execute(self.body, index, &mut after, &mut self.outcome);
        let mut ways: Vec<(Option<u64>, Facts)> = Vec::new();
        for (place, facts) in self.outcome.taken.drain(..) {
            match place {
                Place::Inside(_) => {}
                Place::Outside(offset) => ways.push((Some(offset), facts)),
                Place::Elsewhere => ways.push((None, facts)),
            }
        }
        if self.outcome.next != Next::Never {
            match index + 1 {
                next if next == self.body.len() => {
                    let escape = self.prover.falls_to(self.body.function.end, &after);
                    self.escapes.extend(escape.entrance);
                    if !escape.is_allowed {
                        return false;
                    }
                }
                next if self.body.is_data(next) => return false,
                _ => {}
            }
        }
        ways.into_iter().all(|(to, facts)| {
            let escape = self.prover.escape(to, &facts);
            self.escapes.extend(escape.entrance);
            escape.is_allowed
        })
    }
}
