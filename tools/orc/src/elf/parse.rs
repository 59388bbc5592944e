// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Reads an ELF file's header, sections and symbols, and checks what the rest of
//! the tool relies on.

use std::sync::OnceLock;

use object::elf::{self, FileHeader64};
use object::read::elf::{FileHeader as _, SectionHeader as _, Sym as _};
use object::LittleEndian as Le;

use super::{Image, Section, Symbol};
use crate::error::{Cause, Fault};

/// Where the first section of a relocatable file is laid out.
const FIRST_ADDRESS: u64 = 0x1_0000;
/// Gap after each such section, so that none ends where the next one starts.
const GAP: u64 = 0x1000;

impl<'d> Image<'d> {
    /// Reads and checks the headers, the section table and the symbols.
    ///
    /// # Errors
    ///
    /// A [`Fault`] when this is not a 64-bit little-endian AArch64 file of a kind
    /// that we read, is truncated, or has sections that overlap.
    pub fn parse(data: &'d [u8]) -> Result<Self, Fault> {
        let header = header(data)?;
        let relocatable = header.e_type.get(Le) == elf::ET_REL;
        let mut sections = sections(header, data)?;
        check_overlap(header, &sections)?;
        if relocatable {
            lay_out(&mut sections);
        }
        let symbols = symbols(header, data, &sections)?;
        Ok(Self {
            data,
            relocatable,
            sections,
            symbols,
            belongings: OnceLock::new(),
        })
    }
}

const HEADER: &str = "ELF header";

fn header(data: &[u8]) -> Result<&FileHeader64<Le>, Fault> {
    let fault = |offset, cause| Fault::new(HEADER, offset, cause);
    if data.get(..4) != Some(&elf::ELFMAG) {
        return Err(fault(0, Cause::NotElf));
    }
    match data.get(4..6) {
        Some([class, _]) if *class != elf::ELFCLASS64.0 => return Err(fault(4, Cause::Not64Bit)),
        Some([_, order]) if *order != elf::ELFDATA2LSB.0 => {
            return Err(fault(5, Cause::NotLittleEndian))
        }
        Some(_) => {}
        None => return Err(fault(4, Cause::Truncated)),
    }
    let header = FileHeader64::<Le>::parse(data).map_err(|_| fault(0, Cause::BadHeader))?;
    if header.e_machine.get(Le) != elf::EM_AARCH64 {
        return Err(fault(18, Cause::NotAarch64));
    }
    match header.e_type.get(Le) {
        elf::ET_REL | elf::ET_EXEC | elf::ET_DYN => Ok(header),
        _ => Err(fault(16, Cause::NotLinkable)),
    }
}

fn sections<'d>(header: &FileHeader64<Le>, data: &'d [u8]) -> Result<Vec<Section<'d>>, Fault> {
    let table_at = header.e_shoff.get(Le);
    let bad_table = |e: object::read::Error| Fault::new("section table", 0, e);
    let table = header.sections(Le, data).map_err(bad_table)?;
    if table.is_empty() {
        return Err(Fault::new(HEADER, 40, Cause::NoSectionTable));
    }
    let mut sections = Vec::with_capacity(table.len());
    for (index, raw) in table.enumerate() {
        let at = table_at.saturating_add(index.0 as u64 * 64);
        let name = table
            .section_name(Le, raw)
            .map_err(|e| Fault::new("section table", at - table_at, e))?;
        let name = String::from_utf8_lossy(name);
        let bytes = match raw.sh_type.get(Le) {
            elf::SHT_NULL => &[][..],
            _ => raw.data(Le, data).map_err(|_| {
                let offset = raw.sh_offset.get(Le);
                Fault::new(&*name, 0, Cause::PastEndOfFile { offset })
            })?,
        };
        sections.push(Section {
            name,
            kind: raw.sh_type.get(Le).0,
            flags: raw.sh_flags.get(Le).0,
            address: raw.sh_addr.get(Le),
            offset: raw.sh_offset.get(Le),
            data: bytes,
            link: raw.sh_link.get(Le),
            info: raw.sh_info.get(Le),
            align: raw.sh_addralign.get(Le),
        });
    }
    Ok(sections)
}

/// Neither in the file nor, in a linked file, in memory do two sections overlap.
fn check_overlap(header: &FileHeader64<Le>, sections: &[Section<'_>]) -> Result<(), Fault> {
    let filled = || sections.iter().filter(|s| !s.data.is_empty());
    let mut in_file: Vec<_> = filled().map(|s| (s.offset, s)).collect();
    in_file.sort_by_key(|(at, _)| *at);
    check_sorted(&in_file, "in the file")?;
    if let Some((_, first)) = in_file.first() {
        if first.offset < u64::from(header.e_ehsize.get(Le)) {
            return Err(Fault::new(&*first.name, 0, Cause::OverlapsHeader));
        }
    }
    if header.e_type.get(Le) == elf::ET_REL {
        return Ok(());
    }
    let mut in_memory: Vec<_> = filled()
        .filter(|s| s.is_loaded())
        .map(|s| (s.address, s))
        .collect();
    in_memory.sort_by_key(|(at, _)| *at);
    check_sorted(&in_memory, "in memory")
}

fn check_sorted(sections: &[(u64, &Section<'_>)], place: &'static str) -> Result<(), Fault> {
    let mut before: Option<(u64, &str)> = None;
    for (start, section) in sections {
        let fault = |cause| Fault::new(&*section.name, 0, cause);
        let size = section.data.len() as u64;
        let end = start
            .checked_add(size)
            .ok_or_else(|| fault(Cause::WrapsAround))?;
        if let Some((_, name)) = before.filter(|(end, _)| end > start) {
            return Err(fault(Cause::Overlaps {
                name: name.into(),
                place,
            }));
        }
        before = Some((end, &section.name));
    }
    Ok(())
}

/// Gives each loaded section of a relocatable file addresses of its own. Others
/// stay at 0, as in a linked file: DWARF counts from the start of a section.
fn lay_out(sections: &mut [Section<'_>]) {
    let mut next = FIRST_ADDRESS;
    for section in sections.iter_mut().filter(|s| s.is_loaded()) {
        section.address = next;
        // The sum of all sections is less than the file, so this can't wrap.
        next = (next + section.data.len() as u64 + GAP).next_multiple_of(GAP);
    }
}

fn symbols<'d>(
    header: &FileHeader64<Le>,
    data: &'d [u8],
    sections: &[Section<'d>],
) -> Result<Vec<Symbol<'d>>, Fault> {
    let bad = |e: object::read::Error| Fault::new(".symtab", 0, e);
    let table = header.sections(Le, data).map_err(bad)?;
    let table = table.symbols(Le, data, elf::SHT_SYMTAB).map_err(bad)?;
    let relocatable = header.e_type.get(Le) == elf::ET_REL;
    let mut symbols = Vec::with_capacity(table.len());
    for (index, raw) in table.enumerate() {
        let fault = |e: object::read::Error| Fault::new(".symtab", index.0 as u64 * 24, e);
        let name = String::from_utf8_lossy(table.symbol_name(Le, raw).map_err(fault)?);
        let section = table.symbol_section(Le, raw, index).map_err(fault)?;
        let section = section.map(|s| s.0);
        let base = match section {
            Some(number) if relocatable => sections
                .get(number)
                .map(|s| s.address)
                .ok_or_else(|| Fault::new(".symtab", index.0 as u64 * 24, Cause::NoSuchSection))?,
            _ => 0,
        };
        let defined = section.is_some() || raw.is_absolute(Le);
        symbols.push(Symbol {
            name,
            section,
            address: if defined {
                base.wrapping_add(raw.st_value.get(Le))
            } else {
                0
            },
            size: raw.st_size.get(Le),
            kind: raw.st_type().0,
            binding: raw.st_bind().0,
        });
    }
    Ok(symbols)
}
