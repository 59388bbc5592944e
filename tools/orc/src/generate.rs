// SPDX-License-Identifier: GPL-2.0 OR MIT

//! From a text section to the rows of its table: every function proved, what is
//! not proved and what lies between marked as such.

use orc::rule::{Frame, Rule, Undescribed, MAX_OFFSET, UNIT};

use crate::input::{Input, Text};
use crate::proof::{return_only, Proof, Prover};
use crate::table::Rows;
use crate::text::{Function, TextSection};

/// A file, proved: those of its text sections that were asked for.
#[derive(Debug)]
pub struct Proved<'i> {
    /// What knows the facts at each instruction.
    pub prover: Prover<'i>,
    /// By section, in the order of [`Input::texts`]: the proof of each function.
    pub proofs: Vec<Vec<Proof>>,
}

impl<'i> Proved<'i> {
    /// Proves every function, in parallel. `done` is called once for each.
    pub fn new(input: &'i Input<'_>, done: impl Fn() + Sync) -> Self {
        let texts = input.texts.iter().map(|text| &text.text).collect();
        let (prover, proofs) = Prover::file(texts, input.others.iter().collect(), done);
        Self { prover, proofs }
    }

    /// The rows of each section.
    pub fn rows(&self, input: &Input<'_>) -> Vec<Rows> {
        let texts = input.texts.iter().enumerate();
        texts
            .map(|(number, text)| self.rows_of(number, text))
            .collect()
    }

    /// The rows of a section, which has this number in [`Input::texts`].
    pub fn rows_of(&self, number: usize, text: &Text) -> Rows {
        let proofs = &self.proofs[number];
        let mut rows = rows(text, proofs);
        let entries = return_only::entries(&self.prover, number, proofs);
        mark(&mut rows.rows, &text.text, &entries);
        rows
    }
}

/// Marks the rows in the state of an entry where a function starts that is left by its
/// return alone, with its size. These rows are cut at no other functions' starts than those
/// where that changes: what is behind a function's end has the mark of the one that starts there.
/// A function that starts inside another has none.
fn mark(rows: &mut Vec<(u32, Rule)>, text: &TextSection, entries: &[u64]) {
    let marked = |function: &Function| {
        let size = (function.end - function.start).next_multiple_of(u64::from(UNIT));
        let is_marked = entries.binary_search(&function.start).is_ok();
        let left_by_return = (is_marked && size <= u64::from(MAX_OFFSET)).then_some(size as u32);
        Rule::Frame(Frame {
            left_by_return,
            ..Frame::ENTRY
        })
    };
    let inside = (text.entries.iter()).map(|at| (*at, Rule::Frame(Frame::ENTRY)));
    let functions = text.functions.iter();
    let functions = functions.map(|function| (function.start, marked(function)));
    let mut starts: Vec<(u64, Rule)> = functions.chain(inside).collect();
    starts.sort_by_key(|(start, _)| *start);
    let mut out: Vec<(u32, Rule)> = Vec::with_capacity(rows.len());
    for (number, (at, rule)) in rows.iter().enumerate() {
        let end = rows
            .get(number + 1)
            .map_or(u64::MAX, |(next, _)| u64::from(*next));
        if *rule != Rule::Frame(Frame::ENTRY) {
            out.push((*at, *rule));
            continue;
        }
        let first = starts.partition_point(|(start, _)| *start < u64::from(*at));
        let mut starts = starts[first..].iter().take_while(|(start, _)| *start < end);
        out.push((*at, starts.next().map_or(*rule, |(_, marked)| *marked)));
        for (start, marked) in starts {
            if out.last().is_some_and(|(_, last)| last != marked) {
                out.push((*start as u32, *marked));
            }
        }
    }
    *rows = out;
}

/// The rows of a section whose functions have these proofs.
fn rows(text: &Text, proofs: &[Proof]) -> Rows {
    let mut parts: Vec<Part<'_>> = Vec::new();
    for (function, proof) in text.text.functions.iter().zip(proofs) {
        parts.push(Part {
            start: function.start,
            end: function.end,
            rows: &proof.rows,
        });
    }
    for range in &text.foreign {
        parts.push(Part {
            start: range.start,
            end: range.end,
            rows: &[(0, Rule::Unreliable(Undescribed::Foreign))],
        });
    }
    parts.sort_by_key(|part| part.start);
    let size = text.text.bytes.len() as u64;
    let mut builder = Builder::default();
    for part in parts {
        builder.hole(part.start);
        for (at, rule) in part.rows {
            builder.row((*at).max(part.start), *rule);
        }
        builder.end = builder.end.max(part.end);
    }
    builder.hole(size);
    Rows {
        text_bytes: size as u32,
        rows: builder.rows,
    }
}

/// A described part of the text.
struct Part<'p> {
    start: u64,
    end: u64,
    rows: &'p [(u64, Rule)],
}

/// Rows in order, equal neighbours merged.
#[derive(Default)]
struct Builder {
    rows: Vec<(u32, Rule)>,
    /// One past what the rows so far describe.
    end: u64,
}

impl Builder {
    /// Nothing describes the text up to `start`.
    fn hole(&mut self, start: u64) {
        if self.end < start {
            self.row(self.end, Rule::Unreliable(Undescribed::Hole));
            self.end = start;
        }
    }

    fn row(&mut self, at: u64, rule: Rule) {
        // Input::read has refused text whose offsets do not fit.
        let at = at as u32;
        // A rule that the format refuses, because it contradicts itself, must
        // have been claimed by the CFI: nothing may rely on it.
        let rule = match rule.encode() {
            Some(_) => rule,
            None => Rule::Unreliable(Undescribed::NotProved),
        };
        match self.rows.last() {
            Some((_, last)) if *last == rule => {}
            _ => self.rows.push((at, rule)),
        }
    }
}
