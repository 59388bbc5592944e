// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The report.

use super::{Counts, Covered, Outcome};
use crate::image::Image;
use crate::inject::{Fault, Taken};

use std::collections::BTreeMap;
use std::fmt::Write;

impl Counts {
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
        if !wrong_in.is_empty() {
            let _ = writeln!(out, "wrong, by function: {wrong_in:?}");
        }
        let _ = writeln!(out, "words of the stack changed: wrong, refused, harmless");
        for fault in Fault::ALL {
            let [wrong, refused, harmless] = self.taken(fault);
            let name = fault.name();
            let _ = writeln!(out, "    {wrong:>9} {refused:>9} {harmless:>9} {name}");
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
