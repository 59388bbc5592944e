// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Tables as lines of text, a row a line.

use std::fmt::Write as _;
use std::ops::Range;

use orc::rule::Rule;

use crate::place::Found;
use crate::show::Show;
use crate::tables::Described;
use crate::text::{Function, TextSection};

/// All rows of these tables, or those at these places.
#[must_use]
pub fn text(tables: &[Described<'_>], places: Option<&[Found]>) -> String {
    let mut out = String::new();
    match places {
        None => tables.iter().for_each(|t| section(&mut out, t)),
        Some(found) => found.iter().for_each(|f| selected(&mut out, tables, f)),
    }
    out
}

/// All rows of a section, after a line about its table.
fn section(out: &mut String, table: &Described<'_>) {
    let origin = match table.carried {
        true => "",
        false => ", generated from CFI",
    };
    let _ = writeln!(
        out,
        "{}: {} bytes of text, {} rows, {} rules, {} bytes of table{origin}",
        table.text.text.name,
        table.rows.text_bytes,
        table.rows.rows.len(),
        table.rules,
        table.bytes,
    );
    rows(out, table, 0..u64::from(table.rows.text_bytes));
}

/// The rows of a function, or the one at a place.
fn selected(out: &mut String, tables: &[Described<'_>], found: &Found) {
    let Some(table) = tables.get(found.text) else {
        return;
    };
    let text = &table.text.text;
    let function = text.function_at(found.offset).filter(|_| found.is_whole);
    let range = match function {
        Some(function) => function.start..function.end,
        None => found.offset..found.offset + 4,
    };
    rows(out, table, range);
}

/// The rows over a range, cut where functions start and end.
fn rows(out: &mut String, table: &Described<'_>, range: Range<u64>) {
    let text = &table.text.text;
    let rows = &table.rows.rows;
    let first = rows.partition_point(|(at, _)| u64::from(*at) <= range.start);
    let mut number = first.saturating_sub(1);
    let mut at = range.start;
    while let Some((_, rule)) = rows.get(number).filter(|_| at < range.end) {
        let next_row = rows
            .get(number + 1)
            .map_or(range.end, |(at, _)| u64::from(*at));
        let end = next_row.min(range.end);
        let mut from = at;
        while from < end {
            let (function, to) = around(&text.functions, from);
            let to = to.min(end);
            line(out, text, from..to, function, *rule);
            from = to;
        }
        at = end;
        number += 1;
    }
}

/// The function at this offset, and where it ends or the next one starts.
fn around(functions: &[Function], at: u64) -> (Option<&Function>, u64) {
    let next = functions.partition_point(|f| f.start <= at);
    let until = functions.get(next).map_or(u64::MAX, |f| f.start);
    match next.checked_sub(1).and_then(|last| functions.get(last)) {
        Some(function) if at < function.end => (Some(function), function.end.min(until)),
        _ => (None, until),
    }
}

fn line(
    out: &mut String,
    text: &TextSection,
    range: Range<u64>,
    function: Option<&Function>,
    rule: Rule,
) {
    let name = match function {
        Some(function) => format!("{}+{:#x}", function.name, range.start - function.start),
        None => format!("{}+{:#x}", text.name, range.start),
    };
    let address = text.address + range.start;
    let size = range.end - range.start;
    let _ = writeln!(out, "{address:016x} {size:6} {name:<44} {}", Show(rule));
}
