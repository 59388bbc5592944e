// SPDX-License-Identifier: GPL-2.0 OR MIT

//! A relocatable file with sections taken out and read-only sections added.
//!
//! All that is kept stays as it is, in its order: contents, flags, alignment,
//! symbols and relocations; only the numbers of sections and symbols change
//! where one before them has gone. (The `object` crate's builder refuses section
//! types that it does not know, and modules have such: `.llvm_addrsig`.)

use object::elf;

use crate::elf::Image;
use crate::error::Fault;

const HEADER_BYTES: usize = 64;
const SECTION_BYTES: usize = 64;
const SYMBOL_BYTES: usize = 24;
const RELA_BYTES: usize = 24;

/// A section to add: allocated, read-only.
#[derive(Clone, Copy, Debug)]
pub struct NewSection<'n> {
    /// Its name.
    pub name: &'n str,
    /// Its bytes.
    pub bytes: &'n [u8],
    /// Its alignment.
    pub align: u64,
}

/// The file without the sections whose name `dropped` picks (and without their
/// relocations), and with the sections `added` at the end.
///
/// # Errors
///
/// A [`Fault`] when something that is kept refers to what is dropped, or when
/// the file has what this does not know how to renumber.
pub fn rewrite(
    image: &Image<'_>,
    dropped: impl Fn(&str) -> bool,
    added: &[NewSection<'_>],
) -> Result<Vec<u8>, Fault> {
    check(image)?;
    let numbers = Numbers::new(image, dropped)?;
    let mut out = Output::new(image, &numbers);
    for (index, section) in image.sections.iter().enumerate().skip(1) {
        if numbers.section(index).is_some() {
            let header = header_of(image, index);
            let bytes = numbers.contents(image, index)?;
            let align = section.align;
            out.section(header, &bytes, align, numbers.links(image, index)?);
        }
    }
    let names = image.sections[strings_index(image)].data;
    let mut names_added = names.to_vec();
    for section in added {
        let name = names_added.len() as u32;
        names_added.extend(section.name.as_bytes());
        names_added.push(0);
        out.add(name, section);
    }
    Ok(out.finish(&names_added))
}

/// What a module never has, and this does not renumber.
fn check(image: &Image<'_>) -> Result<(), Fault> {
    let fault = |offset, what: &str| Err(Fault::new("ELF header", offset, what));
    if !image.relocatable {
        return fault(16, "not a relocatable object");
    }
    if image.sections.len() + 64 >= usize::from(elf::SHN_LORESERVE) {
        return fault(60, "too many sections to rewrite");
    }
    if word16(image.data, 56) != 0 {
        return fault(56, "a relocatable object with segments");
    }
    let symbol_bytes = image.symbols.len() * SYMBOL_BYTES;
    for section in &image.sections {
        if section.kind == elf::SHT_SYMTAB.0 && section.data.len() != symbol_bytes {
            let what = "a second symbol table, or part of a symbol";
            return Err(Fault::new(&*section.name, 0, what));
        }
        if section.kind == elf::SHT_GROUP.0 || section.kind == elf::SHT_SYMTAB_SHNDX.0 {
            let what = "section groups and extended indices are not rewritten";
            return Err(Fault::new(&*section.name, 0, what));
        }
    }
    Ok(())
}

fn strings_index(image: &Image<'_>) -> usize {
    usize::from(word16(image.data, 62))
}

/// The header of a section as it stands in the file.
fn header_of(image: &Image<'_>, index: usize) -> [u8; SECTION_BYTES] {
    let table = word64(image.data, 40) as usize;
    let at = table + index * SECTION_BYTES;
    let mut header = [0; SECTION_BYTES];
    header.copy_from_slice(&image.data[at..at + SECTION_BYTES]);
    header
}

/// New numbers of sections and symbols; `None` for what is dropped.
struct Numbers {
    sections: Vec<Option<u32>>,
    symbols: Vec<Option<u32>>,
}

impl Numbers {
    fn new(image: &Image<'_>, dropped: impl Fn(&str) -> bool) -> Result<Self, Fault> {
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
                let what = format!("global symbol {} in a section to drop", symbol.name);
                return Err(Fault::new(".symtab", (index * SYMBOL_BYTES) as u64, what));
            }
            symbols.push(stays.then_some(next));
            next += u32::from(stays);
        }
        Ok(Self { sections, symbols })
    }

    fn section(&self, index: usize) -> Option<u32> {
        self.sections.get(index).copied().flatten()
    }

    fn is_identity(&self) -> bool {
        self.sections.iter().all(Option::is_some)
    }

    /// `sh_link` and `sh_info` of a section, renumbered.
    fn links(&self, image: &Image<'_>, index: usize) -> Result<(u32, u32), Fault> {
        let section = &image.sections[index];
        let renumber = |old: u32| match old {
            0 => Ok(0),
            old => self
                .section(old as usize)
                .ok_or_else(|| Fault::new(&*section.name, 0, "refers to a section to drop")),
        };
        let link = renumber(section.link)?;
        let info = match elf::SectionType(section.kind) {
            elf::SHT_RELA | elf::SHT_REL => renumber(section.info)?,
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
    fn contents(&self, image: &Image<'_>, index: usize) -> Result<Vec<u8>, Fault> {
        let section = &image.sections[index];
        if self.is_identity() {
            return Ok(section.data.to_vec());
        }
        match elf::SectionType(section.kind) {
            elf::SHT_SYMTAB => Ok(self.renumbered_symbols(image, section.data)),
            elf::SHT_RELA => self.renumbered_relocations(&section.name, section.data),
            elf::SHT_REL => Err(Fault::new(&*section.name, 0, "relocations without addend")),
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

    fn renumbered_relocations(&self, name: &str, table: &[u8]) -> Result<Vec<u8>, Fault> {
        let mut kept = table.to_vec();
        for (at, entry) in table.chunks_exact(RELA_BYTES).enumerate() {
            let symbol = word32(entry, 12) as usize;
            let number = self.symbols.get(symbol).copied().flatten().ok_or_else(|| {
                let at = (at * RELA_BYTES) as u64;
                Fault::new(name, at, "relocation against a section to drop")
            })?;
            put(&mut kept, at * RELA_BYTES + 12, &number.to_le_bytes());
        }
        Ok(kept)
    }
}

/// The new file: contents as they come, headers at the end.
struct Output {
    file: Vec<u8>,
    headers: Vec<u8>,
    /// Where in `headers` the section with the names of sections has its own.
    names_at: Option<usize>,
    names_number: Option<u32>,
}

impl Output {
    fn new(image: &Image<'_>, numbers: &Numbers) -> Self {
        Self {
            file: image.data[..HEADER_BYTES].to_vec(),
            headers: header_of(image, 0).to_vec(),
            names_at: None,
            names_number: numbers.section(strings_index(image)),
        }
    }

    fn section(
        &mut self,
        mut header: [u8; SECTION_BYTES],
        bytes: &[u8],
        align: u64,
        (link, info): (u32, u32),
    ) {
        put(&mut header, 40, &link.to_le_bytes());
        put(&mut header, 44, &info.to_le_bytes());
        let number = (self.headers.len() / SECTION_BYTES) as u32;
        if Some(number) == self.names_number {
            // Its contents follow when all names are known.
            self.names_at = Some(self.headers.len());
            self.headers.extend(header);
            return;
        }
        let at = self.append(bytes, align);
        put(&mut header, 24, &at.to_le_bytes());
        if word32(&header, 4) != elf::SHT_NOBITS.0 {
            put(&mut header, 32, &(bytes.len() as u64).to_le_bytes());
        }
        self.headers.extend(header);
    }

    fn add(&mut self, name: u32, section: &NewSection<'_>) {
        let at = self.append(section.bytes, section.align);
        let mut header = [0; SECTION_BYTES];
        put(&mut header, 0, &name.to_le_bytes());
        put(&mut header, 4, &elf::SHT_PROGBITS.0.to_le_bytes());
        put(&mut header, 8, &elf::SHF_ALLOC.0.to_le_bytes());
        put(&mut header, 24, &at.to_le_bytes());
        put(&mut header, 32, &(section.bytes.len() as u64).to_le_bytes());
        put(&mut header, 48, &section.align.to_le_bytes());
        self.headers.extend(header);
    }

    /// Appends bytes, aligned as in memory, and returns where.
    fn append(&mut self, bytes: &[u8], align: u64) -> u64 {
        // An absurd alignment is kept in the header and not in the file.
        let align = align.clamp(1, 0x1_0000) as usize;
        let at = self.file.len().next_multiple_of(align);
        self.file.resize(at, 0);
        self.file.extend_from_slice(bytes);
        at as u64
    }

    fn finish(mut self, names: &[u8]) -> Vec<u8> {
        let at = self.append(names, 1);
        if let Some(header) = self.names_at {
            put(&mut self.headers, header + 24, &at.to_le_bytes());
            put(
                &mut self.headers,
                header + 32,
                &(names.len() as u64).to_le_bytes(),
            );
        }
        let headers = std::mem::take(&mut self.headers);
        let table = self.append(&headers, 8);
        let count = (headers.len() / SECTION_BYTES) as u16;
        let names_number = self.names_number.unwrap_or(0) as u16;
        put(&mut self.file, 40, &table.to_le_bytes());
        put(&mut self.file, 60, &count.to_le_bytes());
        put(&mut self.file, 62, &names_number.to_le_bytes());
        self.file
    }
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

fn word16(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn word32(bytes: &[u8], at: usize) -> u32 {
    u32::from(word16(bytes, at)) | u32::from(word16(bytes, at + 2)) << 16
}

fn word64(bytes: &[u8], at: usize) -> u64 {
    u64::from(word32(bytes, at)) | u64::from(word32(bytes, at + 4)) << 32
}
