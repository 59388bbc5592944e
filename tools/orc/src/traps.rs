// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Which `brk` instructions are of `WARN()` and which of `BUG()`: `__bug_table`.
//!
//! `struct bug_entry` (`include/asm-generic/bug.h`) starts with the distance to the
//! `brk` and ends with the flags. How long it is depends on the configuration.

use std::collections::BTreeMap;

use crate::elf::Image;
use crate::error::{Cause, Fault};
use crate::patches::Table;
use crate::text::Trap;

/// Sizes of an entry, and where its flags are: without file and line, with them,
/// and with the format string of some architectures.
const LAYOUTS: [(usize, usize); 3] = [(12, 10), (8, 4), (16, 14)];
/// `BUGFLAG_WARNING`
const WARNING: u16 = 1;

/// By section and offset, what the table says of each `brk` in it.
///
/// A table that is of none of the known layouts says nothing.
///
/// # Errors
///
/// A [`Fault`] when the section's relocations are malformed.
pub fn read(image: &Image<'_>) -> Result<BTreeMap<(usize, u64), Trap>, Fault> {
    let mut traps = BTreeMap::new();
    for table in Table::linked(image, "__bug_table")? {
        let mut layouts = LAYOUTS.iter();
        let found = layouts.find_map(|&(size, flags)| entries(image, &table, size, flags));
        traps.extend(found.unwrap_or_default());
    }
    Ok(traps)
}

/// The entries of a table whose entries have this many bytes; `None` if one of them
/// does not name a `brk`.
fn entries(
    image: &Image<'_>,
    table: &Table<'_, '_>,
    size: usize,
    flags: usize,
) -> Option<Vec<((usize, u64), Trap)>> {
    let mut found = Vec::new();
    let entry = |at| {
        let (section, offset) = table.text(at, Cause::NotText)?;
        let text = image.sections[section].data;
        let word = text.get(offset as usize..).and_then(<[u8]>::first_chunk);
        let is_brk = word.is_some_and(|word| u32::from_le_bytes(*word) & !0x1f_ffe0 == 0xd420_0000);
        let trap = match table.short(at + flags) & WARNING {
            0 => Trap::Bug,
            _ => Trap::Warning,
        };
        match is_brk {
            true => Ok(Some(((section, offset), trap))),
            false => Err(table.fault(at, Cause::NotBrk)),
        }
    };
    table.each(size, entry, &mut found).ok()?;
    Some(found)
}
