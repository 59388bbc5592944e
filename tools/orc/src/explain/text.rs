// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Explanations for people.

use std::fmt::Write as _;

use super::row::{Row, Verdict};
use super::walk::Walk;
use super::{Explanation, Place};
use crate::show::printable;

/// The whole text.
#[must_use]
pub fn text(explanation: &Explanation) -> String {
    let mut out = String::new();
    if let Some(kernel) = &explanation.kernel {
        let frame = kernel.frame.map(|frame| format!(", frame {frame}"));
        let frame = frame.unwrap_or_default();
        let _ = writeln!(
            out,
            "kernel: {} at {}{frame}",
            printable(&kernel.reason),
            printable(&explanation.asked)
        );
        let meaning = kernel
            .meaning
            .unwrap_or("a reason that this orctool does not know");
        field(&mut out, "meaning", meaning);
    }
    if let Some(why) = &explanation.no_row {
        field(&mut out, "here", why);
    }
    if let Some(other) = explanation
        .cfi_is_in
        .filter(|_| !explanation.places.is_empty())
    {
        let file = printable(&explanation.file);
        let _ = writeln!(
            out,
            "{file} has no CFI any more: claim and facts need {other}"
        );
    }
    for (number, place) in explanation.places.iter().enumerate() {
        if number > 0 {
            out.push('\n');
        }
        write_place(&mut out, place);
    }
    out
}

fn write_place(out: &mut String, place: &Place) {
    if let Some(fit) = place.fit {
        field(out, "here", fit.words());
    }
    if let Some(doubt) = &place.doubt {
        field(out, "doubt", doubt);
    }
    let name = printable(&place.place);
    let section = printable(&place.section);
    let _ = write!(out, "{name}: {section}+{}", place.section_offset);
    if let Some(address) = &place.address {
        let _ = write!(out, ", {address}");
    }
    out.push('\n');
    for shown in &place.instructions {
        let mark = if shown.is_here { '>' } else { ' ' };
        let address = shown.address.trim_start_matches("0x");
        let _ = writeln!(
            out,
            " {mark} {address:>16}  {}  {}",
            shown.word,
            printable(&shown.text)
        );
    }
    let _ = writeln!(out, "interrupted at {}", title(&place.interrupted));
    write_row(out, &place.interrupted);
    match &place.returns_to {
        Some(row) => {
            let _ = writeln!(out, "returns to {name}, by the call at {}", title(row));
            write_row(out, row);
        }
        None => {
            let _ = writeln!(out, "returns to {name}: never, no call stands before it");
        }
    }
}

fn title(row: &Row) -> String {
    let name = printable(&row.place);
    match &row.source {
        Some(source) => format!("{name} ({}:{})", printable(&source.file), source.line),
        None => name,
    }
}

fn write_row(out: &mut String, row: &Row) {
    for (name, value) in [("claim", &row.claim), ("facts", &row.facts)] {
        if let Some(value) = value {
            field(out, name, value);
        }
    }
    field(out, "rule", &row.rule);
    write_verdict(out, &row.verdict);
    match &row.walk {
        Walk::GoesOn { registers, check } => {
            field(out, "walk", &format!("goes on: {registers}"));
            field(out, "check", check);
        }
        Walk::Stops { reason, unless } => {
            let unless = unless.map(|what| format!(", unless {what}"));
            let unless = unless.unwrap_or_default();
            field(out, "walk", &format!("stops: {reason}{unless}"));
        }
    }
}

fn write_verdict(out: &mut String, verdict: &Verdict) {
    let class = verdict.class.map(|class| format!(" ({class})"));
    let class = class.unwrap_or_default();
    let why = printable(&verdict.why);
    field(
        out,
        "verdict",
        &format!("{}{class}: {why}", verdict.verdict),
    );
    if let Some(should) = &verdict.should {
        field(out, "should be", should);
    }
    if let Some(doubt) = &verdict.doubt {
        field(out, "doubt", doubt);
    }
}

fn field(out: &mut String, name: &str, value: &str) {
    let _ = writeln!(out, "  {name:<9} {value}");
}
