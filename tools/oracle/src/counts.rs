// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What was judged, counted, and the report of it.

mod report;

use crate::inject::{Fault, Taken};

use orc::reason::Reason;
use std::collections::{BTreeMap, HashMap};

/// What a point is counted as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Outcome {
    /// Reliable, and right.
    Right,
    /// Reliable, and wrong, when asked at this PC.
    Wrong(u64),
    /// Unreliable, because of this PC.
    Refused(Reason, u64),
    /// Not asked.
    NotJudged(Why),
}

/// Why a point was not judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Why {
    /// The kernel does not run at its own addresses yet, or is in the identity map.
    NotMapped,
    /// The stack of no task yet.
    NoTask,
    /// In `cpu_switch_to()`: on one stack and half of another's registers.
    Switching,
    /// Init text is on the stack: the kernel boots.
    InitText,
    /// The call stack is not known.
    TruthLost,
}

impl Why {
    fn name(self) -> &'static str {
        match self {
            Self::NotMapped => "not at kernel addresses",
            Self::NoTask => "no task yet",
            Self::Switching => "in cpu_switch_to",
            Self::InitText => "init text on the stack",
            Self::TruthLost => "truth lost",
        }
    }
}

/// Points of one kind.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cell {
    /// Where the task can't be preempted, and where it can.
    pub points: [u64; 2],
    /// How many walks gave this outcome.
    pub walks: u64,
}

/// All counts of one CPU.
#[derive(Default)]
pub struct Counts {
    cells: Vec<(Outcome, Cell)>,
    numbers: HashMap<Outcome, usize>,
    /// Blocked and preempted tasks, asked as livepatch does.
    pub switched_out: BTreeMap<Outcome, u64>,
    /// Frame records alone: right, wrong, ended nowhere.
    pub records: [u64; 3],
    /// Ends of frames that were not as their traces said, by kind.
    pub ends: BTreeMap<&'static str, u64>,
    /// Words changed, and how the walk took it.
    pub faults: BTreeMap<(Fault, Taken), u64>,
    /// Events seen.
    pub events: BTreeMap<&'static str, u64>,
}

impl Counts {
    /// The cell of an outcome.
    pub fn cell(&mut self, outcome: Outcome) -> usize {
        if let Some(number) = self.numbers.get(&outcome) {
            return *number;
        }
        let number = self.cells.len();
        self.cells.push((outcome, Cell::default()));
        self.numbers.insert(outcome, number);
        number
    }

    /// Whether there was this outcome before.
    pub fn knows(&self, outcome: Outcome) -> bool {
        self.numbers.contains_key(&outcome)
    }

    /// Points that have the outcome of a cell.
    pub fn cell_mut(&mut self, number: usize) -> &mut Cell {
        &mut self.cells[number].1
    }

    /// Adds those of another CPU.
    pub fn merge(&mut self, other: &Self) {
        for (outcome, cell) in &other.cells {
            let number = self.cell(*outcome);
            let sum = &mut self.cells[number].1;
            sum.points[0] += cell.points[0];
            sum.points[1] += cell.points[1];
            sum.walks += cell.walks;
        }
        for (outcome, count) in &other.switched_out {
            *self.switched_out.entry(*outcome).or_default() += count;
        }
        for (sum, count) in self.records.iter_mut().zip(other.records) {
            *sum += count;
        }
        for (name, count) in &other.ends {
            *self.ends.entry(name).or_default() += count;
        }
        for (fault, count) in &other.faults {
            *self.faults.entry(*fault).or_default() += count;
        }
        for (name, count) in &other.events {
            *self.events.entry(name).or_default() += count;
        }
    }

    /// Sums by kind of outcome: right, wrong, refused, not judged; of each, how many
    /// where the task can't and can be preempted.
    pub fn sums(&self) -> [[u64; 2]; 4] {
        let mut sums = [[0; 2]; 4];
        for (outcome, cell) in &self.cells {
            let kind = match outcome {
                Outcome::Right => 0,
                Outcome::Wrong(_) => 1,
                Outcome::Refused(..) => 2,
                Outcome::NotJudged(_) => 3,
            };
            sums[kind][0] += cell.points[0];
            sums[kind][1] += cell.points[1];
        }
        sums
    }

    fn walks(&self) -> u64 {
        self.cells.iter().map(|(_, cell)| cell.walks).sum()
    }
}

/// Distinct PCs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Covered {
    /// Judged.
    pub seen: u64,
    /// There are.
    pub all: u64,
}
