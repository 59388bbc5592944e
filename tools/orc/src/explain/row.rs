// SPDX-License-Identifier: GPL-2.0 OR MIT

//! One row, with all that is behind it: claim, facts, verdict, and the walk.

use std::rc::Rc;

use orc::rule::{Rule, Undescribed};
use serde::Serialize;

use super::walk::{walk, Kind, Walk};
use crate::error::Fault;
use crate::generate;
use crate::input::{Input, Text};
use crate::place;
use crate::proof::{Class, Finding};
use crate::show::{Said, Show};
use crate::source::Lines;
use crate::table::Rows;
use crate::tables;

/// A text section, and what is known about it.
pub struct Section<'i> {
    /// The section.
    pub text: &'i Text,
    /// Its rows.
    pub rows: Rows,
    /// The proof, and the rows that come of it; none without CFI.
    proved: Option<Proved<'i>>,
}

/// A section of a file that is proved.
struct Proved<'i> {
    file: Rc<generate::Proved<'i>>,
    /// The number of the section.
    number: usize,
    /// What the proof gives.
    rows: Rows,
}

/// What holds at one instruction, before it is executed.
#[derive(Debug, Serialize)]
pub struct Row {
    /// `SYMBOL+OFFSET` of the instruction.
    pub place: String,
    /// Where it comes from.
    pub source: Option<Source>,
    /// What the CFI says there.
    pub claim: Option<String>,
    /// What is known there; none where no control flow leads to, or nothing is known
    /// about the function's entry.
    pub facts: Option<String>,
    /// What the table says.
    pub rule: String,
    /// How far the rule is proved.
    pub verdict: Verdict,
    /// What a walk does with it.
    pub walk: Walk,
}

/// File and line.
#[derive(Debug, Serialize)]
pub struct Source {
    /// As the compiler was given it.
    pub file: String,
    /// Counts from 1.
    pub line: u32,
}

/// How far a rule is proved.
#[derive(Debug, Default, Serialize)]
pub struct Verdict {
    /// `proved`, `assumed`, `leaf`, `unproved`, `undescribed`, `from-table`.
    pub verdict: &'static str,
    /// Why, in a sentence.
    pub why: String,
    /// Of an unproved one: what is wrong.
    pub class: Option<&'static str>,
    /// Of an unproved one: the row that the facts imply.
    pub should: Option<String>,
    /// The carried table and the proof do not tell the same.
    pub doubt: Option<String>,
}

impl<'i> Section<'i> {
    /// Section number `number` of a file, which is proved if it has CFI, with its
    /// table, if it carries one.
    ///
    /// # Errors
    ///
    /// A [`Fault`] when it has neither, or a table that the kernel would refuse.
    pub fn new(
        input: &'i Input<'_>,
        number: usize,
        file: Option<Rc<generate::Proved<'i>>>,
    ) -> Result<Self, Fault> {
        let text = &input.texts[number];
        let proved = file.map(|file| Proved::new(text, number, file));
        let rows = match (tables::carried(input, text)?, &proved) {
            (Some(table), _) => table.rows,
            (None, Some(proved)) => proved.rows.clone(),
            (None, None) => return Err(tables::undescribed(text)),
        };
        Ok(Self { text, rows, proved })
    }

    /// `SYMBOL+OFFSET`, or `SECTION+OFFSET` where no function is.
    #[must_use]
    pub fn name(&self, offset: u64) -> String {
        let text = &self.text.text;
        let Some(function) = text.function_at(offset) else {
            return format!("{}+{offset:#x}", text.name);
        };
        // What CFI describes apart from a symbol is named by one and an offset already.
        let (name, start) = place::split(&function.name).unwrap_or((&function.name, 0));
        let inside = offset - function.start;
        format!("{name}+{:#x}", start.saturating_add(inside))
    }

    /// What holds at this offset; `None` outside the section.
    #[must_use]
    pub fn row(&self, offset: u64, kind: Kind, lines: Option<&Lines<'_>>) -> Option<Row> {
        let rule = self.rows.at(offset)?;
        let text = &self.text.text;
        let said = text.function_at(offset).and_then(|f| f.row_at(offset));
        let source = lines.and_then(|lines| lines.at(self.text.section, offset));
        Some(Row {
            place: self.name(offset),
            source: source.map(|(file, line)| Source { file, line }),
            claim: said.map(|row| Said(row).to_string()),
            facts: self.facts(rule, offset),
            rule: Show(rule).to_string(),
            verdict: self.verdict(rule, offset),
            walk: walk(rule, kind),
        })
    }

    /// The facts at an instruction that has a rule, or a claim to hold against them.
    /// Of others nothing is known, as nothing is known about their entry.
    fn facts(&self, rule: Rule, offset: u64) -> Option<String> {
        let proved = self.proved.as_ref()?;
        let prover = &proved.file.prover;
        let index = prover.function_at(proved.number, offset)?;
        let is_claimed = self.text.text.functions[index].claims.is_some();
        if !is_claimed && matches!(rule, Rule::Unreliable(_)) {
            return None;
        }
        let facts = prover.facts(proved.number, index);
        let (_, facts) = facts.into_iter().find(|(at, _)| *at == offset)?;
        Some(facts.to_string())
    }

    fn verdict(&self, rule: Rule, offset: u64) -> Verdict {
        let Some(proved) = &self.proved else {
            return from_table(rule);
        };
        let now = proved.rows.at(offset).unwrap_or(rule);
        Verdict {
            doubt: (now != rule).then(|| {
                let now = Show(now);
                format!("the proof gives {now}: the table is not the one of this CFI")
            }),
            ..proved.verdict(self.text, now, offset)
        }
    }
}

impl<'i> Proved<'i> {
    fn new(text: &Text, number: usize, file: Rc<generate::Proved<'i>>) -> Self {
        Self {
            rows: file.rows_of(number, text),
            file,
            number,
        }
    }

    fn verdict(&self, text: &Text, rule: Rule, offset: u64) -> Verdict {
        let index = self.file.prover.function_at(self.number, offset);
        let proof = index.and_then(|index| self.file.proofs[self.number].get(index));
        let covers = |f: &&Finding| (f.offset..f.offset + f.len).contains(&offset);
        if let Some(finding) = proof.and_then(|proof| proof.findings.iter().find(covers)) {
            return unproved(finding);
        }
        let function = text.text.function_at(offset);
        match rule {
            Rule::Unreliable(why) => {
                let no_leaf = proof.and_then(|proof| proof.no_leaf);
                let no_leaf = no_leaf.map(|why| format!(": {why}")).unwrap_or_default();
                because("undescribed", &(undescribed(why).to_string() + &no_leaf))
            }
            Rule::Frame(_) if function.is_some_and(|f| f.claims.is_none()) => because("leaf", LEAF),
            Rule::Frame(_) if proof.is_some_and(|proof| proof.is_assumed(offset)) => {
                because("assumed", ASSUMED)
            }
            Rule::Frame(_) => because("proved", PROVED),
        }
    }
}

const PROVED: &str = "the facts imply what the CFI claims";
const ASSUMED: &str = "the facts imply what the CFI claims, but no direct branch leads here: the \
                       block was entered by the claim of its own row";
const LEAF: &str = "no CFI, but on every path SP, x29 and x30 stay those of the entry";

/// Of a file that has a table and no CFI any more.
fn from_table(rule: Rule) -> Verdict {
    match rule {
        Rule::Unreliable(why) => because("from-table", undescribed(why)),
        Rule::Frame(_) => because("from-table", "it was proved when the table was made"),
    }
}

fn because(verdict: &'static str, why: &str) -> Verdict {
    Verdict {
        verdict,
        why: why.into(),
        ..Verdict::default()
    }
}

fn unproved(finding: &Finding) -> Verdict {
    let meaning = finding.class.meaning();
    Verdict {
        verdict: "unproved",
        why: match finding.class {
            Class::BadCfi => format!("{meaning}: {}", finding.facts),
            _ => meaning.into(),
        },
        class: Some(finding.class.name()),
        should: finding.should.map(|row| Show(Rule::Frame(row)).to_string()),
        doubt: None,
    }
}

/// Why a table says nothing about an instruction.
const fn undescribed(why: Undescribed) -> &'static str {
    match why {
        Undescribed::Hole => "no function is here, or data in one",
        Undescribed::NoCfi => "no CFI, and no proved leaf",
        Undescribed::NotProved => "the facts do not imply what the CFI claims",
        Undescribed::Foreign => "text with conventions of its own, which no task is found in",
        Undescribed::BadCfi => "the CFI says what no row can hold",
    }
}
