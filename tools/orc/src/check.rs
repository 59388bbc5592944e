// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What a check of a file comes to, as plain data that the writers of text, JSON
//! and reports share.
//!
//! ```text
//! input ── proof ── File (divergences, counts) ── baseline ── detail ── text │ json │ report
//! ```
//!
//! A [`Divergence`] is made for everything that the proof found. What takes a
//! disassembler and DWARF to say, its [`Detail`], is added only where it will be
//! shown.

use serde::{Serialize, Serializer};

use crate::claim::Claims;
use crate::generate;
use crate::input::{Input, Text};
use crate::proof::{Counts, Finding, Proof, Prover};
use crate::show::{printable, Claimed, Show};
use crate::text::Function;

pub mod baseline;
pub mod cause;
pub mod control_flow;
pub mod detail;
pub mod json;
pub mod report;
pub mod text;

use cause::{Guess, Scene};
use control_flow::ControlFlow;
use detail::Detail;

/// What the check of one file found.
#[derive(Debug, Serialize)]
pub struct File {
    /// Its name, as it was given.
    pub file: String,
    /// All of it.
    pub totals: Totals,
    /// Its text sections that hold functions.
    pub sections: Vec<Section>,
    /// Where CFI and instructions differ, in the order of the text.
    pub findings: Vec<Divergence>,
    /// Functions without CFI that are not proved to be leaves.
    pub without_cfi: Vec<Bare>,
    /// The comparison with the control flow that LLVM lists, if it does.
    pub control_flow: Option<ControlFlow>,
}

/// How much was looked at, and what came of it.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Totals {
    /// Functions.
    pub functions: u64,
    /// Those without CFI that are proved to be leaves.
    pub leaf_functions: u64,
    /// Those without CFI that are not.
    pub functions_without_cfi: u64,
    /// Divergences.
    pub findings: u64,
    /// Instructions and assumptions.
    #[serde(flatten)]
    pub counts: Counts,
}

/// One text section.
#[derive(Debug, Serialize)]
pub struct Section {
    /// Its name.
    pub section: String,
    /// What there is in it.
    #[serde(flatten)]
    pub totals: Totals,
}

/// A run of instructions of which the CFI says what they do not imply.
#[derive(Debug, Serialize)]
pub struct Divergence {
    /// Where.
    #[serde(flatten)]
    pub place: Place,
    /// What is wrong.
    pub class: &'static str,
    /// That in a sentence.
    pub meaning: &'static str,
    /// Instructions affected.
    pub instructions: u64,
    /// What the CFI claims; none for an instruction that has no row.
    pub claim: Option<String>,
    /// What is known at the first of them, in words.
    pub facts: String,
    /// The row that the facts imply, if they imply one.
    pub should: Option<String>,
    /// Where to look for the cause.
    pub cause: &'static str,
    /// What speaks for that.
    pub reason: String,
    /// Whether the baseline has it.
    pub known: bool,
    /// What a person wants to see beside it.
    #[serde(flatten)]
    pub detail: Option<Detail>,
}

/// A function that nothing describes.
#[derive(Debug, Serialize)]
pub struct Bare {
    /// Where.
    #[serde(flatten)]
    pub place: Place,
    /// How many it has.
    pub instructions: u64,
    /// Why it is not proved to be a leaf.
    pub why: &'static str,
}

/// A place in the text.
#[derive(Clone, Debug, Serialize)]
pub struct Place {
    /// The function.
    pub symbol: String,
    /// Bytes from its start.
    #[serde(serialize_with = "hex")]
    pub offset: u64,
    /// The section.
    pub section: String,
    /// Bytes from the start of that.
    #[serde(serialize_with = "hex")]
    pub section_offset: u64,
    /// Its address; none in a relocatable file.
    #[serde(serialize_with = "hex_or_none")]
    pub address: Option<u64>,
    /// Index of the section in [`Input::texts`].
    #[serde(skip)]
    pub text: usize,
}

/// As a string: a JSON number is a double to many readers, and loses the low bits
/// of a kernel's address.
fn hex<S: Serializer>(value: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{value:#x}"))
}

fn hex_or_none<S: Serializer>(value: &Option<u64>, serializer: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => hex(value, serializer),
        None => serializer.serialize_none(),
    }
}

impl File {
    /// Proves every function of a file; `done` is called once for each.
    #[must_use]
    pub fn check(name: &str, input: &Input<'_>, done: impl Fn() + Sync) -> Self {
        let mut file = Self {
            file: name.into(),
            totals: Totals::default(),
            sections: Vec::new(),
            findings: Vec::new(),
            without_cfi: Vec::new(),
            control_flow: ControlFlow::check(input),
        };
        let proved = generate::Proved::new(input, done);
        for (index, text) in input.texts.iter().enumerate() {
            file.add(&Proved {
                index,
                text,
                is_linked: !input.image.relocatable,
                prover: &proved.prover,
                proofs: &proved.proofs[index],
            });
        }
        file
    }

    fn add(&mut self, proved: &Proved<'_>) {
        let mut totals = Totals::default();
        let functions = proved.text.text.functions.iter().zip(proved.proofs);
        for (number, (function, proof)) in functions.enumerate() {
            totals.count(function, proof);
            if let Some(why) = proof.no_leaf {
                self.without_cfi.push(Bare {
                    place: proved.place(function, function.start),
                    instructions: proof.counts.undescribed,
                    why: why.name(),
                });
            }
            if !proof.findings.is_empty() {
                self.findings
                    .extend(proved.divergences(number, function, proof));
            }
        }
        if totals.functions != 0 {
            self.totals.add(&totals);
            self.sections.push(Section {
                section: printable(&proved.text.text.name),
                totals,
            });
        }
    }

    /// How many divergences the baseline does not have.
    #[must_use]
    pub fn new_findings(&self) -> usize {
        self.findings.iter().filter(|found| !found.known).count()
    }
}

impl Totals {
    fn count(&mut self, function: &Function, proof: &Proof) {
        let is_bare = function.claims.is_none();
        let is_leaf = is_bare && proof.counts.leaf != 0;
        self.functions += 1;
        self.leaf_functions += u64::from(is_leaf);
        self.functions_without_cfi += u64::from(is_bare && proof.counts.undescribed != 0);
        self.findings += proof.findings.len() as u64;
        self.counts.add(&proof.counts);
    }

    /// Adds those of another section or file.
    pub fn add(&mut self, other: &Self) {
        self.functions += other.functions;
        self.leaf_functions += other.leaf_functions;
        self.functions_without_cfi += other.functions_without_cfi;
        self.findings += other.findings;
        self.counts.add(&other.counts);
    }
}

/// A text section and what was proved of it.
struct Proved<'p> {
    index: usize,
    text: &'p Text,
    is_linked: bool,
    prover: &'p Prover<'p>,
    proofs: &'p [Proof],
}

impl Proved<'_> {
    fn place(&self, function: &Function, offset: u64) -> Place {
        let text = &self.text.text;
        Place {
            symbol: printable(&function.name),
            offset: offset - function.start,
            section: printable(&text.name),
            section_offset: offset,
            address: self.is_linked.then(|| text.address.wrapping_add(offset)),
            text: self.index,
        }
    }

    fn divergences(&self, number: usize, function: &Function, proof: &Proof) -> Vec<Divergence> {
        let facts = match function.claims {
            Some(Claims::Rows(_)) => self.prover.facts(self.index, number),
            _ => Vec::new(),
        };
        let findings = proof.findings.iter();
        findings
            .map(|finding| {
                let scene = Scene {
                    text: &self.text.text,
                    facts: &facts,
                    finding,
                };
                self.divergence(function, finding, scene.guess())
            })
            .collect()
    }

    fn divergence(&self, function: &Function, finding: &Finding, guess: Guess) -> Divergence {
        let (cause, reason) = guess;
        let should = finding.should.map(orc::rule::Rule::Frame);
        Divergence {
            place: self.place(function, finding.offset),
            class: finding.class.name(),
            meaning: finding.class.meaning(),
            instructions: finding.len / 4,
            claim: finding.claim.as_ref().map(|c| Claimed(c).to_string()),
            facts: printable(&finding.facts),
            should: should.map(|rule| Show(rule).to_string()),
            cause: cause.name(),
            reason,
            known: false,
            detail: None,
        }
    }
}
