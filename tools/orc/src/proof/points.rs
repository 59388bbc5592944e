// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The flow of a function as the proof sees it, instruction by instruction, for
//! those who compare it with what someone else says of it ([`crate::sancov`]).

use crate::claim::Claim;
use crate::graph::{self, Body, Place};

use super::facts::Facts;
use super::flow::{self, Next};

/// One instruction of a function.
#[derive(Clone, Debug)]
pub struct Point {
    /// Where, from the start of the section.
    pub offset: u64,
    /// What the CFI says there.
    pub claim: Option<Claim>,
    /// What is known there; `None` where nothing is known to lead there.
    pub facts: Option<Facts>,
    /// Whether control goes on through a register (`br`).
    pub is_indirect_jump: bool,
    /// Where else in the function control goes from here.
    pub ways: Vec<Way>,
}

/// A way from one instruction to another of the same function.
#[derive(Clone, Debug)]
pub struct Way {
    /// Where to.
    pub to: u64,
    /// What is known on arrival.
    pub facts: Facts,
}

impl Point {
    /// The instruction at `index`, before which `facts` are known.
    pub(super) fn new(body: &Body<'_>, index: usize, facts: Option<Facts>) -> Self {
        let mut point = Self {
            offset: body.offset(index),
            claim: body.claim(index).cloned(),
            facts,
            is_indirect_jump: false,
            ways: Vec::new(),
        };
        if !body.is_data(index) {
            point.find_ways(body, index);
        }
        point
    }

    fn find_ways(&mut self, body: &Body<'_>, index: usize) {
        body.edges(index, |edge| {
            let is_jump = matches!(edge.way, graph::Way::Open | graph::Way::Indirect);
            self.is_indirect_jump |= is_jump;
        });
        let mut after = self.facts.clone().unwrap_or(Facts::NONE);
        let next = flow::execute(body, index, &mut after, &mut |edge, facts| {
            if let Place::Inside(to) = edge.to {
                self.ways.push(Way {
                    to: body.offset(to),
                    facts: facts.clone(),
                });
            }
        });
        let follows = match next {
            Next::Never => false,
            Next::Always => true,
            Next::IfItReturns => !flow::is_no_return(body, index, &after),
        };
        if follows && index + 1 < body.len() && !body.is_data(index + 1) {
            let to = body.offset(index + 1);
            self.ways.push(Way { to, facts: after });
        }
    }
}
