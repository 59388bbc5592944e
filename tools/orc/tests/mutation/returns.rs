// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Which functions of a section may return: those with a path to a way out that
//! makes no call of a function that does not.
//!
//! Whether the code after a call is reached the proof also asks the CFI. Here it
//! is what the called function does that counts, and nothing else.

use fARM64::FlowControl;
use orctool::text::TextSection;
use rayon::prelude::*;

use crate::code::{Code, Place};

/// By function: whether it may return; of none where that is not known.
#[derive(Debug, Default)]
pub struct Returns {
    may: Vec<bool>,
    /// What the proof knows of the same.
    pub proof: orctool::graph::Returns,
}

impl Returns {
    /// Starts with no function that returns, and adds those that do.
    pub fn of(text: &TextSection) -> Self {
        let mut all = Self {
            may: vec![false; text.functions.len()],
            proof: orctool::graph::Returns::of(text),
        };
        loop {
            let open = (0..text.functions.len()).into_par_iter();
            let found: Vec<usize> = open
                .filter(|index| !all.may[*index] && all.leaves(text, *index))
                .collect();
            if found.is_empty() {
                return all;
            }
            for index in found {
                all.may[index] = true;
            }
        }
    }

    /// Whether a function may return, if that is known.
    pub fn may(&self, function: usize) -> Option<bool> {
        self.may.get(function).copied()
    }

    /// Whether a path leads out of a function.
    fn leaves(&self, text: &TextSection, index: usize) -> bool {
        let function = &text.functions[index];
        let code = Code::new(text, function, function.claims.as_ref(), self);
        let reached = code.reached();
        let mut ops = code.ops.iter().zip(&reached).enumerate();
        ops.any(|(at, (op, is_reached))| {
            let goes_to = |place| match place {
                Place::Inside(_) => false,
                Place::Entry(Some(function)) => self.may(function) == Some(true),
                Place::Entry(None) | Place::Other => true,
            };
            *is_reached
                && match op.flow {
                    FlowControl::Return | FlowControl::IndirectBranch => true,
                    FlowControl::UnconditionalBranch => goes_to(op.place),
                    FlowControl::ConditionalBranch => goes_to(op.place),
                    FlowControl::Next => at + 1 == code.len() && code.runs_into_function,
                    _ => false,
                }
        })
    }
}
