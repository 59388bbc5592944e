// SPDX-License-Identifier: GPL-2.0 OR MIT

//! One function with what is proved of it, to be run by the oracle.

use orc::rule::{CfaBase, Frame, Rule, StackPointer, X29};
use orctool::claim::{Claim, Claims};
use orctool::proof::Prover;
use orctool::text::{Function, Kind, TextSection};

use crate::code::{is_entry, Code};
use crate::returns::Returns;
use crate::tally::Tally;
use crate::walk::{Path, Walk};

/// The longest function that is looked at.
const LONGEST: usize = 20_000;
/// So many paths are tried to come by each row.
const TRIES: usize = 24;

/// One function.
pub struct Subject {
    pub name: String,
    pub code: Code,
    /// What is proved, by instruction.
    pub rows: Vec<Option<Frame>>,
    /// What the CFI says, by instruction.
    pub claims: Vec<Option<Frame>>,
}

impl Subject {
    /// A function that is entered as AAPCS64 says; none for a part of another and
    /// for the entry of an ftrace trampoline.
    pub fn new(text: &TextSection, index: usize, returns: &Returns) -> Option<Self> {
        let claims = text.functions[index].claims.as_ref();
        Self::with_claims(text, index, claims, returns)
    }

    /// The same, where the compiler's claims are these, and not those in the text.
    pub fn with_claims(
        text: &TextSection,
        index: usize,
        claims: Option<&Claims>,
        returns: &Returns,
    ) -> Option<Self> {
        let function = &text.functions[index];
        let is_entered = match claims {
            Some(claims) => {
                let rows = claims.whole().unwrap_or_default();
                rows.first().is_some_and(is_entry)
            }
            None => function.kind == Kind::Func,
        };
        let len = (function.end - function.start) as usize / 4;
        if !is_entered || len == 0 || len > LONGEST {
            return None;
        }
        Some(Self {
            name: function.name.clone(),
            code: Code::new(text, function, claims, returns),
            rows: proved(text, index, returns),
            claims: claimed(function),
        })
    }

    /// One path that should come by one of `goals`; how far those are is `far`.
    pub fn path(&self, far: &[u32], exit: &[u32], seed: u64) -> Path {
        let walk = Walk {
            code: &self.code,
            rows: &self.rows,
            claims: &self.claims,
            goal: far,
            exit,
        };
        walk.path(seed)
    }

    /// How far it is to a way out, by instruction.
    pub fn exit(&self) -> Vec<u32> {
        let ends = |index: &usize| self.code.successors(*index).is_empty();
        let ends: Vec<usize> = (0..self.code.len()).filter(ends).collect();
        self.code.distances(&ends)
    }

    /// Says where a row was seen to be false.
    pub fn describe(&self, path: &Path) -> Option<String> {
        let (index, what) = path.wrong?;
        Some(format!(
            "{}+{:#x}: {what}: {:?}",
            self.name,
            4 * index,
            self.rows[index]
        ))
    }

    /// Runs paths until each row was seen, or can't be.
    pub fn check(&self, seed: u64) -> Tally {
        let exit = self.exit();
        let from_entry = self.code.reached();
        let mut seen = vec![false; self.code.len()];
        let mut tally = Tally::default();
        for goal in 0..self.code.len() {
            if self.rows[goal].is_none() || seen[goal] || !from_entry[goal] {
                continue;
            }
            let far = self.code.distances(&[goal]);
            for number in 0..TRIES {
                let path = self.path(&far, &exit, seed ^ (goal * TRIES + number) as u64);
                for (seen, visited) in seen.iter_mut().zip(&path.visited) {
                    *seen |= visited;
                }
                tally.paths += 1;
                tally.wrong.extend(self.describe(&path));
                if seen[goal] {
                    break;
                }
            }
        }
        for (row, seen) in self.rows.iter().zip(&seen) {
            tally.seen += u64::from(row.is_some() && *seen);
            tally.missed += u64::from(row.is_some() && !*seen);
        }
        tally
    }
}

/// What is proved of a function, by instruction.
fn proved(text: &TextSection, index: usize, returns: &Returns) -> Vec<Option<Frame>> {
    let function = &text.functions[index];
    let proof = Prover::knowing(text, returns.proof.clone()).function(index);
    by_instruction(function, &proof.rows, |rule| match rule {
        Rule::Frame(frame) => Some(*frame),
        Rule::Unreliable(_) => None,
    })
}

/// What the CFI of a function says, by instruction.
fn claimed(function: &Function) -> Vec<Option<Frame>> {
    let rows = function.claims.as_ref().and_then(Claims::whole);
    let rows = rows.unwrap_or_default().into_iter();
    let rows: Vec<(u64, Claim)> = rows.map(|row| (row.start, row)).collect();
    by_instruction(function, &rows, |claim| {
        Some(Frame {
            cfa: claim.cfa,
            sp: match claim.cfa.base {
                CfaBase::Sp => StackPointer::Exact,
                CfaBase::Fp => StackPointer::Anywhere,
            },
            return_address: claim.return_address,
            signed: None,
            caller_fp: claim.caller_fp,
            x29: X29::Other,
            patch_site: false,
            left_by_return: None,
        })
    })
}

fn by_instruction<T>(
    function: &Function,
    rows: &[(u64, T)],
    row: impl Fn(&T) -> Option<Frame>,
) -> Vec<Option<Frame>> {
    (function.start..function.end)
        .step_by(4)
        .map(|offset| {
            let after = rows.partition_point(|(start, _)| *start <= offset);
            row(&rows.get(after.checked_sub(1)?)?.1)
        })
        .collect()
}
