// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The control flow that LLVM says a function has, against the rows.
//!
//! An object that clang compiled with `-fsanitize-coverage=control-flow` lists the
//! blocks of each function and the successors of each block, in `__sancov_cfs`.
//! That is what the proof does without: where indirect branches go. With it, the
//! targets of each `br` become known edges, the functions are proved again, and:
//!
//! * at both ends of each listed edge the rows must agree: what is known where the
//!   edge leaves its block must imply the claim where it arrives;
//! * each row that was proved without the edges must be proved with them, and be
//!   the same.
//!
//! The list is of the intermediate code, from before code generation. What has no
//! counterpart in machine code is counted: [`Kind`] says why there may be none.

use std::collections::BTreeMap;

use crate::claim::Claims;
use crate::input::{Input, Text};

mod compare;
mod list;
mod region;
mod report;
mod word;

use list::List;

pub use list::SECTION;

/// Lists by function of a text.
type Listed<'l> = BTreeMap<usize, &'l List>;

pub use report::{Counts, Disagreement, Edge, Kind, Malformed, Problem, Report, What};

/// Compares the rows of a file with the control flow that it lists; `None` when it
/// lists none.
#[must_use]
pub fn check(input: &Input<'_>) -> Option<Report> {
    let lists = list::read(input)?;
    let mut report = Report {
        malformed: lists.malformed,
        ..Report::default()
    };
    for (number, text) in input.texts.iter().enumerate() {
        let functions = lists.functions.range((number, 0)..(number + 1, 0));
        let all = functions.map(|((_, function), list)| (*function, list));
        let (listed, bare): (Listed<'_>, Listed<'_>) = all.partition(|(f, _)| has_rows(text, *f));
        report.malformed.extend(bare.values().map(|list| Malformed {
            section: list.section,
            offset: list.offset,
            problem: Problem::NoClaims,
        }));
        let rows = (0..text.text.functions.len()).filter(|f| has_rows(text, *f));
        let not_listed = rows.filter(|f| !listed.contains_key(f));
        report.counts.not_listed += not_listed.count() as u64;
        if !listed.is_empty() {
            compare::section(number, &text.text, &listed, &mut report);
        }
    }
    let place = |d: &Disagreement| (d.function, d.from, d.to);
    report.disagreements.sort_by_key(place);
    report.malformed.sort_by_key(|m| (m.section, m.offset));
    Some(report)
}

fn has_rows(text: &Text, function: usize) -> bool {
    let function = text.text.functions.get(function);
    function.is_some_and(|f| matches!(f.claims, Some(Claims::Rows(_))))
}
