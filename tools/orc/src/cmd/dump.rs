// SPDX-License-Identifier: GPL-2.0 OR MIT

//! `orctool dump`: the tables, row by row.

use std::path::PathBuf;

use clap::Args;

use super::{print, Outcome};
use crate::elf::load::{is_no_dwarf, load};
use crate::error::Error;
use crate::input::Input;
use crate::progress::Verbosity;
use crate::{dump, place, tables};

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
    let place = arguments.place.as_ref();
    let found = place.map(|place| place::find(file, &input, place));
    print(&dump::text(&tables, found.transpose()?.as_deref()))?;
    Ok(Outcome::Fine)
}
