// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Sections and symbols that stay, with their new numbers, and what holds such
//! numbers: headers, symbols, relocations, groups.

use object::elf;

use crate::elf::Image;
use crate::error::{Cause, Fault};

use super::{put, word32, RELA_BYTES, SYMBOL_BYTES};

/// New numbers of sections and symbols; `None` for what is dropped.
pub(super) struct Numbers {
    sections: Vec<Option<u32>>,
    symbols: Vec<Option<u32>>,
}

impl Numbers {
    pub(super) fn new(image: &Image<'_>, dropped: impl Fn(&str) -> bool) -> Result<Self, Fault> {
        let goes = |index: usize| dropped(&image.sections[index].name);
        let is_relocation = |kind: u32| kind == elf::SHT_RELA.0 || kind == elf::SHT_REL.0;
        let mut next = 0;
        let mut number = |keep: bool| {
            keep.then(|| {
                next += 1;
                next - 1
            })
        };
        let sections: Vec<Option<u32>> = (0..image.sections.len())
            .map(|index| {
                let section = &image.sections[index];
                let target = section.info as usize;
                let of_dropped =
                    is_relocation(section.kind) && target < image.sections.len() && goes(target);
                number(index == 0 || !(goes(index) || of_dropped))
            })
            .collect();
        let mut next = 0;
        let mut symbols = Vec::with_capacity(image.symbols.len());
        for (index, symbol) in image.symbols.iter().enumerate() {
            let stays = symbol.section.is_none_or(|s| sections[s].is_some());
            if !stays && symbol.binding != elf::STB_LOCAL.0 {
                let name = symbol.name.to_string();
                let at = (index * SYMBOL_BYTES) as u64;
                return Err(Fault::new(".symtab", at, Cause::GlobalDropped { name }));
            }
            symbols.push(stays.then_some(next));
            next += u32::from(stays);
        }
        Ok(Self { sections, symbols })
    }

    pub(super) fn section(&self, index: usize) -> Option<u32> {
        self.sections.get(index).copied().flatten()
    }

    fn is_identity(&self) -> bool {
        self.sections.iter().all(Option::is_some)
    }

    /// `sh_link` and `sh_info` of a section, renumbered.
    pub(super) fn links(&self, image: &Image<'_>, index: usize) -> Result<(u32, u32), Fault> {
        let section = &image.sections[index];
        let renumber = |old: u32| match old {
            0 => Ok(0),
            old => self
                .section(old as usize)
                .ok_or_else(|| Fault::new(&*section.name, 0, Cause::RefersToDropped)),
        };
        let link = renumber(section.link)?;
        let info = match elf::SectionType(section.kind) {
            elf::SHT_RELA | elf::SHT_REL => renumber(section.info)?,
            // The symbol that names the group.
            elf::SHT_GROUP => {
                let symbol = self.symbols.get(section.info as usize);
                symbol
                    .copied()
                    .flatten()
                    .ok_or_else(|| Fault::new(&*section.name, 0, Cause::NamedByDropped))?
            }
            // The number of local symbols.
            elf::SHT_SYMTAB => {
                let locals = self.symbols.iter().take(section.info as usize);
                locals.flatten().count() as u32
            }
            _ if section.flags & elf::SHF_INFO_LINK.0 != 0 => renumber(section.info)?,
            _ => section.info,
        };
        Ok((link, info))
    }

    /// The bytes of a section, with its numbers changed.
    pub(super) fn contents(&self, image: &Image<'_>, index: usize) -> Result<Vec<u8>, Fault> {
        let section = &image.sections[index];
        if self.is_identity() {
            return Ok(section.data.to_vec());
        }
        match elf::SectionType(section.kind) {
            elf::SHT_SYMTAB => Ok(self.renumbered_symbols(image, section.data)),
            elf::SHT_RELA => self.renumbered_relocations(&section.name, section.data),
            elf::SHT_GROUP => Ok(self.renumbered_group(section.data)),
            elf::SHT_REL => Err(Fault::new(&*section.name, 0, Cause::RelNotRewritten)),
            _ => Ok(section.data.to_vec()),
        }
    }

    fn renumbered_symbols(&self, image: &Image<'_>, table: &[u8]) -> Vec<u8> {
        let mut kept = Vec::with_capacity(table.len());
        for (index, entry) in table.chunks_exact(SYMBOL_BYTES).enumerate() {
            if self.symbols[index].is_none() {
                continue;
            }
            let at = kept.len();
            kept.extend_from_slice(entry);
            if let Some(number) = image.symbols[index].section.and_then(|s| self.section(s)) {
                // Image::parse has seen that section numbers fit, without SHNDX.
                put(&mut kept, at + 6, &(number as u16).to_le_bytes());
            }
        }
        kept
    }

    /// A group without the members that are dropped; its first word is a flag.
    fn renumbered_group(&self, words: &[u8]) -> Vec<u8> {
        let mut kept = Vec::with_capacity(words.len());
        for (at, member) in words.chunks_exact(4).enumerate() {
            if at == 0 {
                kept.extend_from_slice(member);
            } else if let Some(number) = self.section(word32(member, 0) as usize) {
                kept.extend(number.to_le_bytes());
            }
        }
        kept
    }

    fn renumbered_relocations(&self, name: &str, table: &[u8]) -> Result<Vec<u8>, Fault> {
        let mut kept = table.to_vec();
        for (at, entry) in table.chunks_exact(RELA_BYTES).enumerate() {
            let symbol = word32(entry, 12) as usize;
            let number = self.symbols.get(symbol).copied().flatten().ok_or_else(|| {
                let at = (at * RELA_BYTES) as u64;
                Fault::new(name, at, Cause::AgainstDropped)
            })?;
            put(&mut kept, at * RELA_BYTES + 12, &number.to_le_bytes());
        }
        Ok(kept)
    }
}
