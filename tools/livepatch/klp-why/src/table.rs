// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The report as a person reads it.

use std::fmt::Write as _;

use crate::report::{Blocked, ObjectReport, PatchReport, Report, Transition};
use crate::text::duration;

/// Rows that are shown unless all are asked for.
pub const ROWS: usize = 20;

/// The whole table. `rows`: how many tasks at most.
pub fn text(report: &Report, rows: usize) -> String {
    let mut out = String::new();
    if report.patches.is_empty() {
        out.push_str("no live patch is loaded\n");
    }
    for patch in &report.patches {
        match &report.transition {
            Some(transition) if transition.patch == patch.name => {
                transition_text(&mut out, patch, transition, rows);
            }
            _ => idle(&mut out, patch),
        }
    }
    for missing in &report.missing {
        let _ = writeln!(out, "not known: {missing}");
    }
    out
}

fn idle(out: &mut String, patch: &PatchReport) {
    let state = match (patch.enabled, patch.transition) {
        (_, true) => "in transition",
        (true, false) => "applied to all tasks",
        (false, false) => "disabled",
    };
    let _ = writeln!(out, "{}: {state}; {}", patch.name, replaces(&patch.objects));
}

fn replaces(objects: &[ObjectReport]) -> String {
    let (loaded, absent): (Vec<_>, Vec<_>) = objects.iter().partition(|object| object.patched);
    let list = |objects: &[&ObjectReport]| {
        let functions: usize = objects.iter().map(|object| object.functions).sum();
        let names: Vec<&str> = objects.iter().map(|object| object.name.as_str()).collect();
        let s = if functions == 1 { "" } else { "s" };
        format!("{functions} function{s} in {}", names.join(", "))
    };
    match (loaded.is_empty(), absent.is_empty()) {
        (true, true) => "replaces nothing".to_string(),
        (false, true) => format!("replaces {}", list(&loaded)),
        (true, false) => format!("replaces nothing now, and {} once loaded", list(&absent)),
        (false, false) => format!(
            "replaces {}, and {} once loaded",
            list(&loaded),
            list(&absent)
        ),
    }
}

fn transition_text(out: &mut String, patch: &PatchReport, transition: &Transition, rows: usize) {
    let _ = write!(
        out,
        "{}: in transition to {}",
        patch.name, transition.target
    );
    if let Some(seconds) = transition.seconds {
        let _ = write!(out, " for {}", duration(seconds));
    }
    let _ = writeln!(out, "; {}", replaces(&patch.objects));
    let (switched, tasks) = (transition.switched, transition.tasks);
    let _ = write!(out, "  {switched} of {tasks} tasks switched");
    if let Some(seconds) = transition.signalled_seconds {
        let _ = write!(out, "; first signal sent {} ago", duration(seconds));
    }
    out.push('\n');
    if transition.blocked.is_empty() && switched == tasks {
        out.push_str(
            "  left: idle tasks of CPUs, which /proc does not show, or livepatch's next look\n",
        );
    }
    blocked_text(out, &transition.blocked, rows);
}

fn blocked_text(out: &mut String, blocked: &[Blocked], rows: usize) {
    if blocked.is_empty() {
        return;
    }
    let mut table = vec![["TID", "COMM", "CPU", "SINCE", "WHY", "WILL IT END"].map(String::from)];
    table.extend(blocked.iter().take(rows).map(|task| {
        [
            task.tid.to_string(),
            task.comm.to_string(),
            task.cpu.map_or("-".to_string(), |cpu| cpu.to_string()),
            task.seconds.map_or("-".to_string(), duration),
            task.why.clone(),
            task.when.clone(),
        ]
    }));
    let mut widths = [0; 6];
    for row in &table {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    for row in &table {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            let _ = write!(line, "  {cell:<width$}");
        }
        let _ = writeln!(out, "{}", line.trim_end());
    }
    if let Some(more @ 1..) = blocked.len().checked_sub(rows) {
        let _ = writeln!(out, "  and {more} more (--all)");
    }
}

/// The bar of `--watch`: how many tasks have switched.
pub fn bar(transition: &Transition, width: usize) -> String {
    let (switched, tasks) = (transition.switched, transition.tasks.max(1));
    let full = (switched * width / tasks).min(width);
    let percent = switched * 100 / tasks;
    format!(
        "[{}{}] {percent} %\n",
        "#".repeat(full),
        "-".repeat(width - full)
    )
}
