// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Divergences for a person at a terminal.
//!
//! With colours always: whoever prints it takes them out where they have no place.

use std::fmt::Write as _;
use std::time::Duration;

use anstyle::{AnsiColor, Style};

use super::detail::{Detail, Line};
use super::{Bare, Divergence, File, Totals};

const BOLD: Style = Style::new().bold();
const BAD: Style = AnsiColor::Red.on_default().bold();
const MARKED: Style = AnsiColor::Yellow.on_default();
const FAINT: Style = Style::new().dimmed();

/// One divergence: a line that an editor can jump from, what differs, and the
/// instructions.
pub fn divergence(out: &mut String, file: &str, found: &Divergence) {
    let place = &found.place;
    let detail = found.detail.as_ref();
    let source = detail.and_then(|detail| detail.source.as_ref());
    let at = match source {
        Some(source) => format!("{}:{}", source.file, source.line),
        None => file.to_string(),
    };
    let known = if found.known {
        " (in the baseline)"
    } else {
        ""
    };
    let _ = writeln!(
        out,
        "{BOLD}{at}: {}+{:#x}{BOLD:#}: {BAD}{}{BAD:#}{known}",
        place.symbol, place.offset, found.class,
    );
    let mut line = |name: &str, text: &str| {
        let _ = writeln!(out, "  {name:<12}{text}");
    };
    line("meaning", found.meaning);
    line("at", &address(file, found));
    line("affected", &instructions(found.instructions));
    line("CFI claims", found.claim.as_deref().unwrap_or("nothing"));
    let facts = match found.facts.as_str() {
        "" => "none: not reached",
        facts => facts,
    };
    line("facts", facts);
    line(
        "should be",
        found
            .should
            .as_deref()
            .unwrap_or("none that the facts imply"),
    );
    line(
        "cause",
        &format!("{}, perhaps: {}", found.cause, found.reason),
    );
    if let Some(detail) = detail {
        line("compiler", &compiler(detail));
        listing(out, &detail.listing);
    }
    out.push('\n');
}

fn address(file: &str, found: &Divergence) -> String {
    let place = &found.place;
    let section = format!("{file}: {}+{:#x}", place.section, place.section_offset);
    match place.address {
        Some(address) => format!("{section}, address {address:#x}"),
        None => section,
    }
}

pub(super) fn instructions(count: u64) -> String {
    match count {
        1 => "1 instruction".into(),
        count => format!("{count} instructions"),
    }
}

fn compiler(detail: &Detail) -> String {
    match &detail.language {
        Some(language) => format!("{} ({language})", detail.compiler),
        None => detail.compiler.clone(),
    }
}

/// Instructions with the claims beside them, each claim where it starts; without
/// colours what the report shows, too.
pub fn listing(out: &mut String, lines: &[Line]) {
    let width = lines.iter().map(|line| line.text.chars().count()).max();
    let width = width.unwrap_or(0).min(40);
    let mut before: Option<&Line> = None;
    for line in lines {
        if before.is_some_and(|before| before.offset + 4 != line.offset) {
            let _ = writeln!(out, "      ...");
        }
        let is_same = before.is_some_and(|before| before.claim == line.claim);
        let claim = match &line.claim {
            Some(claim) if !is_same => format!("  | {claim}"),
            _ => String::new(),
        };
        let (mark, style) = match line.affected {
            true => ('>', MARKED),
            false => (' ', FAINT),
        };
        let text = format!("{:<width$}", line.text);
        let row = format!("+{:<#6x} {text}{claim}", line.offset);
        let _ = writeln!(out, "    {style}{mark} {}{style:#}", row.trim_end());
        before = Some(line);
    }
}

/// A function that nothing describes, in a line.
pub fn bare(out: &mut String, file: &str, bare: &Bare) {
    let place = &bare.place;
    let _ = writeln!(
        out,
        "{file}: {}+{:#x}: {}: no CFI and no proved leaf ({}), {}",
        place.section,
        place.section_offset,
        place.symbol,
        bare.why,
        instructions(bare.instructions),
    );
}

/// A line about each section of a file.
pub fn sections(out: &mut String, file: &File) {
    for section in &file.sections {
        let name = format!("{}: {}", file.file, section.section);
        let _ = writeln!(out, "{name}: {}", amounts(&section.totals));
    }
}

/// What the proof of a file relies on, by the numbers in [`crate::proof`].
pub fn assumptions(out: &mut String, file: &File) {
    let counts = &file.totals.counts;
    let all = [
        ("A1", counts.calls, "calls"),
        ("A2", counts.entries, "entries"),
        ("A3", counts.stores_elsewhere, "stores elsewhere"),
        ("A4", counts.stores_in_arrays, "stores in arrays"),
        ("A5", counts.sp_by_run_time, "moves of SP by run time"),
        ("A6", counts.entered_by_claim, "blocks entered by claim"),
        ("A7", counts.no_return, "no-return calls"),
        ("A7", counts.calls_at_end, "calls at the end"),
        ("A8", counts.dead_ends, "dead ends"),
        ("A9", counts.opaque_sites, "opaque sites"),
        ("A10", counts.veneers, "linker veneers"),
        ("A11", counts.kept_over_calls, "registers kept over calls"),
        ("A12", counts.parts, "parts of functions"),
        ("A13", counts.other_stacks, "moves to another stack"),
    ];
    let all = all.map(|(number, count, what)| format!("{number}: {count} {what}"));
    let _ = writeln!(out, "{}: assumptions: {}", file.file, all.join("; "));
}

/// The last line.
pub fn summary(out: &mut String, name: &str, totals: &Totals, known: usize, time: Duration) {
    let found = match (totals.findings, known) {
        (0, _) => "no divergence".to_string(),
        (found, 0) => format!("{BAD}{found} divergences{BAD:#}"),
        (found, known) => format!("{found} divergences, {known} of them in the baseline"),
    };
    let time = time.as_secs_f64();
    let _ = writeln!(
        out,
        "{BOLD}{name}{BOLD:#}: {found}; {}; {time:.2} s",
        amounts(totals)
    );
}

fn amounts(totals: &Totals) -> String {
    let counts = &totals.counts;
    // Nothing that a compiler makes today: not worth a word where there is none.
    let some = |count: u64, before: &str, after: &str| match count {
        0 => String::new(),
        count => format!("{before}{count} {after}"),
    };
    format!(
        "{} functions; {} instructions with CFI: {} proved ({} assumed), {} not{}; \
         {} blocks entered by claim, {} no-return calls, {} dead ends, {} opaque sites{}; \
         without CFI: {} leaves ({} instructions), {} others ({} instructions)",
        totals.functions,
        counts.instructions,
        counts.proved,
        counts.assumed,
        counts.unproved,
        some(counts.inexpressible, " (", "true, in no table)"),
        counts.entered_by_claim,
        counts.no_return,
        counts.dead_ends,
        counts.opaque_sites,
        some(counts.kept_over_calls, ", ", "kept over calls"),
        totals.leaf_functions,
        counts.leaf,
        totals.functions_without_cfi,
        counts.undescribed,
    )
}
