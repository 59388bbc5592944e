// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Source file and line of an instruction, where the file has DWARF line
//! information.
//!
//! Nothing depends on it, so what can't be read is left out and never an error:
//! compressed sections, relocations of a kind that has no place in DWARF, malformed
//! DWARF.

use std::borrow::Cow;
use std::ops::Range;

use addr2line::Context;
use gimli::{AttributeValue, DwLang, DwarfSections, EndianSlice, LittleEndian, SectionId};
use object::elf;

use crate::elf::Image;

/// The DWARF sections of a file, as they lie in it: a linked file's are not copied,
/// and none is read before [`Lines::new`].
pub struct Debug<'d> {
    sections: DwarfSections<Cow<'d, [u8]>>,
    /// Addresses of each section of the file.
    ranges: Vec<Range<u64>>,
}

/// Finds source lines.
///
/// To make one takes time: the units of the whole file are listed, which for a
/// distribution's kernel with 300 MB of DWARF is some tenths of a second. A unit's
/// line table is read when a line of it is asked for.
pub struct Lines<'s> {
    context: Context<EndianSlice<'s, LittleEndian>>,
    ranges: &'s [Range<u64>],
}

/// What DWARF says of a unit as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// The compiler: its name, version and, of some, options.
    pub producer: String,
    /// The source language.
    pub language: Option<String>,
}

/// A language as people write it; for others than a kernel has, DWARF's name of it.
fn language_name(language: DwLang) -> String {
    let name = match language {
        gimli::DW_LANG_C89 | gimli::DW_LANG_C | gimli::DW_LANG_C99 | gimli::DW_LANG_C11 => "C",
        gimli::DW_LANG_C17 => "C",
        gimli::DW_LANG_Rust => "Rust",
        gimli::DW_LANG_Mips_Assembler => "assembly",
        other => return other.to_string(),
    };
    name.to_string()
}

impl<'d> Debug<'d> {
    /// The DWARF of a file; `None` when it has none that can be used.
    #[must_use]
    pub fn of(image: &Image<'d>) -> Option<Self> {
        // Both a unit and its line program are needed for a line.
        image.section(SectionId::DebugInfo.name())?;
        image.section(SectionId::DebugLine.name())?;
        let ranges = image.sections.iter();
        let sections = DwarfSections::load(|id| load(image, id).ok_or(()));
        Some(Self {
            sections: sections.ok()?,
            ranges: ranges.map(|s| s.address..s.end()).collect(),
        })
    }
}

/// The sections that tell the line of an instruction.
const FOR_LINES: [SectionId; 10] = [
    SectionId::DebugAbbrev,
    SectionId::DebugAddr,
    SectionId::DebugAranges,
    SectionId::DebugInfo,
    SectionId::DebugLine,
    SectionId::DebugLineStr,
    SectionId::DebugRanges,
    SectionId::DebugRngLists,
    SectionId::DebugStr,
    SectionId::DebugStrOffsets,
];

/// Whether a section, or the one that it relocates, is needed for [`Lines`].
#[must_use]
pub fn is_for_lines(name: &str) -> bool {
    let name = name.strip_prefix(".rela").unwrap_or(name);
    FOR_LINES.iter().any(|id| id.name() == name)
}

/// A section's bytes; none of a section that is not there or not of use here.
fn load<'d>(image: &Image<'d>, id: SectionId) -> Option<Cow<'d, [u8]>> {
    let mut sections = image.sections.iter();
    let named = sections.position(|s| s.name == id.name() && !s.data.is_empty());
    let Some(index) = named.filter(|_| is_for_lines(id.name())) else {
        return Some(Cow::Borrowed(&[]));
    };
    if image.sections[index].flags & elf::SHF_COMPRESSED.0 != 0 {
        return None;
    }
    image.relocated(index).ok()
}

impl<'s> Lines<'s> {
    /// Reads which units there are; `None` when they are malformed.
    #[must_use]
    pub fn new(debug: &'s Debug<'_>) -> Option<Self> {
        let borrow = |bytes: &'s Cow<'_, [u8]>| EndianSlice::new(bytes, LittleEndian);
        Some(Self {
            context: Context::from_dwarf(debug.sections.borrow(borrow)).ok()?,
            ranges: &debug.ranges,
        })
    }

    /// What compiled the instruction at this offset of section number `section`, and
    /// from which language, as its unit says.
    #[must_use]
    pub fn unit(&self, section: usize, offset: u64) -> Option<Unit> {
        let address = self.address(section, offset)?;
        let unit = self.context.find_dwarf_and_unit(address).skip_all_loads()?;
        let mut entries = unit.entries();
        let (_, root) = entries.next_dfs().ok()??;
        let producer = root.attr_value(gimli::DW_AT_producer).ok()??;
        let producer = unit.attr_string(producer).ok()?.to_string_lossy();
        let language = match root.attr_value(gimli::DW_AT_language) {
            Ok(Some(AttributeValue::Language(language))) => Some(language_name(language)),
            _ => None,
        };
        Some(Unit {
            producer: producer.into_owned(),
            language,
        })
    }

    /// File and line of the instruction at this offset of section number `section`.
    #[must_use]
    pub fn at(&self, section: usize, offset: u64) -> Option<(String, u32)> {
        let address = self.address(section, offset)?;
        let location = self.context.find_location(address).ok()??;
        Some((location.file?.to_string(), location.line?))
    }

    fn address(&self, section: usize, offset: u64) -> Option<u64> {
        let range = self.ranges.get(section)?;
        let address = range.start.checked_add(offset)?;
        range.contains(&address).then_some(address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture(name: &str) -> Vec<u8> {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/");
        std::fs::read(format!("{directory}{name}")).unwrap()
    }

    /// Each function's call, the third instruction; its line in `lines.c`.
    const CALLS: [(&str, u32); 2] = [(".text", 13), (".init.text", 19)];

    fn call(image: &Image<'_>, lines: &Lines<'_>, text: &str) -> Option<(String, u32)> {
        let section = image.sections.iter().position(|s| s.name == text).unwrap();
        lines.at(section, 8)
    }

    #[test]
    fn finds_lines_in_objects_and_linked_files() {
        for name in ["lines-clang.o", "lines-gcc.o", "lines.elf"] {
            let data = fixture(name);
            let image = Image::parse(&data).unwrap();
            let debug = Debug::of(&image).unwrap();
            let lines = Lines::new(&debug).unwrap();
            for (text, expected) in CALLS {
                let (file, line) = call(&image, &lines, text).unwrap();
                assert!(file.ends_with("lines.c"), "{name}: {file}");
                assert_eq!(line, expected, "{name} {text}");
            }
            let text = image.sections.iter().position(|s| s.name == ".text");
            let unit = lines.unit(text.unwrap(), 8).unwrap();
            assert_eq!(unit.language.as_deref(), Some("C"), "{name}");
            let is_gcc = unit.producer.starts_with("GNU C");
            let is_clang = unit.producer.contains("clang version");
            assert!(is_gcc || is_clang, "{name}: {}", unit.producer);
            assert_eq!(lines.unit(0, 8), None, "not text");
            assert_eq!(lines.at(0, 8), None, "not text");
            for outside in [0x1000, u64::MAX, u64::MAX - 1] {
                assert_eq!(lines.at(1, outside), None, "outside");
            }
            assert_eq!(lines.at(usize::MAX, 0), None, "no section");
        }
    }

    #[test]
    fn without_usable_dwarf_there_is_no_line() {
        let data = fixture("clang.o");
        let image = Image::parse(&data).unwrap();
        assert!(Debug::of(&image).is_none(), "no DWARF");

        let data = fixture("lines-clang.o");
        for changed in [".debug_info", ".debug_str"] {
            let mut image = Image::parse(&data).unwrap();
            let mut sections = image.sections.iter_mut();
            let section = sections.find(|s| s.name == changed).unwrap();
            section.flags |= elf::SHF_COMPRESSED.0;
            assert!(Debug::of(&image).is_none(), "compressed {changed}");
        }
    }

    #[test]
    fn no_wrong_byte_panics() {
        for name in ["lines-clang.o", "lines-gcc.o", "lines.elf"] {
            let data = fixture(name);
            let mut image = Image::parse(&data).unwrap();
            let is_debug = |name: &str| name.starts_with(".debug_");
            for index in 0..image.sections.len() {
                if !is_debug(&image.sections[index].name) {
                    continue;
                }
                let sound = image.sections[index].data;
                for at in 0..sound.len() {
                    for value in [0x00, 0x01, 0x7f, 0x80, 0xff] {
                        let mut bytes = sound.to_vec();
                        bytes[at] = value;
                        try_lines(&image, index, &bytes);
                    }
                    try_lines(&image, index, &sound[..at]);
                }
                image.sections[index].data = sound;
            }
        }
    }

    /// Asks for lines with other bytes in one section.
    fn try_lines(image: &Image<'_>, index: usize, bytes: &[u8]) {
        let mut sections = Vec::new();
        for (number, section) in image.sections.iter().enumerate() {
            let data = if number == index { bytes } else { section.data };
            sections.push(crate::elf::Section {
                name: section.name.clone(),
                data,
                ..*section
            });
        }
        let symbols = image.symbols.iter().map(|symbol| crate::elf::Symbol {
            name: symbol.name.clone(),
            ..*symbol
        });
        let changed = Image {
            data: image.data,
            relocatable: image.relocatable,
            sections,
            symbols: symbols.collect(),
            belongings: std::sync::OnceLock::new(),
        };
        let debug = Debug::of(&changed);
        if let Some(lines) = debug.as_ref().and_then(Lines::new) {
            for (text, _) in CALLS {
                let _ = call(&changed, &lines, text);
                let _ = lines.unit(1, 8);
            }
        }
    }
}
