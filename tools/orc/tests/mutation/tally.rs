// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What came of all paths and mutants.

use std::collections::BTreeMap;
use std::fmt;

use crate::mutant::Kind;

/// What became of a mutant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// The oracle saw the CFI to be false, and no row that is false is proved.
    RefusedAndFalse,
    /// A row that was proved is proved no more. Paths did not show it to be false.
    Refused,
    /// All that was proved still is; paths met the fault, and it is true.
    Harmless,
    /// All that was proved still is; no path met the fault.
    Unseen,
    /// A row is proved, and a path shows it to be false.
    Wrong,
}

const FATES: [Fate; 5] = [
    Fate::RefusedAndFalse,
    Fate::Refused,
    Fate::Harmless,
    Fate::Unseen,
    Fate::Wrong,
];

/// All of it, added up.
#[derive(Debug, Default)]
pub struct Tally {
    pub paths: u64,
    /// Proved rows, by instruction, that a path came by, and others.
    pub seen: u64,
    pub missed: u64,
    pub wrong: Vec<String>,
    pub unseen: Vec<String>,
    fates: BTreeMap<(Kind, Fate), u64>,
}

impl Tally {
    pub fn with(mut self, other: Self) -> Self {
        self.paths += other.paths;
        self.seen += other.seen;
        self.missed += other.missed;
        self.wrong.extend(other.wrong);
        self.unseen.extend(other.unseen);
        for (key, count) in other.fates {
            *self.fates.entry(key).or_default() += count;
        }
        self
    }

    pub fn note(&mut self, kind: Kind, fate: Fate) {
        *self.fates.entry((kind, fate)).or_default() += 1;
    }

    /// How many mutants became this.
    pub fn count(&self, fate: Fate) -> u64 {
        let fates = self.fates.iter().filter(|((_, f), _)| *f == fate);
        fates.map(|(_, count)| count).sum()
    }

    /// One line about the rows that were compared.
    pub fn rows(&self) -> String {
        format!(
            "{} instructions with a proved row seen on {} paths, {} not reached, {} false",
            self.seen,
            self.paths,
            self.missed,
            self.wrong.len()
        )
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut kinds: Vec<Kind> = self.fates.keys().map(|(kind, _)| *kind).collect();
        kinds.dedup();
        writeln!(
            f,
            "{:24} {:>8} {:>16} {:>8} {:>9} {:>7} {:>6}",
            "", "mutants", "false, refused", "refused", "harmless", "unseen", "wrong"
        )?;
        let line = |f: &mut fmt::Formatter<'_>, name: &str, counts: [u64; 5]| {
            let [refused_and_false, refused, harmless, unseen, wrong] = counts;
            let all: u64 = counts.iter().sum();
            writeln!(
                f,
                "{name:24} {all:8} {refused_and_false:16} {refused:8} {harmless:9} \
                 {unseen:7} {wrong:6}"
            )
        };
        for kind in kinds {
            let count = |fate| self.fates.get(&(kind, fate)).copied().unwrap_or(0);
            line(f, &kind.to_string(), FATES.map(count))?;
        }
        line(f, "all", FATES.map(|fate| self.count(fate)))?;
        let mut some = self.unseen.iter().take(10);
        some.try_for_each(|unseen| writeln!(f, "  not reached: {unseen}"))
    }
}
