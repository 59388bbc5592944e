// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Tables into ELF files: an object to link into a kernel, the linked kernel's
//! own section, and the sections of a module.

use object::write::{Object, SectionId};
use object::{Architecture, BinaryFormat, Endianness, SectionKind};

use crate::elf::Image;
use crate::error::{Cause, Fault};
use crate::input::{table_section, BuildId, TABLE_SECTION};
use crate::rewrite::{self, NewSection};

/// Alignment of a table in memory.
pub const TABLE_ALIGN: u64 = 8;

/// Sections of a module that the tables replace.
const CFI_SECTIONS: [&str; 2] = [".eh_frame", ".init.eh_frame"];

/// An AArch64 object whose read-only section [`TABLE_SECTION`] holds this table.
///
/// # Errors
///
/// The message of the writer, which has no reason to fail.
pub fn object(table: &[u8]) -> Result<Vec<u8>, String> {
    let mut object = Object::new(BinaryFormat::Elf, Architecture::Aarch64, Endianness::Little);
    let section: SectionId = object.add_section(
        Vec::new(),
        TABLE_SECTION.as_bytes().to_vec(),
        SectionKind::ReadOnlyData,
    );
    object.set_section_data(section, table, TABLE_ALIGN);
    // Without this note a linker takes the object to want an executable stack.
    object.add_section(Vec::new(), b".note.GNU-stack".to_vec(), SectionKind::Other);
    object.write().map_err(|e| e.to_string())
}

/// The table that a linked kernel holds, and where it is in the file.
///
/// # Errors
///
/// A [`Fault`] when the kernel was linked without one.
pub fn linked_table<'i>(image: &'i Image<'_>) -> Result<(usize, &'i [u8]), Fault> {
    let section = image
        .section(TABLE_SECTION)
        .ok_or_else(|| Fault::new(TABLE_SECTION, 0, Cause::NothingToFill))?;
    Ok((section.offset as usize, section.data))
}

/// The first difference between a table in a kernel, whose build-id and checksum
/// may still be missing, and the one that its text calls for.
pub fn difference(linked: &[u8], wanted: &[u8]) -> Option<String> {
    if linked.len() != wanted.len() {
        return Some(format!(
            "{TABLE_SECTION} has {} bytes, the linked text calls for {}: \
             link again with the tables of this text",
            linked.len(),
            wanted.len()
        ));
    }
    // Checksum and build-id: the two that can only be known after the link.
    let late = 8..8 + 8 + std::mem::size_of::<BuildId>();
    let mut pairs = linked.iter().zip(wanted).enumerate();
    let (at, _) = pairs.find(|(at, (a, b))| a != b && !late.contains(at))?;
    Some(format!(
        "{TABLE_SECTION}+{at:#x} differs from what the linked text calls for: \
         link again with the tables of this text"
    ))
}

/// The table of one of a module's text sections.
#[derive(Debug)]
pub struct ModuleTable {
    /// The number of the text section.
    pub text: usize,
    /// The table.
    pub bytes: Vec<u8>,
}

/// A module with these tables in place of those that it had.
///
/// A table's section is named after the text section and linked to it: two text
/// sections may have one name, and the kernel goes by the link.
///
/// # Errors
///
/// A [`Fault`] when the module can't be taken apart.
pub fn module(image: &Image<'_>, tables: &[ModuleTable], keep_cfi: bool) -> Result<Vec<u8>, Fault> {
    let dropped =
        |name: &str| name.starts_with(TABLE_SECTION) || (!keep_cfi && CFI_SECTIONS.contains(&name));
    let mut names = Vec::with_capacity(tables.len());
    for table in tables {
        let text = image.sections.get(table.text);
        let text = text.ok_or_else(|| Fault::new(TABLE_SECTION, 0, Cause::AboutNoSection))?;
        names.push(table_section(true, &text.name));
    }
    let added: Vec<NewSection<'_>> = tables
        .iter()
        .zip(&names)
        .map(|(table, name)| NewSection {
            name,
            about: table.text,
            bytes: &table.bytes,
            align: TABLE_ALIGN,
        })
        .collect();
    rewrite::rewrite(image, dropped, &added)
}
