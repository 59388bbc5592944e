// SPDX-License-Identifier: GPL-2.0 OR MIT

//! An AArch64 ELF file: a linked kernel (`vmlinux`) or a relocatable object
//! (`.o`, `.ko`), checked once so that the readers after it can rely on it.
//!
//! Every section gets an address. In a linked file it is its own; in a
//! relocatable one, where all are 0, loaded ones are laid out one after the other,
//! so that an address names one place in either kind of file. Address 0 is in no
//! text: linkers write it for what they discarded.

use std::borrow::Cow;
use std::sync::OnceLock;

use object::elf;

use crate::error::{Cause, Fault};

pub mod load;
mod parse;

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
    /// What belongs to which section, found when it is first asked for.
    pub belongings: OnceLock<Belongings>,
}

/// By section, what belongs to it, in file order: a look at each for each section would
/// take a time that grows with the square of their number.
#[derive(Debug)]
pub struct Belongings {
    /// Symbols that it defines.
    symbols: Vec<Vec<usize>>,
    /// Sections with relocations that apply to it.
    tables: Vec<Vec<usize>>,
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

    /// Whether a section of the running kernel holds this address.
    pub fn is_loaded(&self, address: u64) -> bool {
        let mut sections = self.sections.iter();
        sections.any(|s| s.is_loaded() && (s.address..s.end()).contains(&address))
    }

    /// The symbols that this section defines, in file order.
    pub fn symbols_of(&self, section: usize) -> impl Iterator<Item = &Symbol<'d>> {
        let of = self.belongings().symbols.get(section);
        of.into_iter().flatten().map(|index| &self.symbols[*index])
    }

    fn belongings(&self) -> &Belongings {
        self.belongings.get_or_init(|| {
            let mut symbols = vec![Vec::new(); self.sections.len()];
            for (index, symbol) in self.symbols.iter().enumerate() {
                if let Some(of) = symbol.section.and_then(|section| symbols.get_mut(section)) {
                    of.push(index);
                }
            }
            let mut tables = vec![Vec::new(); self.sections.len()];
            for (index, table) in self.sections.iter().enumerate() {
                let is_table = [elf::SHT_REL.0, elf::SHT_RELA.0].contains(&table.kind);
                if !is_table || !self.relocatable {
                    continue;
                }
                if let Some(of) = tables.get_mut(table.info as usize) {
                    of.push(index);
                }
            }
            Belongings { symbols, tables }
        })
    }

    /// The relocations that apply to this section, in file order.
    ///
    /// # Errors
    ///
    /// A [`Fault`] when one lies outside the section or names no symbol.
    pub fn relocations(&self, section: usize) -> Result<Vec<Relocation>, Fault> {
        let mut found = Vec::new();
        let target = &self.sections[section];
        for table in &self.belongings().tables[section] {
            let table = &self.sections[*table];
            if table.kind == elf::SHT_REL.0 {
                return Err(Fault::new(&*table.name, 0, Cause::WithoutAddend));
            }
            if table.data.len() % RELA_BYTES != 0 {
                let whole = table.data.len() - table.data.len() % RELA_BYTES;
                return Err(Fault::new(
                    &*table.name,
                    whole as u64,
                    Cause::TruncatedRelocation,
                ));
            }
            for (at, entry) in table.data.chunks_exact(RELA_BYTES).enumerate() {
                let relocation = relocation(entry);
                let at = (at * RELA_BYTES) as u64;
                if relocation.offset >= target.data.len() as u64 {
                    let target = target.name.to_string();
                    return Err(Fault::new(
                        &*table.name,
                        at,
                        Cause::RelocationOutside { target },
                    ));
                }
                if relocation.symbol >= self.symbols.len() {
                    return Err(Fault::new(&*table.name, at, Cause::RelocationWithoutSymbol));
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
            let fault = |cause| Fault::new(&*target.name, relocation.offset, cause);
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
                    i32::try_from(distance as i64).map_err(|_| fault(Cause::RelocationTooFar))?;
                    (distance, 4)
                }
                _ => return Err(fault(Cause::RelocationType)),
            };
            let at = relocation.offset as usize;
            bytes
                .get_mut(at..)
                .and_then(|rest| rest.get_mut(..width))
                .ok_or_else(|| fault(Cause::RelocationPastEnd))?
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
