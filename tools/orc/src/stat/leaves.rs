// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What the proof of leaves adds to what CFI describes, and what is left.

use orc::rule::{Rule, Undescribed};
use serde::Serialize;

use crate::input::Text;
use crate::proof::Proof;
use crate::table::Rows;
use crate::text::Function;

/// Bytes of text without a usable row, besides holes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct WithoutRow {
    /// If only what CFI describes had rows; not known in a file without CFI.
    pub by_cfi_alone: Option<u64>,
    /// With the rows of leaves that the proof finds.
    pub with_leaves: u64,
}

impl WithoutRow {
    /// Counts in the table of one text section.
    pub fn new(rows: &Rows, functions: &[Function], has_cfi: bool) -> Self {
        let end = u64::from(rows.text_bytes);
        let with_leaves = bytes(
            rows,
            0,
            end,
            |rule| matches!(rule, Rule::Unreliable(why) if *why != Undescribed::Hole),
        );
        let bare = functions.iter().filter(|f| f.claims.is_none());
        let leaves = bare.map(|f| bytes(rows, f.start, f.end, |r| matches!(r, Rule::Frame(_))));
        Self {
            by_cfi_alone: has_cfi.then(|| with_leaves + leaves.sum::<u64>()),
            with_leaves,
        }
    }
}

/// How many bytes from `start` to `end` have a row that `counts` picks.
fn bytes(rows: &Rows, start: u64, end: u64, counts: impl Fn(&Rule) -> bool) -> u64 {
    let rows = &rows.rows;
    let first = rows.partition_point(|(at, _)| u64::from(*at) <= start);
    let mut sum = 0;
    for (number, (at, rule)) in rows.iter().enumerate().skip(first.saturating_sub(1)) {
        let from = u64::from(*at).max(start);
        if from >= end {
            break;
        }
        let next = rows.get(number + 1).map_or(end, |(at, _)| u64::from(*at));
        if counts(rule) {
            sum += next.min(end) - from;
        }
    }
    sum
}

/// A function without CFI that is no leaf.
#[derive(Debug, Serialize)]
pub struct Refused {
    /// Its symbol.
    pub symbol: String,
    /// Its address.
    pub address: u64,
    /// Its size.
    pub bytes: u64,
    /// Why it is none.
    pub why: &'static str,
}

/// The functions of a section without CFI that are no leaves, in its order.
pub fn refused(text: &Text, proofs: &[Proof]) -> Vec<Refused> {
    let functions = text.text.functions.iter().zip(proofs);
    let refused = functions.filter_map(|(function, proof)| {
        Some(Refused {
            symbol: function.name.clone(),
            address: text.text.address + function.start,
            bytes: function.end - function.start,
            why: proof.no_leaf?.name(),
        })
    });
    refused.collect()
}
