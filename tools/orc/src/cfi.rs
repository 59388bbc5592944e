// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Call frame information: `.eh_frame` (`.init.eh_frame` in modules) or
//! `.debug_frame`, read into claims about functions.
//!
//! A row that no table can hold is kept as what it is ([`CfiRow::Beyond`]); where it
//! can't be told what the rows are, that function is [`Claims::Unsupported`]. Nothing is
//! left out in silence. Only what linkers write for code that they discarded is dropped,
//! and counted.
//!
//! [`CfiRow::Beyond`]: crate::claim::CfiRow::Beyond

use std::collections::BTreeMap;
use std::ops::Range;

use gimli::{
    BaseAddresses, CieOrFde, DebugFrame, EhFrame, EndianSlice, LittleEndian, UnwindContext,
    UnwindSection, Vendor,
};

use crate::claim::Claims;
use crate::elf::Image;
use crate::error::{Cause, Fault};

mod normal;
mod rows;

use normal::normalize;
use rows::Function;

type Reader<'d> = EndianSlice<'d, LittleEndian>;
type Entry<'d> = gimli::FrameDescriptionEntry<Reader<'d>>;

/// Sections with CFI that the linker keeps for unwinding, and how else they are
/// named: `arch/arm64/include/asm/module.lds.h` renames a module's.
const EH_FRAME: [&str; 2] = [".eh_frame", ".init.eh_frame"];
const DEBUG_FRAME: &str = ".debug_frame";

/// What the CFI of a file says.
#[derive(Debug, Default)]
pub struct Cfi {
    /// One entry a function, sorted by section and start; none overlaps.
    pub entries: Vec<Described>,
    /// Entries for code that the linker has discarded.
    pub discarded: usize,
    /// Size of the sections read, in bytes.
    pub bytes: u64,
}

/// A range of text and the claims about it.
#[derive(Clone, Debug)]
pub struct Described {
    /// Index of the text section.
    pub section: usize,
    /// Offsets in it.
    pub range: Range<u64>,
    /// What the CFI says.
    pub claims: Claims,
}

/// Reads the CFI of a file; `None` when it has none.
///
/// # Errors
///
/// A [`Fault`] when the CFI is malformed, or describes what is not text.
pub fn read(image: &Image<'_>) -> Result<Option<Cfi>, Fault> {
    let mut cfi = Cfi::default();
    for (index, section) in image.sections.iter().enumerate() {
        if EH_FRAME.contains(&&*section.name) && !section.data.is_empty() {
            let normal = normalize(image.relocated(index)?, 0);
            let mut eh = EhFrame::new(&normal.bytes, LittleEndian);
            eh.set_address_size(8);
            eh.set_vendor(Vendor::AArch64);
            read_section(image, index, &eh, &normal.refused, &mut cfi)?;
        }
    }
    if cfi.bytes == 0 {
        for (index, section) in image.sections.iter().enumerate() {
            if section.name == DEBUG_FRAME && !section.data.is_empty() {
                check_uncompressed(section.flags)?;
                let normal = normalize(image.relocated(index)?, u32::MAX);
                let mut debug = DebugFrame::new(&normal.bytes, LittleEndian);
                debug.set_address_size(8);
                debug.set_vendor(Vendor::AArch64);
                read_section(image, index, &debug, &normal.refused, &mut cfi)?;
            }
        }
    }
    if cfi.bytes == 0 {
        return Ok(None);
    }
    cfi.entries = without_overlap(std::mem::take(&mut cfi.entries));
    Ok(Some(cfi))
}

fn check_uncompressed(flags: u64) -> Result<(), Fault> {
    if flags & object::elf::SHF_COMPRESSED.0 != 0 {
        return Err(Fault::new(DEBUG_FRAME, 0, Cause::Compressed));
    }
    Ok(())
}

fn read_section<'d, S>(
    image: &Image<'_>,
    index: usize,
    cfi_section: &S,
    refused: &BTreeMap<usize, String>,
    cfi: &mut Cfi,
) -> Result<(), Fault>
where
    S: UnwindSection<Reader<'d>>,
{
    let section = &image.sections[index];
    let bases = BaseAddresses::default().set_eh_frame(section.address);
    let mut context = UnwindContext::new();
    let mut entries = cfi_section.entries(&bases);
    // gimli tells no offset of a malformed entry; it starts where the last ended.
    let mut at = 0;
    let fault = |at: u64, cause: Cause| Fault::new(&*section.name, at, cause);
    while let Some(entry) = entries.next().map_err(|e| fault(at, e.into()))? {
        let (start, length, format) = match entry {
            CieOrFde::Cie(cie) => (cie.offset(), cie.entry_len(), cie.encoding().format),
            CieOrFde::Fde(partial) => {
                let start = partial.offset();
                let entry = partial
                    .parse(S::cie_from_offset)
                    .map_err(|e| fault(start as u64, e.into()))?;
                let found = describe(image, cfi_section, &bases, &mut context, &entry)
                    .map_err(|cause| fault(start as u64, cause))?;
                match (found, refused.get(&start)) {
                    (Some(found), Some(why)) => cfi.entries.push(Described {
                        claims: Claims::Unsupported(why.clone()),
                        ..found
                    }),
                    (Some(found), None) => cfi.entries.push(found),
                    (None, _) => cfi.discarded += 1,
                }
                (start, entry.entry_len(), entry.cie().encoding().format)
            }
        };
        at = start as u64 + u64::from(format.initial_length_size()) + length as u64;
    }
    let rest = section.data.get(at as usize..).unwrap_or_default();
    if rest.iter().any(|byte| *byte != 0) {
        return Err(fault(at, Cause::AfterTerminator));
    }
    cfi.bytes += section.data.len() as u64;
    Ok(())
}

/// What one FDE says; `None` for code that is not there, an error for an FDE that
/// describes anything but text.
fn describe<'d, S>(
    image: &Image<'_>,
    cfi_section: &S,
    bases: &BaseAddresses,
    context: &mut UnwindContext<usize>,
    entry: &Entry<'d>,
) -> Result<Option<Described>, Cause>
where
    S: UnwindSection<Reader<'d>>,
{
    let start = entry.initial_address();
    if entry.len() == 0 || start == 0 || start >= u64::MAX - 1 {
        return Ok(None);
    }
    let (section, offset) = image
        .text_at(start)
        .ok_or(Cause::DescribesNoText { address: start })?;
    let size = image.sections[section].data.len() as u64;
    let end = offset
        .checked_add(entry.len())
        .filter(|end| *end <= size)
        .ok_or_else(|| Cause::DescribesPastEnd {
            section: image.sections[section].name.to_string(),
        })?;
    if offset % 4 != 0 || end % 4 != 0 {
        return Err(Cause::DescribesPart { address: start });
    }
    let function = Function {
        address: start,
        offset,
        end,
    };
    let rows = function.rows(cfi_section, bases, context, entry);
    let claims = rows.map_or_else(Claims::Unsupported, Claims::Rows);
    Ok(Some(Described {
        section,
        range: offset..end,
        claims,
    }))
}

/// Sorts, and makes one refused entry of those that overlap and differ.
fn without_overlap(mut entries: Vec<Described>) -> Vec<Described> {
    entries.sort_by_key(|e| (e.section, e.range.start, e.range.end));
    let mut kept: Vec<Described> = Vec::with_capacity(entries.len());
    for entry in entries {
        match kept.last_mut() {
            Some(last) if last.section == entry.section && entry.range.start < last.range.end => {
                if last.range == entry.range && last.claims == entry.claims {
                    continue;
                }
                last.range.end = last.range.end.max(entry.range.end);
                last.claims = Claims::Unsupported("several FDEs describe it".into());
            }
            _ => kept.push(entry),
        }
    }
    kept
}
