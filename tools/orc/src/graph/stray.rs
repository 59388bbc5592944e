// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Code that is in no function: without a symbol that has a size, and without CFI;
//! or of a part of the text that follows conventions of its own. Nothing is proved
//! of it, and where it leads to counts as entered from there.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::a64::insn::{Flow, Insn};

use super::veneer::{self, Veneer};
use super::{At, Graph, Way};

/// A way from such code into a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stray {
    /// Where to.
    pub to: At,
    /// Whether it is called from there, as AAPCS64 says.
    pub is_call: bool,
}

/// Looks through the code in no function of all sections.
pub(super) struct Search<'g, 'a> {
    graph: &'g Graph<'a>,
    /// By function, where it branches to outside of all functions.
    jumps: BTreeMap<usize, BTreeSet<At>>,
    /// What is found.
    pub strays: Vec<Stray>,
    /// What a linker has put there without a symbol.
    pub veneers: Vec<(At, Veneer)>,
}

impl<'g, 'a> Search<'g, 'a> {
    pub fn new(graph: &'g Graph<'a>) -> Self {
        Self {
            graph,
            jumps: BTreeMap::new(),
            strays: Vec::new(),
            veneers: Vec::new(),
        }
    }

    pub fn run(mut self) -> (Vec<Stray>, Vec<(At, Veneer)>) {
        for section in 0..self.graph.sections() {
            let mut end = 0;
            let text = self.graph.text(section);
            for function in &text.functions {
                self.gap(section, end..function.start, true);
                end = function.end.max(end);
            }
            self.gap(section, end..text.bytes.len() as u64 & !3, false);
        }
        (self.strays, self.veneers)
    }

    /// Looks through the code up to a function, or to the end of the section.
    fn gap(&mut self, section: usize, range: Range<u64>, has_next: bool) {
        let text = self.graph.text(section);
        let mut goes_on = false;
        for offset in range.clone().step_by(4) {
            let Some(word) = text.word(offset) else {
                return;
            };
            if text.is_data(offset) || text.is_copied(offset) {
                goes_on = false;
                continue;
            }
            let insn = Insn::decode(word);
            if insn == Insn::NOP {
                continue;
            }
            goes_on = insn.flow.may_go_on() && word != 0;
            if insn.flow != Flow::Next {
                self.branch(At { section, offset }, &insn);
            }
        }
        if goes_on && has_next {
            let offset = range.end;
            let to = At { section, offset };
            self.strays.push(Stray { to, is_call: false });
        }
    }

    fn branch(&mut self, at: At, insn: &Insn) {
        let relocated = self.graph.text(at.section).branches.get(&at.offset);
        let mut ways = Vec::new();
        self.graph
            .ways(at, insn.flow, relocated.copied(), &mut |way, lead| {
                let is_call = way == Way::Call;
                ways.extend(lead.to.map(|to| Stray { to, is_call }));
            });
        let is_jump = matches!(insn.flow, Flow::Jump(_));
        for stray in ways {
            let into = self.graph.number(stray.to);
            if into.is_some_and(|number| !(is_jump && self.is_out_of_line(at, number))) {
                self.strays.push(stray);
            }
        }
    }

    /// Whether the branch at `at` ends what function `number`, to which it leads, has
    /// out of line: if so, that is noted.
    fn is_out_of_line(&mut self, at: At, number: usize) -> bool {
        let graph = self.graph;
        let jumps = self
            .jumps
            .entry(number)
            .or_insert_with(|| jumps(graph, number));
        let first = At {
            offset: at.offset.saturating_sub(4 * (veneer::LONGEST - 1)),
            ..at
        };
        let mut is_any = false;
        for to in jumps.range(first..=at) {
            let read = veneer::read(graph, *to).filter(|(end, _)| *end == at.offset);
            is_any |= read.is_some();
            self.veneers.extend(read.map(|(_, veneer)| (*to, veneer)));
        }
        is_any
    }
}

/// Where a function branches to outside of all functions.
fn jumps(graph: &Graph<'_>, number: usize) -> BTreeSet<At> {
    let (section, function) = graph.function(number);
    let text = graph.text(section);
    let mut found = BTreeSet::new();
    for offset in function.range().step_by(4) {
        let flow = text.word(offset).map(Insn::flow_of);
        let Some(Flow::Jump(by)) = flow.filter(|_| !text.is_data(offset)) else {
            continue;
        };
        let relocated = text.branches.get(&offset).copied();
        let to = graph.target(At { section, offset }, by, relocated);
        found.extend(to.filter(|to| graph.number(*to).is_none()));
    }
    found
}
