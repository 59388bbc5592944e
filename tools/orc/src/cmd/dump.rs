// SPDX-License-Identifier: GPL-2.0 OR MIT

//! `orctool dump`: the tables, row by row.

use std::fmt::Write as _;
use std::ops::Range;
use std::path::PathBuf;

use clap::Args;
use orc::rule::Rule;

use super::{print, Outcome};
use crate::elf::load::{is_no_dwarf, load};
use crate::error::Error;
use crate::input::Input;
use crate::place::{self, Found};
use crate::progress::Verbosity;
use crate::show::Show;
use crate::tables::{self, Described};
use crate::text::{Function, TextSection};

/// Print the tables of a kernel or a module
///
/// Shows the tables that the file carries, or else those that its CFI gives. A
/// line is: address (in a module, offset in the section), size in bytes, symbol,
/// and the rule. CFA is the SP of the caller at the call; `ra=[cfa-8]` says that
/// the return address is in the eight bytes at CFA-8, `fp` is the caller's x29,
/// `x29=` what x29 holds: the caller's value, this function's frame record, or
/// something else. With a CFA by x29, `sp=cfa-48..1056` is where SP can be. `signed`:
/// PACIASP has signed the return address before it was saved.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  orctool dump vmlinux
  orctool dump vmlinux schedule
  orctool dump vmlinux schedule+0x40
  orctool dump vmlinux 0xffff800080123456
  orctool dump ext4.ko .init.text+0x40")]
pub(super) struct Arguments {
    /// vmlinux, FILE.ko or FILE.o
    elf: PathBuf,

    /// SYMBOL, SYMBOL+OFFSET, SECTION+OFFSET or ADDRESS
    place: Option<String>,
}

pub(super) fn run(arguments: &Arguments, _: Verbosity) -> Result<Outcome, Error> {
    let file = &arguments.elf;
    let data = load(file, is_no_dwarf)?;
    let input = Input::read(&data).map_err(|e| e.in_file(file))?;
    let tables = tables::of(&input).map_err(|e| e.in_file(file))?;
    let mut out = String::new();
    match &arguments.place {
        None => tables.iter().for_each(|t| section(&mut out, t)),
        Some(place) => {
            let found = place::find(file, &input, place)?;
            found.iter().for_each(|f| selected(&mut out, &tables, f));
        }
    }
    print(&out)?;
    Ok(Outcome::Fine)
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
