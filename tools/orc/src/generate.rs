// SPDX-License-Identifier: GPL-2.0 OR MIT

//! From a text section to the rows of its table: every function proved, what is
//! not proved and what lies between marked as such.

use orc::rule::{Rule, Undescribed};

use crate::input::{Input, Text};
use crate::proof::{return_only, Proof, Prover};
use crate::table::Rows;

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
        let texts = input.texts.iter().zip(&self.proofs);
        texts.map(|(text, proofs)| rows(text, proofs)).collect()
    }

    /// By section, the entries of the functions that are left by their return alone,
    /// sorted: see [`return_only`].
    #[must_use]
    pub fn return_only(&self) -> Vec<Vec<u64>> {
        let sections = self.proofs.iter().enumerate();
        let entries =
            sections.map(|(section, proofs)| return_only::entries(&self.prover, section, proofs));
        entries.collect()
    }
}

/// The rows of a section whose functions have these proofs.
pub fn rows(text: &Text, proofs: &[Proof]) -> Rows {
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
