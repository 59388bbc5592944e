// SPDX-License-Identifier: GPL-2.0 OR MIT

//! A relocatable file with sections taken out and read-only sections added.
//!
//! All that is kept stays as it is, in its order: contents, flags, alignment,
//! symbols and relocations; only the numbers of sections and symbols change
//! where one before them has gone. (The `object` crate's builder refuses section
//! types that it does not know, and modules have such: `.llvm_addrsig`.)

use object::elf;

use crate::elf::Image;
use crate::error::{Cause, Fault};

mod numbers;

use numbers::Numbers;

const HEADER_BYTES: usize = 64;
const SECTION_BYTES: usize = 64;
const SYMBOL_BYTES: usize = 24;
const RELA_BYTES: usize = 24;

/// A section to add: allocated, read-only, and linked to another.
#[derive(Clone, Copy, Debug)]
pub struct NewSection<'n> {
    /// Its name.
    pub name: &'n str,
    /// The section that it is about, by its number in the image. Whoever renumbers
    /// sections keeps `sh_link` of a section with `SHF_LINK_ORDER` right.
    pub about: usize,
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
        let about = numbers.section(section.about);
        let fault = || Fault::new(section.name, 0, Cause::AboutDropped);
        out.add(name, section, about.ok_or_else(fault)?);
    }
    Ok(out.finish(&names_added))
}

/// What a module never has, and this does not renumber.
fn check(image: &Image<'_>) -> Result<(), Fault> {
    let fault = |offset, cause| Err(Fault::new("ELF header", offset, cause));
    if !image.relocatable {
        return fault(16, Cause::NotRelocatable);
    }
    if image.sections.len() + 64 >= usize::from(elf::SHN_LORESERVE) {
        return fault(60, Cause::TooManySections);
    }
    if word16(image.data, 56) != 0 {
        return fault(56, Cause::WithSegments);
    }
    let symbol_bytes = image.symbols.len() * SYMBOL_BYTES;
    for section in &image.sections {
        if section.kind == elf::SHT_SYMTAB.0 && section.data.len() != symbol_bytes {
            let cause = Cause::SecondSymbolTable;
            return Err(Fault::new(&*section.name, 0, cause));
        }
        if section.kind == elf::SHT_SYMTAB_SHNDX.0 {
            let cause = Cause::ExtendedNumbers;
            return Err(Fault::new(&*section.name, 0, cause));
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

    fn add(&mut self, name: u32, section: &NewSection<'_>, link: u32) {
        let flags = elf::SHF_ALLOC.0 | elf::SHF_LINK_ORDER.0;
        let at = self.append(section.bytes, section.align);
        let mut header = [0; SECTION_BYTES];
        put(&mut header, 0, &name.to_le_bytes());
        put(&mut header, 4, &elf::SHT_PROGBITS.0.to_le_bytes());
        put(&mut header, 8, &flags.to_le_bytes());
        put(&mut header, 24, &at.to_le_bytes());
        put(&mut header, 32, &(section.bytes.len() as u64).to_le_bytes());
        put(&mut header, 40, &link.to_le_bytes());
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
    u32::from(word16(bytes, at)) | (u32::from(word16(bytes, at + 2)) << 16)
}

fn word64(bytes: &[u8], at: usize) -> u64 {
    u64::from(word32(bytes, at)) | (u64::from(word32(bytes, at + 4)) << 32)
}
