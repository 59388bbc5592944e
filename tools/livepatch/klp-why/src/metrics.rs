// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The report for node_exporter's textfile collector.

use std::fmt::Write as _;

use crate::report::Report;
use crate::why::Reason;

/// The whole file, in Prometheus' text format.
pub fn text(report: &Report) -> String {
    let mut out = String::new();
    let head = |out: &mut String, name: &str, help: &str| {
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} gauge");
    };
    head(
        &mut out,
        "klp_patch_in_transition",
        "Whether tasks are being switched to or from a live patch.",
    );
    for patch in &report.patches {
        let (name, transition) = (label(patch.name.as_str()), u8::from(patch.transition));
        let _ = writeln!(
            out,
            "klp_patch_in_transition{{patch=\"{name}\"}} {transition}"
        );
    }
    let Some(transition) = &report.transition else {
        return out;
    };
    let name = label(transition.patch.as_str());
    if let Some(seconds) = transition.seconds {
        let what = "Seconds since the transition started.";
        head(&mut out, "klp_transition_seconds", what);
        let _ = writeln!(
            out,
            "klp_transition_seconds{{patch=\"{name}\"}} {seconds:.3}"
        );
    }
    head(&mut out, "klp_transition_tasks", "Tasks there are.");
    let _ = writeln!(
        out,
        "klp_transition_tasks{{patch=\"{name}\"}} {}",
        transition.tasks
    );
    head(&mut out, "klp_switched_tasks", "Tasks that have switched.");
    let _ = writeln!(
        out,
        "klp_switched_tasks{{patch=\"{name}\"}} {}",
        transition.switched
    );
    let what = "Tasks that have not switched, by what holds them up.";
    head(&mut out, "klp_blocked_tasks", what);
    for reason in Reason::ALL {
        let blocked = transition
            .blocked
            .iter()
            .filter(|task| task.reason == reason);
        let (word, count) = (reason.word(), blocked.count());
        let _ = writeln!(
            out,
            "klp_blocked_tasks{{patch=\"{name}\",reason=\"{word}\"}} {count}"
        );
    }
    out
}

/// A label's value: a line end can't be in it, as the text is safe to show.
fn label(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}
