// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The tables of a file: those that it carries, or those that its CFI gives.

use object::elf;
use orc::format::Header;
use orc::table::Table;

use crate::elf::{Image, Section};
use crate::error::{Cause, Fault};
use crate::generate;
use crate::input::{table_section, Input, Text, TABLE_SECTION};
use crate::table::{self, Rows};

/// The table of one text section.
#[derive(Debug)]
pub struct Described<'i> {
    /// The section.
    pub text: &'i Text,
    /// Its rows.
    pub rows: Rows,
    /// Size of the table in bytes.
    pub bytes: u64,
    /// Number of distinct rules.
    pub rules: u32,
    /// Whether the file carries the table; else it has been generated.
    pub carried: bool,
}

/// The table of each text section of a file.
///
/// # Errors
///
/// A [`Fault`] when the file has neither tables nor CFI, or a table that the
/// kernel would refuse.
pub fn of<'i>(input: &'i Input<'_>) -> Result<Vec<Described<'i>>, Fault> {
    let mut proved = None;
    let mut described = Vec::new();
    for (number, text) in input.texts.iter().enumerate() {
        if let Some(table) = carried(input, text)? {
            described.push(table);
            continue;
        }
        if input.cfi.is_none() {
            return Err(undescribed(text));
        }
        let proved = proved.get_or_insert_with(|| generate::Proved::new(input, || ()));
        described.push(made(text, proved.rows_of(number, text))?);
    }
    Ok(described)
}

/// The table with these rows.
fn made(text: &Text, rows: Rows) -> Result<Described<'_>, Fault> {
    let fault = |cause| Fault::new(&text.text.name, 0, cause);
    let bytes =
        table::write(&rows, &[0; 20]).map_err(|e| fault(Cause::Unwritable(e.to_string())))?;
    let header = table::words(&bytes).and_then(|words| Header::decode(&words).ok());
    let header = header.ok_or_else(|| fault(Cause::UnreadableTable))?;
    Ok(Described {
        text,
        rules: header.rules,
        bytes: bytes.len() as u64,
        rows,
        carried: false,
    })
}

/// A text section without table and without CFI.
#[must_use]
pub fn undescribed(text: &Text) -> Fault {
    Fault::new(&text.text.name, 0, Cause::NeitherTableNorCfi)
}

/// The table that the file carries for a text section, if it carries one.
///
/// # Errors
///
/// A [`Fault`] when the kernel would refuse it.
pub fn carried<'i>(input: &'i Input<'_>, text: &'i Text) -> Result<Option<Described<'i>>, Fault> {
    let name = table_section(input.image.relocatable, &text.text.name);
    let Some(section) = table_of(&input.image, text, &name)? else {
        return Ok(None);
    };
    let bytes = section.data;
    let fault = |cause| Fault::new(&name, 0, cause);
    // Whether it is of this build is the kernel's question; here it is read. Before
    // `gen --fill` it has no build-id.
    let words = table::words(bytes).ok_or_else(|| fault(Cause::NotATable))?;
    let header = Header::decode(&words).map_err(|_| fault(Cause::NotATable))?;
    let table =
        Table::new(&words, &header.build_id).map_err(|e| fault(Cause::BadTable(e.name())))?;
    if u64::from(header.text_bytes) != text.text.bytes.len() as u64 {
        return Err(fault(Cause::TextOfAnotherSize));
    }
    Ok(Some(Described {
        text,
        rows: Rows {
            text_bytes: header.text_bytes,
            rows: table.rows().collect(),
        },
        bytes: bytes.len() as u64,
        rules: header.rules,
        carried: true,
    }))
}

/// The section with the table of a text section: a module has several, each linked
/// to the text that it describes.
fn table_of<'i, 'd>(
    image: &'i Image<'d>,
    text: &Text,
    name: &str,
) -> Result<Option<&'i Section<'d>>, Fault> {
    if !image.relocatable {
        return Ok(image.section(name));
    }
    let mut tables = image.sections.iter().filter(|section| {
        section.name.starts_with(TABLE_SECTION)
            && section.flags & elf::SHF_LINK_ORDER.0 != 0
            && section.link as usize == text.section
    });
    match (tables.next(), tables.next()) {
        (_, Some(_)) => Err(Fault::new(name, 0, Cause::SecondTable)),
        (table, None) => Ok(table),
    }
}
