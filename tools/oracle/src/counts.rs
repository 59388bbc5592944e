// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What was judged, counted, and the report of it.

use crate::image::Image;
use crate::inject::{Fault, Taken};

use orc::reason::Reason;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;

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

    /// Refused points by reason and function.
    fn refusals(&self, image: &Image) -> Vec<(u64, u64, &'static str, String)> {
        let mut by: BTreeMap<(&'static str, String), [u64; 2]> = BTreeMap::new();
        for (outcome, cell) in &self.cells {
            if let Outcome::Refused(reason, pc) = outcome {
                let sum = by.entry((reason.name(), function(image, *pc))).or_default();
                sum[0] += cell.points[0];
                sum[1] += cell.points[1];
            }
        }
        let mut list: Vec<_> = by
            .into_iter()
            .map(|((reason, name), [not, can])| (not + can, can, reason, name))
            .collect();
        list.sort_by(|a, b| b.cmp(a));
        list
    }

    /// The report, for people.
    pub fn text(&self, image: &Image, text: Covered) -> String {
        let [right, wrong, refused, not] = self.sums();
        let sum = |[a, b]: [u64; 2]| a + b;
        let judged = sum(right) + sum(wrong) + sum(refused);
        let mut out = String::new();
        let _ = writeln!(
            out,
            "points judged      {judged}, by {} walks",
            self.walks()
        );
        let _ = writeln!(out, "processor time     {} s", cpu_seconds());
        let _ = writeln!(out, "wrongly reliable   {}", sum(wrong));
        let _ = writeln!(
            out,
            "reliable           {} ({})",
            sum(right),
            share(sum(right), judged)
        );
        let _ = writeln!(out, "refused            {}", sum(refused));
        let can = right[1] + wrong[1] + refused[1];
        let _ = writeln!(
            out,
            "can be preempted   {can}, of them reliable {}",
            share(right[1], can)
        );
        let _ = writeln!(out, "not judged         {}", sum(not));
        let mut wrong_in: BTreeMap<String, u64> = BTreeMap::new();
        for (outcome, cell) in &self.cells {
            if let Outcome::Wrong(pc) = outcome {
                *wrong_in.entry(function(image, *pc)).or_default() += sum(cell.points);
            }
            if let Outcome::NotJudged(why) = outcome {
                let _ = writeln!(out, "    {:>12} {}", sum(cell.points), why.name());
            }
        }
        let _ = writeln!(
            out,
            "PCs of text judged {} of {} ({})",
            text.seen,
            text.all,
            share(text.seen, text.all)
        );
        let [same, other, nowhere] = self.records;
        let records = same + other + nowhere;
        let _ = writeln!(
            out,
            "frame records alone, {records} walks: wrong {} ({}), no end {nowhere}",
            other,
            share(other, records)
        );
        self.switched(&mut out);
        for (name, count) in self.ends.iter().chain(&self.events) {
            let _ = writeln!(out, "{count:>12} {name}");
        }
        let _ = writeln!(
            out,
            "refused, by reason and function (of them where it can be preempted):"
        );
        for (count, can, reason, name) in self.refusals(image).iter().take(40) {
            let _ = writeln!(out, "    {count:>12} {can:>12} {reason}: {name}");
        }
        out
    }

    fn taken(&self, fault: Fault) -> [u64; 3] {
        [Taken::Wrong, Taken::Refused, Taken::Harmless]
            .map(|taken| self.faults.get(&(fault, taken)).copied().unwrap_or(0))
    }

    fn switched(&self, out: &mut String) {
        let mut sums = BTreeMap::new();
        for (outcome, count) in &self.switched_out {
            let name = match outcome {
                Outcome::Right => "right",
                Outcome::Wrong(_) => "wrong",
                Outcome::Refused(reason, _) => reason.name(),
                Outcome::NotJudged(why) => why.name(),
            };
            *sums.entry(name).or_insert(0) += count;
        }
        let all: u64 = sums.values().sum();
        let _ = writeln!(out, "tasks switched out {all}: {sums:?}");
    }

    /// The report, for programs.
    pub fn json(&self, image: &Image, text: Covered) -> String {
        let [right, wrong, refused, not] = self.sums();
        let mut out = String::from("{");
        for (name, [cannot, can]) in [
            ("right", right),
            ("wrong", wrong),
            ("refused", refused),
            ("not_judged", not),
        ] {
            let _ = write!(
                out,
                "\"{name}\":{},\"{name}_preemptible\":{can},",
                cannot + can
            );
        }
        let _ = write!(
            out,
            "\"walks\":{},\"pcs_judged\":{},\"pcs\":{},",
            self.walks(),
            text.seen,
            text.all
        );
        let [same, other, nowhere] = self.records;
        let _ = write!(
            out,
            "\"records_right\":{same},\"records_wrong\":{other},\"records_no_end\":{nowhere},"
        );
        let blocked = |wanted: fn(&Outcome) -> bool| -> u64 {
            let counts = self.switched_out.iter();
            counts
                .filter(|(outcome, _)| wanted(outcome))
                .map(|(_, count)| count)
                .sum()
        };
        let _ = write!(
            out,
            "\"switched_right\":{},\"switched_wrong\":{},\"switched_refused\":{},",
            blocked(|outcome| *outcome == Outcome::Right),
            blocked(|outcome| matches!(outcome, Outcome::Wrong(_))),
            blocked(|outcome| matches!(outcome, Outcome::Refused(..)))
        );
        for (name, count) in self.ends.iter().chain(&self.events) {
            let _ = write!(out, "\"{name}\":{count},");
        }
        for fault in Fault::ALL {
            let [wrong, refused, harmless] = self.taken(fault);
            let _ = write!(out, "\"{}\":[{wrong},{refused},{harmless}],", fault.name());
        }
        out.push_str("\"refusals\":[");
        for (number, (count, can, reason, name)) in self.refusals(image).iter().enumerate() {
            let comma = if number == 0 { "" } else { "," };
            let _ = write!(
                out,
                "{comma}{{\"points\":{count},\"preemptible\":{can},\"reason\":\"{reason}\",\"function\":\"{name}\"}}"
            );
        }
        out.push_str("]}");
        out
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

fn function(image: &Image, pc: u64) -> String {
    match image.name(pc) {
        (name, _) if !name.is_empty() => name,
        _ => format!("{:#x}", pc & !0xfff),
    }
}

fn share(part: u64, all: u64) -> String {
    match all {
        0 => "-".to_owned(),
        _ => format!("{:.4} %", 100.0 * part as f64 / all as f64),
    }
}

/// The time that all threads of this process have taken.
fn cpu_seconds() -> u64 {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: all zero is a value, and the call fills it in.
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr());
        usage.assume_init()
    };
    u64::try_from(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec).unwrap_or(0)
}
