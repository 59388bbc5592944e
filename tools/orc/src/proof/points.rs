// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The flow of a function as the proof sees it, instruction by instruction, for
//! those who compare it with what someone else says of it ([`crate::sancov`]).

use crate::claim::Claim;

use super::body::{Body, Place};
use super::facts::Facts;
use super::flow::{self, Next};
use crate::a64::insn::Flow;

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
        let patched = body.variants(index).iter();
        let mut insns = std::iter::once(body.insn(index)).chain(patched);
        let is_indirect_jump = insns.any(|insn| insn.flow == Flow::IndirectJump);
        let mut point = Self {
            offset: body.offset(index),
            claim: body.claim(index).cloned(),
            facts,
            is_indirect_jump: is_indirect_jump && !body.is_data(index),
            ways: Vec::new(),
        };
        if !body.is_data(index) {
            point.find_ways(body, index);
        }
        point
    }

    fn find_ways(&mut self, body: &Body<'_>, index: usize) {
        let mut after = self.facts.clone().unwrap_or(Facts::NONE);
        let next = flow::execute(body, index, &mut after, &mut |place, facts| {
            if let Place::Inside(to) = place {
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
