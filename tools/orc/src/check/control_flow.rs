// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The comparison with the control flow that LLVM lists ([`crate::sancov`]), as
//! plain data, and as text.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use crate::input::Input;
use crate::sancov::{self, Kind, Report};
use crate::show::{printable, Claimed};

use super::{hex, hex_or_none};

/// The class under which these findings stand beside those of the proof.
const CLASS: &str = "control-flow";

/// What comes of the comparison.
#[derive(Debug, Serialize)]
pub struct ControlFlow {
    /// Functions that are listed.
    pub functions: u64,
    /// Functions with rows that are not.
    pub functions_not_listed: u64,
    /// Places where listed blocks start.
    pub blocks: u64,
    /// Edges that are listed.
    pub edges: u64,
    /// What they are in machine code.
    pub edges_by_kind: BTreeMap<&'static str, u64>,
    /// Indirect branches in listed functions.
    pub indirect_branches: u64,
    /// Blocks entered by claim when the edges are not known, and when they are.
    pub entered_by_claim: Entered,
    /// Edges that the proof by direct flow does not have.
    pub not_direct: Vec<Edge>,
    /// Where rows and edges do not agree.
    pub disagreements: Vec<Disagreement>,
    /// What of the list says nothing.
    pub malformed: Vec<Malformed>,
}

/// Blocks of listed functions entered by claim.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Entered {
    /// When the edges are not known.
    pub without_edges: u64,
    /// When they are.
    pub with_edges: u64,
}

/// A listed edge. Offsets are from the start of the function.
#[derive(Debug, Serialize)]
pub struct Edge {
    /// The function.
    pub symbol: String,
    /// Where the block starts that it leaves.
    #[serde(serialize_with = "hex")]
    pub from: u64,
    /// Where the block starts that it leads to; none when that is deleted.
    #[serde(serialize_with = "hex_or_none")]
    pub to: Option<u64>,
    /// What it is in machine code.
    pub kind: &'static str,
}

/// A place where rows and edges do not agree.
#[derive(Debug, Serialize)]
pub struct Disagreement {
    /// The function.
    pub symbol: String,
    /// The section.
    pub section: String,
    /// The instruction that control comes from, in the function.
    #[serde(serialize_with = "hex")]
    pub from: u64,
    /// The instruction that it comes to.
    #[serde(serialize_with = "hex")]
    pub to: u64,
    /// What is wrong.
    pub what: &'static str,
    /// What the CFI claims where it arrives.
    pub claim: Option<String>,
    /// What holds where it leaves.
    pub facts: String,
}

/// A place in a list.
#[derive(Debug, Serialize)]
pub struct Malformed {
    /// Index of the section.
    pub section: usize,
    /// Bytes from its start.
    #[serde(serialize_with = "hex")]
    pub offset: u64,
    /// What is wrong there.
    pub what: &'static str,
}

impl ControlFlow {
    /// Compares; `None` for a file without lists.
    #[must_use]
    pub fn check(input: &Input<'_>) -> Option<Self> {
        let report = sancov::check(input)?;
        let counts = &report.counts;
        let kinds = Kind::ALL.into_iter().zip(counts.by_kind);
        Some(Self {
            functions: counts.functions,
            functions_not_listed: counts.not_listed,
            blocks: counts.blocks,
            edges: counts.edges,
            edges_by_kind: kinds.map(|(kind, count)| (kind.name(), count)).collect(),
            indirect_branches: counts.indirect_branches,
            entered_by_claim: Entered {
                without_edges: counts.assumed_without,
                with_edges: counts.assumed_with,
            },
            not_direct: edges(input, &report),
            disagreements: disagreements(input, &report),
            malformed: malformed(&report),
        })
    }

    /// How many findings there are.
    #[must_use]
    pub fn findings(&self) -> usize {
        self.disagreements.len() + self.malformed.len()
    }

    /// For a person: the findings, with `is_verbose` the edges that the proof does
    /// not have, and a line about all of it.
    #[must_use]
    pub fn text(&self, file: &str, is_verbose: bool) -> String {
        let mut out = String::new();
        for found in &self.disagreements {
            found.write(&mut out, file);
        }
        for found in &self.malformed {
            let Malformed {
                section,
                offset,
                what,
            } = found;
            let name = sancov::SECTION;
            let _ = writeln!(
                out,
                "{file}: {name}+{offset:#x} (section {section}): {CLASS}: {what}"
            );
        }
        for edge in self.not_direct.iter().filter(|_| is_verbose) {
            let Edge { symbol, from, .. } = edge;
            let to = edge.to.map_or("nowhere".into(), |to| format!("+{to:#x}"));
            let _ = writeln!(out, "{file}: {symbol}+{from:#x} to {to}: {}", edge.kind);
        }
        self.summary(&mut out, file);
        out
    }

    fn summary(&self, out: &mut String, file: &str) {
        let found = match self.findings() {
            0 => "agrees with the rows".into(),
            found => format!("{found} findings"),
        };
        let kinds = Kind::ALL.map(|kind| {
            let count = self.edges_by_kind.get(kind.name()).unwrap_or(&0);
            format!("{count} {}", kind.name())
        });
        let _ = writeln!(
            out,
            "{file}: {CLASS}: {found}; {} functions listed, {} not; {} blocks; {} edges: {}; \
             {} indirect branches; {} blocks entered by claim without the edges, {} with them",
            self.functions,
            self.functions_not_listed,
            self.blocks,
            self.edges,
            kinds.join(", "),
            self.indirect_branches,
            self.entered_by_claim.without_edges,
            self.entered_by_claim.with_edges,
        );
    }
}

impl Disagreement {
    fn write(&self, out: &mut String, file: &str) {
        let Self { symbol, what, .. } = self;
        let claim = self.claim.as_deref().unwrap_or("nothing");
        let facts = match self.facts.as_str() {
            "" => "none: not reached",
            facts => facts,
        };
        let _ = writeln!(
            out,
            "{file}: {symbol}+{:#x}: {CLASS}: {what}\n  from        {symbol}+{:#x} ({})\n  \
             CFI claims  {claim}\n  facts       {facts}\n",
            self.to, self.from, self.section
        );
    }
}

/// Name and start of a function of the report.
fn function(input: &Input<'_>, (text, function): (usize, usize)) -> Option<(String, u64, String)> {
    let text = &input.texts.get(text)?.text;
    let function = text.functions.get(function)?;
    Some((
        printable(&function.name),
        function.start,
        printable(&text.name),
    ))
}

fn edges(input: &Input<'_>, report: &Report) -> Vec<Edge> {
    let edges = report.not_direct.iter();
    let edges = edges.filter_map(|edge| {
        let (symbol, start, _) = function(input, edge.function)?;
        Some(Edge {
            symbol,
            from: edge.from - start,
            to: edge.to.map(|to| to - start),
            kind: edge.kind.name(),
        })
    });
    edges.collect()
}

fn disagreements(input: &Input<'_>, report: &Report) -> Vec<Disagreement> {
    let found = report.disagreements.iter();
    let found = found.filter_map(|found| {
        let (symbol, start, section) = function(input, found.function)?;
        Some(Disagreement {
            symbol,
            section,
            from: found.from - start,
            to: found.to - start,
            what: found.what.name(),
            claim: found.claim.as_ref().map(|c| Claimed(c).to_string()),
            facts: found.facts.clone(),
        })
    });
    found.collect()
}

fn malformed(report: &Report) -> Vec<Malformed> {
    let found = report.malformed.iter().map(|found| Malformed {
        section: found.section,
        offset: found.offset,
        what: found.problem.text(),
    });
    found.collect()
}
