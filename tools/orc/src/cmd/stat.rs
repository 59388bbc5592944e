// SPDX-License-Identifier: GPL-2.0 OR MIT

//! `orctool stat`: what the tables cover, and what they and others take.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;

use super::{print, print_json, Outcome};
use crate::elf::load::{is_no_dwarf, load};
use crate::error::Error;
use crate::generate::Proved;
use crate::input::Input;
use crate::progress::Verbosity;
use crate::stat::{refused, Section, Stat};
use crate::tables;

/// Print what the tables cover and how large they are
///
/// Sizes stand beside those of .eh_frame, of .sframe (its own size when the file
/// has one, else what SFrame version 2 would take for the same CFI) and of the
/// x86 ORC layout (ten bytes a row, and four for each 256 bytes of text).
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  orctool stat vmlinux
  orctool stat --refused vmlinux
  orctool stat --json ext4.ko")]
pub(super) struct Arguments {
    /// vmlinux, FILE.ko or FILE.o
    elf: PathBuf,

    /// Also list the functions without CFI that are no leaves, and why
    #[arg(long)]
    refused: bool,

    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments, _: Verbosity) -> Result<Outcome, Error> {
    let file = &arguments.elf;
    let data = load(file, is_no_dwarf)?;
    let input = Input::read(&data).map_err(|e| e.in_file(file))?;
    let tables = tables::of(&input).map_err(|e| e.in_file(file))?;
    let mut stat = Stat::new(&input, &tables);
    if arguments.refused {
        if input.cfi.is_none() {
            let what = format!("{}: no CFI, so nothing to prove", file.display());
            return Err(Error::Usage(what));
        }
        let proved = Proved::new(&input, || ());
        let sections = stat.sections.iter_mut().zip(&input.texts);
        for ((section, text), proofs) in sections.zip(&proved.proofs) {
            section.refused = Some(refused(text, proofs));
        }
    }
    match arguments.json {
        true => print_json(&stat)?,
        false => print(&text(&stat))?,
    }
    Ok(Outcome::Fine)
}

fn text(stat: &Stat) -> String {
    let mut out = String::new();
    for section in &stat.sections {
        coverage(&mut out, section);
    }
    let _ = writeln!(out, "sizes in bytes");
    let mut size = |name: &str, bytes: Option<u64>| {
        if let Some(bytes) = bytes {
            let _ = writeln!(out, "  {name:<28} {bytes:>10}");
        }
    };
    size("orc", Some(stat.table_bytes));
    size("call frame information", stat.cfi_bytes);
    size(".sframe", stat.sframe_bytes);
    size("SFrame v2, estimated", stat.sframe_estimate_bytes);
    size("x86 ORC layout", Some(stat.x86_orc_bytes));
    out
}

fn coverage(out: &mut String, section: &Section) {
    let _ = writeln!(
        out,
        "{}: {} bytes, {} functions, {} of them without CFI",
        section.name, section.text_bytes, section.functions, section.functions_without_cfi
    );
    let all = section.instructions.total().max(1) as f64;
    for (name, count) in section.instructions.classes() {
        let percent = count as f64 * 100.0 / all;
        let _ = writeln!(out, "  {name:<28} {count:>10} instructions {percent:7.3} %");
    }
    let without = section.bytes_without_row;
    if let Some(by_cfi) = without.by_cfi_alone {
        let _ = writeln!(
            out,
            "  {} bytes without a usable row besides holes; {by_cfi} if leaves were not proved",
            without.with_leaves
        );
    }
    let per_row = section.table_bytes as f64 / section.rows.max(1) as f64;
    let _ = writeln!(
        out,
        "  {} rows, {} rules, {} bytes of table, {per_row:.2} bytes a row",
        section.rows, section.rules, section.table_bytes
    );
    for refused in section.refused.iter().flatten() {
        let (symbol, address, bytes) = (&refused.symbol, refused.address, refused.bytes);
        let _ = writeln!(
            out,
            "  {address:016x} {bytes:6} {symbol:<40} {}",
            refused.why
        );
    }
}
