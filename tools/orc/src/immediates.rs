// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Instructions of an object whose immediate the linker or the module loader will
//! fill in (`movz x12, #:abs_g0:symbol`, `add x0, x0, :lo12:symbol`).
//!
//! What stands in the word until then is not what will be executed, and the proof
//! must not take it for that. Such a word is given to it as one that may be
//! patched to another immediate: what both have in common is all that is known.

use object::elf;

use crate::a64::insn::{Insn, Reg, Step};
use crate::elf::{Image, Relocation};
use crate::error::Fault;
use crate::patches;
use crate::text::Patch;

/// The lowest bit of the 16-bit immediate of `movz`, `movn` and `movk`.
const MOVE_BIT: u32 = 1 << 5;
/// The lowest bit of the 12-bit immediate of `add` and of loads and stores.
const OFFSET_BIT: u32 = 1 << 10;

/// The words of a text section whose immediate matters to the proof and is not
/// known yet, by offset.
///
/// # Errors
///
/// A [`Fault`] when a relocation is malformed.
pub fn read(image: &Image<'_>, section: usize) -> Result<Vec<Patch>, Fault> {
    let text = image.sections[section].data;
    let relocations = image.relocations(section)?;
    let mut unknown: Vec<Patch> = relocations
        .iter()
        .filter(|relocation| is_immediate(relocation))
        .filter_map(|relocation| other_immediate(text, relocation.offset))
        .collect();
    unknown.sort_by_key(|patch| patch.offset);
    Ok(unknown)
}

fn is_immediate(relocation: &Relocation) -> bool {
    let is_none = elf::RelocationType(relocation.kind) == elf::R_AARCH64_NONE;
    !is_none && !patches::is_branch(relocation.kind)
}

/// The word at `offset` with another immediate; none where it makes no difference:
/// an address that does not come from SP or x29 is not known either way.
fn other_immediate(text: &[u8], offset: u64) -> Option<Patch> {
    let bytes = text.get(usize::try_from(offset).ok()?..)?.first_chunk()?;
    let word = u32::from_le_bytes(*bytes);
    let is_frame = |reg| reg == Reg::SP || reg == Reg::X29;
    let bit = match Insn::decode(word).step {
        Step::Constant { .. } | Step::Insert { .. } => MOVE_BIT,
        Step::Add { from, .. } if is_frame(from) => OFFSET_BIT,
        Step::Access(access) if is_frame(access.base) => OFFSET_BIT,
        _ => return None,
    };
    Some(Patch {
        offset,
        len: 4,
        replacement: vec![word ^ bit],
        targets: Vec::new(),
    })
}
