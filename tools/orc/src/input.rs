// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Everything that the proof and the tables need from one ELF file.

use std::collections::BTreeMap;
use std::ops::Range;

use object::elf;

use crate::cfi::{self, Cfi};
use crate::elf::{Image, Section};
use crate::error::{Cause, Fault};
use crate::text::{TextSection, Trap};
use crate::{fixups, functions, immediates, patches, traps};

/// Name of the section with a table, or its start: a module's tables are named
/// after the text they describe (`.orc_unwind.init.text`).
pub const TABLE_SECTION: &str = ".orc_unwind";

/// A build-id, as the table's header holds it.
pub type BuildId = [u8; orc::format::BUILD_ID_BYTES];

/// One ELF file, read.
#[derive(Debug)]
pub struct Input<'d> {
    /// The file.
    pub image: Image<'d>,
    /// Its CFI, if it has any.
    pub cfi: Option<Cfi>,
    /// Its text, as much of it as was asked for.
    pub texts: Vec<Text>,
    /// The rest of its text: it may lead into what was asked for.
    pub others: Vec<TextSection>,
}

/// Which text a command looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    /// What gets a table: `.text` of a kernel without its foreign parts, every
    /// text section of an object.
    Tables,
    /// All that holds instructions.
    Everything,
}

/// A text section.
#[derive(Debug)]
pub struct Text {
    /// Its index in the file.
    pub section: usize,
    /// What the proof looks at.
    pub text: TextSection,
    /// The parts that are refused because they follow other conventions.
    pub foreign: Vec<Range<u64>>,
}

impl<'d> Input<'d> {
    /// Reads a file, and of its text what gets a table.
    ///
    /// # Errors
    ///
    /// A [`Fault`] when the file is malformed or not of a kind that we read.
    pub fn read(data: &'d [u8]) -> Result<Self, Fault> {
        Self::read_scope(data, Scope::Tables)
    }

    /// The same, for a caller that can do nothing without CFI.
    ///
    /// # Errors
    ///
    /// A [`Fault`] also when there is text but no CFI.
    pub fn read_with_cfi(data: &'d [u8]) -> Result<Self, Fault> {
        Self::read_scope(data, Scope::Tables)?.require_cfi()
    }

    /// Reads a file with all of its text: what CFI says can be proved wherever it
    /// is said, though a task is never found there.
    ///
    /// # Errors
    ///
    /// A [`Fault`] also when there is text but no CFI.
    pub fn read_all_text(data: &'d [u8]) -> Result<Self, Fault> {
        Self::read_scope(data, Scope::Everything)?.require_cfi()
    }

    fn read_scope(data: &'d [u8], scope: Scope) -> Result<Self, Fault> {
        let image = Image::parse(data)?;
        let cfi = cfi::read(&image)?;
        let tables = Tables::read(&image)?;
        let entries = cfi.as_ref().map_or(&[][..], |cfi| &cfi.entries);
        let (mut texts, mut others) = (Vec::new(), Vec::new());
        for (section, header) in image.sections.iter().enumerate() {
            if !header.is_text() || is_filled_by_loader(header) {
                continue;
            }
            let is_wanted = is_wanted(&image, header, scope);
            let foreign = match scope {
                Scope::Tables if is_wanted => functions::foreign(&image, section),
                _ => Vec::new(),
            };
            let text = tables.text(&image, section, entries, &foreign)?;
            if !is_wanted {
                others.push(text);
                continue;
            }
            check_size(&text)?;
            texts.push(Text {
                section,
                text,
                foreign,
            });
        }
        check_start(&image)?;
        Ok(Self {
            image,
            cfi,
            texts,
            others,
        })
    }

    fn require_cfi(self) -> Result<Self, Fault> {
        match (&self.cfi, self.texts.first()) {
            (None, Some(text)) => Err(Fault::new(&text.text.name, 0, Cause::NoCfi)),
            _ => Ok(self),
        }
    }

    /// The build-id of the file.
    ///
    /// # Errors
    ///
    /// A [`Fault`] when it has none, or one of another length than SHA-1's.
    pub fn build_id(&self) -> Result<BuildId, Fault> {
        let notes = self.image.sections.iter();
        for section in notes.filter(|s| s.kind == elf::SHT_NOTE.0) {
            if let Some((at, id)) = build_id(section.data) {
                return id.try_into().map_err(|_| {
                    let bytes = id.len();
                    Fault::new(&*section.name, at as u64, Cause::BuildIdBytes { bytes })
                });
            }
        }
        Err(Fault::new(".note.gnu.build-id", 0, Cause::NoBuildId))
    }
}

/// Name of the section for the table of a text section.
pub fn table_section(relocatable: bool, text: &str) -> String {
    match relocatable {
        true => format!("{TABLE_SECTION}{text}"),
        false => TABLE_SECTION.to_string(),
    }
}

/// Whether a section is looked at. Of a kernel, `.text` alone gets a table: the
/// other text is freed after boot or is never on the stack of a task. Of a module,
/// all but what its loader fills (`arch/arm64/include/asm/module.lds.h`).
fn is_wanted(image: &Image<'_>, section: &Section<'_>, scope: Scope) -> bool {
    image.relocatable || section.name == ".text" || scope == Scope::Everything
}

fn is_filled_by_loader(section: &Section<'_>) -> bool {
    section.name.ends_with(".plt") || section.name.ends_with(".ftrace_trampoline")
}

/// What the tables of a file say about its text.
struct Tables {
    sites: patches::Sites,
    fixups: Vec<fixups::Site>,
    traps: BTreeMap<(usize, u64), Trap>,
}

impl Tables {
    fn read(image: &Image<'_>) -> Result<Self, Fault> {
        Ok(Self {
            sites: patches::read(image)?,
            fixups: fixups::read(image)?,
            traps: traps::read(image)?,
        })
    }

    /// One text section with what is known of it.
    fn text(
        &self,
        image: &Image<'_>,
        section: usize,
        cfi: &[cfi::Described],
        foreign: &[Range<u64>],
    ) -> Result<TextSection, Fault> {
        let header = &image.sections[section];
        let found = functions::functions(image, section, cfi, foreign);
        let (mut patches, copied) = self.sites.of(section);
        patches.extend(immediates::read(image, section)?);
        patches.sort_by_key(|patch| patch.offset);
        let traps = self.traps.range((section, 0)..(section + 1, 0));
        let branches = patches::relocated_branches(image, section)?;
        let text = TextSection {
            name: header.name.to_string(),
            index: section,
            address: if image.relocatable { 0 } else { header.address },
            bytes: header.data.to_vec(),
            functions: found.functions,
            branches: branches.into_iter().collect(),
            patches,
            fixups: fixups::of(&self.fixups, section),
            data: functions::data(image, section),
            copied,
            entries: found.entries,
            continued: found.continued,
            traps: traps.map(|((_, at), trap)| (*at, *trap)).collect(),
            indirect: BTreeMap::new(),
        };
        Ok(text)
    }
}

/// A table's offsets are 32-bit, and count instructions.
fn check_size(text: &TextSection) -> Result<(), Fault> {
    let size = text.bytes.len();
    if size % 4 != 0 {
        let last = size as u64 / 4 * 4;
        return Err(Fault::new(&text.name, last, Cause::EndsInsideInstruction));
    }
    if u32::try_from(size).is_err() {
        return Err(Fault::new(&text.name, 0, Cause::TooLarge));
    }
    Ok(())
}

/// The kernel looks up offsets from `_stext`.
fn check_start(image: &Image<'_>) -> Result<(), Fault> {
    let text = image.section(".text").filter(|_| !image.relocatable);
    match text.zip(image.symbol_address("_stext")) {
        Some((text, address)) if address != text.address => {
            Err(Fault::new(".text", 0, Cause::StextElsewhere { address }))
        }
        _ => Ok(()),
    }
}

/// The build-id among notes, and its offset.
fn build_id(notes: &[u8]) -> Option<(usize, &[u8])> {
    let word = |at: usize| {
        let bytes: &[u8; 4] = notes.get(at..)?.first_chunk()?;
        usize::try_from(u32::from_le_bytes(*bytes)).ok()
    };
    let mut at = 0_usize;
    loop {
        let (name_bytes, id_bytes, kind) = (word(at)?, word(at + 4)?, word(at + 8)?);
        let name_at = at.checked_add(12)?;
        let id_at = name_at.checked_add(name_bytes.checked_next_multiple_of(4)?)?;
        let name = notes.get(name_at..name_at.checked_add(name_bytes)?)?;
        let id = notes.get(id_at..id_at.checked_add(id_bytes)?)?;
        if kind == elf::NT_GNU_BUILD_ID.0 as usize && name == b"GNU\0" {
            return Some((id_at, id));
        }
        at = id_at.checked_add(id_bytes.checked_next_multiple_of(4)?)?;
    }
}
