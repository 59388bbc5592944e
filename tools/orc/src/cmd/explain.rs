// SPDX-License-Identifier: GPL-2.0 OR MIT

//! `orctool explain`: everything about one PC.

use std::path::PathBuf;

use clap::Args;

use super::{print, print_json, Outcome};
use crate::elf::load::{is_no_dwarf, load};
use crate::error::Error;
use crate::explain::{self, text};
use crate::input::Input;
use crate::progress::Verbosity;
use crate::source;

/// Explain one PC: instruction, CFI, facts, rule, and what a walk does there
///
/// PLACE is SYMBOL+OFFSET, SYMBOL, SECTION+OFFSET or ADDRESS, or what the kernel
/// said: the last line of /proc/PID/stack, a line of the trace buffer with the event
/// unwind_orc_unreliable, or an entry of a backtrace. Then the kernel's reason is
/// explained as well, and whether it fits what the table says there.
///
/// The addresses of a running kernel are moved at boot (KASLR) and mean nothing
/// here: give SYMBOL+OFFSET. Symbols of modules are in the module's own file.
///
/// Claim and facts need the CFI. A kernel has it in vmlinux.unstripped; of vmlinux
/// and of an installed module, the table alone is explained.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  orctool explain vmlinux.unstripped schedule+0x40
  orctool explain vmlinux.unstripped \"$(tail -n 1 /proc/1234/stack)\"
  orctool explain ext4.ko 'unreliable: frame pointer mismatch at ext4_iget+0x8/0x20 [ext4]'
  orctool explain --json vmlinux.unstripped 0xffff800080123456")]
pub(super) struct Arguments {
    /// vmlinux.unstripped, vmlinux, FILE.ko or FILE.o
    elf: PathBuf,

    /// The place, or what the kernel said; several words are put together
    #[arg(required = true)]
    place: Vec<String>,

    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments, _: Verbosity) -> Result<Outcome, Error> {
    let file = &arguments.elf;
    let data = load(file, |name| is_no_dwarf(name) || source::is_for_lines(name))?;
    let input = Input::read(&data).map_err(|e| e.in_file(file))?;
    let explanation = explain::explain(file, &input, &arguments.place.join(" "))?;
    match arguments.json {
        true => print_json(&explanation)?,
        false => print(&text::text(&explanation))?,
    }
    Ok(Outcome::Fine)
}
