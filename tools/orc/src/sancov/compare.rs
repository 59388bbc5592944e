// SPDX-License-Identifier: GPL-2.0 OR MIT

//! One text section, proved without and with the listed edges.

use std::collections::{BTreeMap, BTreeSet};

use orc::rule::Rule;

use crate::proof::facts::Facts;
use crate::proof::{implies, Point, Proof, Prover};
use crate::text::TextSection;

use super::list::{List, Successor};
use super::region::Regions;
use super::report::{Disagreement, Edge, Kind, Report, What};

/// Compares the functions of the section that are `listed`; the section is text
/// `number` of the input.
pub(super) fn section(
    number: usize,
    text: &TextSection,
    listed: &BTreeMap<usize, &List>,
    report: &mut Report,
) {
    let (prover, without) = Prover::section(text, || ());
    let mut text = text.clone();
    for (&function, list) in listed {
        let points = prover.points(function);
        for (jump, targets) in Regions::new(list, &points).targets() {
            text.indirect.insert(jump, targets.into_iter().collect());
        }
    }
    let (prover, with) = Prover::section(&text, || ());
    for (&function, list) in listed {
        let points = prover.points(function);
        let mut comparison = Comparison {
            function: (number, function),
            text: &text,
            list,
            regions: &Regions::new(list, &points),
            judged: BTreeSet::new(),
            report,
        };
        comparison.edges();
        comparison.indirect_branches(&points);
        if let (Some(without), Some(with)) = (without.get(function), with.get(function)) {
            comparison.rows(&points, without, with);
        }
    }
}

/// One function.
struct Comparison<'c> {
    /// Number of the text in the input, and of the function in the text.
    function: (usize, usize),
    /// With the targets of indirect branches.
    text: &'c TextSection,
    list: &'c List,
    regions: &'c Regions<'c>,
    /// Ways from one instruction to another that were judged.
    judged: BTreeSet<(u64, u64)>,
    report: &'c mut Report,
}

impl Comparison<'_> {
    fn edges(&mut self) {
        let counts = &mut self.report.counts;
        counts.functions += 1;
        counts.blocks += self.list.starts().len() as u64;
        counts.edges += self.list.lost_edges;
        counts.by_kind[Kind::Deleted as usize] += self.list.lost_edges;
        let list = self.list;
        for (from, block) in &list.blocks {
            let successors: BTreeSet<Successor> = block.successors.iter().copied().collect();
            for successor in successors {
                self.edge(*from, successor);
            }
        }
    }

    fn edge(&mut self, from: u64, successor: Successor) {
        let (to, kind) = match successor {
            Successor::At(to) => (Some(to), self.kind(from, to)),
            Successor::Deleted => (None, Kind::Deleted),
        };
        let counts = &mut self.report.counts;
        counts.edges += 1;
        counts.by_kind[kind as usize] += 1;
        if kind != Kind::Direct {
            self.report.not_direct.push(Edge {
                function: self.function,
                from,
                to,
                kind,
            });
        }
    }

    /// What an edge is in machine code. Judges every way that it takes there.
    fn kind(&mut self, from: u64, to: u64) -> Kind {
        let region = self.regions.of(from);
        let direct = region.and_then(|region| region.reached.get(&to));
        let direct = direct.map_or(&[][..], Vec::as_slice);
        let jumps = region.into_iter().flat_map(|region| &region.jumps);
        let jumps: Vec<u64> = jumps.copied().filter(|jump| self.goes(*jump, to)).collect();
        let by_direct = self.judge_all(direct, to);
        let by_jump = self.judge_all(&jumps, to);
        if by_direct {
            Kind::Direct
        } else if by_jump {
            Kind::Indirect
        } else if !direct.is_empty() || !jumps.is_empty() {
            Kind::Unreached
        } else if !self.has_code(from) || !self.has_code(to) || self.regions.is_start(to) {
            Kind::Deleted
        } else if from == to {
            Kind::Folded
        } else {
            Kind::Absent
        }
    }

    /// Whether an indirect branch is known to go there.
    fn goes(&self, jump: u64, to: u64) -> bool {
        let targets = self.text.indirect.get(&jump);
        targets.is_some_and(|targets| targets.contains(&to))
    }

    /// Whether a block has code: one past the end has none left.
    fn has_code(&self, block: u64) -> bool {
        self.regions.point(block).is_some()
    }

    /// Judges the ways from these instructions; whether control reaches one.
    fn judge_all(&mut self, sources: &[u64], to: u64) -> bool {
        let mut is_reached = false;
        for &from in sources {
            let point = self.regions.point(from);
            let Some((point, facts)) = point.and_then(|p| Some((p, p.facts.as_ref()?))) else {
                continue;
            };
            is_reached = true;
            if !self.judged.insert((from, to)) {
                continue;
            }
            let mut ways = point.ways.iter().filter(|way| way.to == to).peekable();
            if ways.peek().is_none() {
                self.judge(from, to, facts);
            }
            ways.for_each(|way| self.judge(from, to, &way.facts));
        }
        is_reached
    }

    fn judge(&mut self, from: u64, to: u64, facts: &Facts) {
        let claim = self
            .regions
            .point(to)
            .and_then(|point| point.claim.as_ref());
        let Some(Err(class)) = claim.map(|claim| implies(facts, claim)) else {
            return;
        };
        self.disagree(from, to, Some(facts), What::Claim(class));
    }

    fn disagree(&mut self, from: u64, to: u64, facts: Option<&Facts>, what: What) {
        let claim = self.regions.point(to).and_then(|point| point.claim.clone());
        self.report.disagreements.push(Disagreement {
            function: self.function,
            from,
            to,
            claim,
            facts: facts.map(Facts::to_string).unwrap_or_default(),
            what,
        });
    }

    /// Judges all ways of indirect branches, also of copies that are in no block with
    /// such an edge, and finds those of which the list does not say where they go.
    fn indirect_branches(&mut self, points: &[Point]) {
        for point in points.iter().filter(|point| point.is_indirect_jump) {
            let at = point.offset;
            self.report.counts.indirect_branches += 1;
            let targets = self.text.indirect.get(&at).map_or(&[][..], Vec::as_slice);
            for to in targets {
                self.judge_all(&[at], *to);
            }
            if targets.is_empty() && !self.regions.may_be_tail_call(at) {
                self.disagree(at, at, point.facts.as_ref(), What::NotListed);
            }
        }
    }

    /// Compares what is proved without the edges and with them.
    fn rows(&mut self, points: &[Point], without: &Proof, with: &Proof) {
        self.report.counts.assumed_without += without.counts.entered_by_claim;
        self.report.counts.assumed_with += with.counts.entered_by_claim;
        let mut differed = false;
        for point in points {
            let before = rule(without, point.offset);
            let is_frame = matches!(before, Some(Rule::Frame(_)));
            let differs = is_frame && before != rule(with, point.offset);
            if differs && !differed {
                self.disagree(point.offset, point.offset, point.facts.as_ref(), What::Row);
            }
            differed = differs;
        }
    }
}

/// The rule of an instruction.
fn rule(proof: &Proof, offset: u64) -> Option<Rule> {
    let after = proof.rows.partition_point(|(start, _)| *start <= offset);
    let (_, rule) = proof.rows.get(after.checked_sub(1)?)?;
    Some(*rule)
}
