// SPDX-License-Identifier: GPL-2.0 OR MIT

//! An AArch64 ELF file: a linked kernel (`vmlinux`) or a relocatable object
//! (`.o`, `.ko`), checked once so that the readers after it can rely on it.
//!
//! Every section gets an address. In a linked file it is its own; in a
//! relocatable one, where all are 0, loaded ones are laid out one after the other,
//! so that an address names one place in either kind of file. Address 0 is in no
//! text: linkers write it for what they discarded.

use std::borrow::Cow;

use object::elf::{self, FileHeader64};
use object::read::elf::{FileHeader as _, SectionHeader as _, Sym as _};
use object::LittleEndian as Le;

use crate::error::Fault;

/// Where the first section of a relocatable file is laid out.
const FIRST_ADDRESS: u64 = 0x1_0000;
/// Gap after each such section, so that none ends where the next one starts.
const GAP: u64 = 0x1000;

/// A checked ELF file.
#[derive(Debug)]
pub struct Image<'d> {
    /// The whole file.
    pub data: &'d [u8],
    /// `.o` or `.ko`, whose relocations are still to be applied.
    pub relocatable: bool,
    /// All sections; the first one is the null section.
    pub sections: Vec<Section<'d>>,
    /// The symbols of `.symtab`; the first one is the null symbol.
    pub symbols: Vec<Symbol<'d>>,
}

/// One section.
#[derive(Debug)]
pub struct Section<'d> {
    /// Its name.
    pub name: Cow<'d, str>,
    /// `sh_type`.
    pub kind: u32,
    /// `sh_flags`.
    pub flags: u64,
    /// Where its first byte is; see the module's text.
    pub address: u64,
    /// Where its first byte is in the file.
    pub offset: u64,
    /// Its bytes; empty when the file holds none.
    pub data: &'d [u8],
    /// `sh_link`.
    pub link: u32,
    /// `sh_info`.
    pub info: u32,
    /// `sh_addralign`.
    pub align: u64,
}

impl Section<'_> {
    /// Whether instructions are executed from here.
    pub fn is_text(&self) -> bool {
        let wanted = elf::SHF_ALLOC.0 | elf::SHF_EXECINSTR.0;
        self.kind == elf::SHT_PROGBITS.0 && self.flags & wanted == wanted && !self.data.is_empty()
    }

    /// Whether the running kernel has it in memory.
    pub fn is_loaded(&self) -> bool {
        self.flags & elf::SHF_ALLOC.0 != 0
    }

    /// One past the last byte.
    pub fn end(&self) -> u64 {
        self.address.saturating_add(self.data.len() as u64)
    }
}

/// One symbol.
#[derive(Debug)]
pub struct Symbol<'d> {
    /// Its name.
    pub name: Cow<'d, str>,
    /// The section that defines it.
    pub section: Option<usize>,
    /// Its value as an address; 0 when it is undefined.
    pub address: u64,
    /// `st_size`.
    pub size: u64,
    /// Type: `STT_FUNC`, ...
    pub kind: u8,
    /// Binding: `STB_LOCAL`, ...
    pub binding: u8,
}

/// One relocation with explicit addend.
#[derive(Clone, Copy, Debug)]
pub struct Relocation {
    /// Where, from the start of the section it applies to.
    pub offset: u64,
    /// `R_AARCH64_...`.
    pub kind: u32,
    /// Index of the symbol.
    pub symbol: usize,
    /// The addend.
    pub addend: i64,
}

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
        })
    }

    /// The first section of this name that holds bytes.
    pub fn section(&self, name: &str) -> Option<&Section<'d>> {
        self.sections
            .iter()
            .find(|s| s.name == name && !s.data.is_empty())
    }

    /// The address of the symbol with this name, if it is defined.
    pub fn symbol_address(&self, name: &str) -> Option<u64> {
        let mut defined = self.symbols.iter().filter(|s| s.section.is_some());
        defined.find(|s| s.name == name).map(|s| s.address)
    }

    /// The text section that holds this address, and the offset in it.
    pub fn text_at(&self, address: u64) -> Option<(usize, u64)> {
        let mut texts = self.sections.iter().enumerate();
        texts
            .find(|(_, s)| s.is_text() && (s.address..s.end()).contains(&address))
            .map(|(index, s)| (index, address - s.address))
    }

    /// The relocations that apply to this section, in file order.
    ///
    /// # Errors
    ///
    /// A [`Fault`] when one lies outside the section or names no symbol.
    pub fn relocations(&self, section: usize) -> Result<Vec<Relocation>, Fault> {
        let mut found = Vec::new();
        let target = &self.sections[section];
        for table in self.sections.iter() {
            let applies = table.info as usize == section && self.relocatable;
            if applies && table.kind == elf::SHT_REL.0 {
                return Err(Fault::new(
                    &*table.name,
                    0,
                    "relocations without addend are not of this machine",
                ));
            }
            if !applies || table.kind != elf::SHT_RELA.0 {
                continue;
            }
            if table.data.len() % RELA_BYTES != 0 {
                let whole = table.data.len() - table.data.len() % RELA_BYTES;
                return Err(Fault::new(
                    &*table.name,
                    whole as u64,
                    "truncated relocation",
                ));
            }
            for (at, entry) in table.data.chunks_exact(RELA_BYTES).enumerate() {
                let relocation = relocation(entry);
                let at = (at * RELA_BYTES) as u64;
                if relocation.offset >= target.data.len() as u64 {
                    let what = format!("relocation of {} outside the section", target.name);
                    return Err(Fault::new(&*table.name, at, what));
                }
                if relocation.symbol >= self.symbols.len() {
                    return Err(Fault::new(&*table.name, at, "relocation without a symbol"));
                }
                found.push(relocation);
            }
        }
        Ok(found)
    }

    /// The bytes of a section with its relocations applied.
    ///
    /// Only what CFI and the kernel's patch tables use is known here. An undefined
    /// symbol has address 0.
    ///
    /// # Errors
    ///
    /// A [`Fault`] for a relocation of another type, or one that does not fit.
    pub fn relocated(&self, section: usize) -> Result<Cow<'d, [u8]>, Fault> {
        let target = &self.sections[section];
        let relocations = self.relocations(section)?;
        if relocations.is_empty() {
            return Ok(Cow::Borrowed(target.data));
        }
        let mut bytes = target.data.to_vec();
        for relocation in relocations {
            let fault = |what: &str| Fault::new(&*target.name, relocation.offset, what);
            let symbol = self.symbols[relocation.symbol].address;
            let value = symbol.wrapping_add_signed(relocation.addend);
            let place = target.address.wrapping_add(relocation.offset);
            let (value, width) = match elf::RelocationType(relocation.kind) {
                elf::R_AARCH64_NONE => continue,
                elf::R_AARCH64_ABS64 => (value, 8),
                elf::R_AARCH64_PREL64 => (value.wrapping_sub(place), 8),
                elf::R_AARCH64_ABS32 if u32::try_from(value).is_ok() => (value, 4),
                // What is not there can't be reached from anywhere: the sum is 0.
                elf::R_AARCH64_PREL32 => {
                    let distance = value.wrapping_sub(place);
                    i32::try_from(distance as i64)
                        .map_err(|_| fault("relocation does not fit 32 bits"))?;
                    (distance, 4)
                }
                _ => return Err(fault("relocation of a type that has no place here")),
            };
            let at = relocation.offset as usize;
            bytes
                .get_mut(at..)
                .and_then(|rest| rest.get_mut(..width))
                .ok_or_else(|| fault("relocation past the end"))?
                .copy_from_slice(&value.to_le_bytes()[..width]);
        }
        Ok(Cow::Owned(bytes))
    }
}

const RELA_BYTES: usize = 24;

fn relocation(entry: &[u8]) -> Relocation {
    let long = |at: usize| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&entry[at..at + 8]);
        u64::from_le_bytes(bytes)
    };
    Relocation {
        offset: long(0),
        kind: long(8) as u32,
        symbol: (long(8) >> 32) as usize,
        addend: long(16) as i64,
    }
}

const HEADER: &str = "ELF header";

fn header(data: &[u8]) -> Result<&FileHeader64<Le>, Fault> {
    let fault = |offset, what: &str| Fault::new(HEADER, offset, what);
    if data.get(..4) != Some(&elf::ELFMAG) {
        return Err(fault(0, "not an ELF file"));
    }
    match data.get(4..6) {
        Some([class, _]) if *class != elf::ELFCLASS64.0 => return Err(fault(4, "not 64-bit")),
        Some([_, order]) if *order != elf::ELFDATA2LSB.0 => {
            return Err(fault(5, "not little-endian"))
        }
        Some(_) => {}
        None => return Err(fault(4, "truncated")),
    }
    let header =
        FileHeader64::<Le>::parse(data).map_err(|_| fault(0, "truncated or of another version"))?;
    if header.e_machine.get(Le) != elf::EM_AARCH64 {
        return Err(fault(18, "not for AArch64"));
    }
    match header.e_type.get(Le) {
        elf::ET_REL | elf::ET_EXEC | elf::ET_DYN => Ok(header),
        _ => Err(fault(16, "neither a kernel nor a relocatable object")),
    }
}

fn sections<'d>(header: &FileHeader64<Le>, data: &'d [u8]) -> Result<Vec<Section<'d>>, Fault> {
    let table_at = header.e_shoff.get(Le);
    let bad_table = |e: object::read::Error| Fault::new("section table", 0, e.to_string());
    let table = header.sections(Le, data).map_err(bad_table)?;
    if table.is_empty() {
        return Err(Fault::new(HEADER, 40, "no section table"));
    }
    let mut sections = Vec::with_capacity(table.len());
    for (index, raw) in table.enumerate() {
        let at = table_at.saturating_add(index.0 as u64 * 64);
        let name = table
            .section_name(Le, raw)
            .map_err(|e| Fault::new("section table", at - table_at, e.to_string()))?;
        let name = String::from_utf8_lossy(name);
        let bytes = match raw.sh_type.get(Le) {
            elf::SHT_NULL => &[][..],
            _ => raw.data(Le, data).map_err(|_| {
                let offset = raw.sh_offset.get(Le);
                Fault::new(
                    &*name,
                    0,
                    format!("file offset {offset:#x}: past the end of the file"),
                )
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
            return Err(Fault::new(&*first.name, 0, "overlaps the ELF header"));
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

fn check_sorted(sections: &[(u64, &Section<'_>)], place: &str) -> Result<(), Fault> {
    let mut before: Option<(u64, &str)> = None;
    for (start, section) in sections {
        let fault = |what: String| Fault::new(&*section.name, 0, what);
        let size = section.data.len() as u64;
        let end = start
            .checked_add(size)
            .ok_or_else(|| fault("wraps around the end of the address space".into()))?;
        if let Some((_, name)) = before.filter(|(end, _)| end > start) {
            return Err(fault(format!("overlaps {name} {place}")));
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
    let bad = |e: object::read::Error| Fault::new(".symtab", 0, e.to_string());
    let table = header.sections(Le, data).map_err(bad)?;
    let table = table.symbols(Le, data, elf::SHT_SYMTAB).map_err(bad)?;
    let relocatable = header.e_type.get(Le) == elf::ET_REL;
    let mut symbols = Vec::with_capacity(table.len());
    for (index, raw) in table.enumerate() {
        let fault =
            |e: object::read::Error| Fault::new(".symtab", index.0 as u64 * 24, e.to_string());
        let name = String::from_utf8_lossy(table.symbol_name(Le, raw).map_err(fault)?);
        let section = table.symbol_section(Le, raw, index).map_err(fault)?;
        let section = section.map(|s| s.0);
        let base = match section {
            Some(number) if relocatable => sections
                .get(number)
                .map(|s| s.address)
                .ok_or_else(|| Fault::new(".symtab", index.0 as u64 * 24, "no such section"))?,
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
