// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Divergences as Markdown, by compiler, class and cause: what a bug tracker of a
//! compiler, or the author of an inline asm, needs to see.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::detail::Detail;
use super::{text, Divergence, File};

/// Of each group so many divergences are shown with their evidence, the others in a
/// line.
const IN_FULL: usize = 5;

/// What a group has in common.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Key<'f> {
    compiler: &'f str,
    language: &'f str,
    class: &'f str,
    cause: &'f str,
}

type Group<'f> = Vec<(&'f str, &'f Divergence)>;

/// The report about all divergences of some files.
#[must_use]
pub fn text(files: &[File]) -> String {
    let mut groups: BTreeMap<Key<'_>, Group<'_>> = BTreeMap::new();
    for file in files {
        for found in &file.findings {
            let group = groups.entry(Key::of(found)).or_default();
            group.push((&file.file, found));
        }
    }
    let mut out = String::from("# Call frame information that differs from the instructions\n\n");
    introduction(&mut out, files, groups.len());
    if !groups.is_empty() {
        out.push_str("| compiler | class | cause, perhaps | findings | instructions |\n");
        out.push_str("|---|---|---|---:|---:|\n");
    }
    for (key, group) in &groups {
        let instructions: u64 = group.iter().map(|(_, found)| found.instructions).sum();
        let Key { class, cause, .. } = key;
        let (compiler, count) = (key.compiler(), group.len());
        let _ = writeln!(
            out,
            "| {compiler} | {class} | {cause} | {count} | {instructions} |"
        );
    }
    for (key, group) in &groups {
        write_group(&mut out, key, group);
    }
    for file in files {
        if let Some(flow) = &file.control_flow {
            let text = flow.text(&file.file, false);
            let _ = writeln!(out, "\n## Control flow that LLVM lists\n\n```\n{text}```");
        }
    }
    out
}

fn introduction(out: &mut String, files: &[File], groups: usize) {
    let version = env!("CARGO_PKG_VERSION");
    let _ = writeln!(
        out,
        "`orctool {version}` follows SP, x29, x30 and the stack slots that hold the return\n\
         address and the caller's x29 from the entry of each function along its direct\n\
         branches, and compares what holds at each instruction with the row that the CFI\n\
         has for it. What follows are the instructions where the two differ.\n"
    );
    for file in files {
        let totals = &file.totals;
        let counts = &totals.counts;
        let _ = writeln!(
            out,
            "* `{}`: {} functions, {} instructions with CFI, {} of them not as their row says,\n  \
             in {} runs",
            file.file, totals.functions, counts.instructions, counts.unproved, totals.findings
        );
    }
    if groups == 0 {
        out.push_str("\nNo divergence was found.\n");
    }
    out.push('\n');
}

impl<'f> Key<'f> {
    fn of(found: &'f Divergence) -> Self {
        let detail = found.detail.as_ref();
        Self {
            compiler: detail.map_or("unknown compiler", |detail| &detail.compiler),
            language: detail
                .and_then(|d| d.language.as_deref())
                .unwrap_or_default(),
            class: found.class,
            cause: found.cause,
        }
    }

    fn compiler(&self) -> String {
        match self.language {
            "" => self.compiler.to_string(),
            language => format!("{}, {language}", self.compiler),
        }
    }
}

fn write_group(out: &mut String, key: &Key<'_>, group: &Group<'_>) {
    let compiler = key.compiler();
    let _ = writeln!(out, "\n## {compiler}: {}, {}\n", key.class, key.cause);
    if let Some((_, found)) = group.first() {
        let mut meaning = found.meaning.chars();
        let first = meaning.next().map(|c| c.to_ascii_uppercase());
        let rest = meaning.as_str();
        let _ = writeln!(
            out,
            "{}{rest}.",
            first.map(String::from).unwrap_or_default()
        );
        if let Some(producer) = found.detail.as_ref().and_then(|d| d.producer.as_ref()) {
            let _ = writeln!(
                out,
                "\nFor the first one, DWARF gives as compiler and options:\n"
            );
            let _ = writeln!(out, "    {producer}");
        }
    }
    for (file, found) in group.iter().take(IN_FULL) {
        write_divergence(out, file, found);
    }
    if group.len() > IN_FULL {
        let _ = writeln!(out, "\nOf the same kind:\n");
    }
    for (file, found) in group.iter().skip(IN_FULL) {
        let place = &found.place;
        let claim = found.claim.as_deref().unwrap_or("nothing");
        let _ = writeln!(
            out,
            "* `{}+{:#x}` ({file}{}), {}: claims `{claim}`, should be `{}`",
            place.symbol,
            place.offset,
            source(found.detail.as_ref()),
            text::instructions(found.instructions),
            found.should.as_deref().unwrap_or("no row"),
        );
    }
}

fn write_divergence(out: &mut String, file: &str, found: &Divergence) {
    let place = &found.place;
    let detail = found.detail.as_ref();
    let _ = writeln!(out, "\n### `{}+{:#x}`\n", place.symbol, place.offset);
    let _ = writeln!(
        out,
        "{file}: {}+{:#x}{}; {}.\n",
        place.section,
        place.section_offset,
        source(detail),
        text::instructions(found.instructions),
    );
    let mut row = |name: &str, what: Option<&str>, other: &str| {
        let what = what.filter(|what| !what.is_empty());
        let what = what.map_or(other.to_string(), |what| format!("`{what}`"));
        let _ = writeln!(out, "* {name}: {what}");
    };
    row("the CFI claims", found.claim.as_deref(), "nothing");
    row(
        "what holds",
        Some(&found.facts),
        "nothing known: not reached",
    );
    let none = "none that what holds would imply";
    row("the row should be", found.should.as_deref(), none);
    let _ = writeln!(out, "* cause, perhaps: {} ({})", found.cause, found.reason);
    if let Some(detail) = detail {
        out.push_str("\n```\n");
        let mut listing = String::new();
        text::listing(&mut listing, &detail.listing);
        out.push_str(&anstream::adapter::strip_str(&listing).to_string());
        out.push_str("```\n");
    }
}

fn source(detail: Option<&Detail>) -> String {
    let source = detail.and_then(|detail| detail.source.as_ref());
    source.map_or(String::new(), |s| format!(", {}:{}", s.file, s.line))
}
