// SPDX-License-Identifier: GPL-2.0 OR MIT

//! A file in memory without the sections that nobody will look at.
//!
//! Nine tenths of a distribution's vmlinux are DWARF. To read it takes longer than
//! to prove all rows, and more memory than everything else.

use std::fs::File;
use std::io::Read as _;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use object::elf::{self, FileHeader64};
use object::read::elf::{FileHeader as _, SectionHeader as _};
use object::{LittleEndian as Le, ReadCache};

use crate::error::Error;
use crate::output;

/// Whether a section is needed by those who do not ask for lines of source.
#[must_use]
pub fn is_no_dwarf(name: &str) -> bool {
    let name = name.strip_prefix(".rela").unwrap_or(name);
    !name.starts_with(".debug_") || name == ".debug_frame"
}

/// The same, or for lines of source and compilers needed.
#[must_use]
pub fn has_lines(name: &str) -> bool {
    const NEEDED: [&str; 10] = [
        "abbrev",
        "addr",
        "aranges",
        "info",
        "line",
        "line_str",
        "ranges",
        "rnglists",
        "str",
        "str_offsets",
    ];
    let dwarf = name.strip_prefix(".rela").unwrap_or(name);
    let dwarf = dwarf.strip_prefix(".debug_");
    is_no_dwarf(name) || dwarf.is_some_and(|dwarf| NEEDED.contains(&dwarf))
}

/// Reads a file but for the sections that `is_wanted` does not name and that are
/// not part of the running kernel.
///
/// Such a section is `SHT_NOBITS` in what is returned: it has a header and no
/// bytes. All else stands where it stands in the file. Whether the file is sound
/// is not judged here: one with a fault in its headers is read whole.
///
/// # Errors
///
/// [`Error::Io`] with the file's name.
pub fn load(path: &Path, is_wanted: impl Fn(&str) -> bool) -> Result<Vec<u8>, Error> {
    let mut file = File::open(path).map_err(Error::io(path))?;
    let meta = file.metadata().map_err(Error::io(path))?;
    if !meta.is_file() {
        // A pipe can be opened once only.
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(Error::io(path))?;
        return Ok(bytes);
    }
    let size = usize::try_from(meta.len()).ok();
    match skipped(&file, is_wanted).zip(size) {
        Some((skipped, size)) => read_around(&file, &skipped, size).map_err(Error::io(path)),
        None => output::read(path),
    }
}

/// A section that is left out.
struct Skipped {
    /// Its bytes in the file.
    bytes: Range<u64>,
    /// Where its type is in the section table.
    kind_at: usize,
}

/// The sections to leave out, in the order of the file; `None` if that can't be
/// told because headers are malformed, or parts of the file overlap.
fn skipped(file: &File, is_wanted: impl Fn(&str) -> bool) -> Option<Vec<Skipped>> {
    let cache = ReadCache::new(file);
    let header = FileHeader64::<Le>::parse(&cache).ok()?;
    let table = header.sections(Le, &cache).ok()?;
    let table_at = header.e_shoff.get(Le);
    let entry_bytes = u64::from(header.e_shentsize.get(Le));
    let mut skipped = Vec::new();
    let mut parts = vec![
        0..u64::from(header.e_ehsize.get(Le)),
        table_at..table_at.checked_add(entry_bytes.checked_mul(table.len() as u64)?)?,
    ];
    for (index, section) in table.enumerate() {
        let Some((start, size)) = section.file_range(Le).filter(|(_, size)| *size != 0) else {
            continue;
        };
        let bytes = start..start.checked_add(size)?;
        parts.push(bytes.clone());
        let name = table.section_name(Le, section).ok()?;
        let is_loaded = section.sh_flags.get(Le).0 & elf::SHF_ALLOC.0 != 0;
        if is_loaded || section.sh_type.get(Le) == elf::SHT_NULL {
            continue;
        }
        if !is_wanted(std::str::from_utf8(name).ok()?) {
            let entry = table_at.checked_add(index.0 as u64 * entry_bytes)?;
            skipped.push(Skipped {
                bytes,
                kind_at: usize::try_from(entry.checked_add(4)?).ok()?,
            });
        }
    }
    parts.sort_by_key(|part| part.start);
    skipped.sort_by_key(|skipped| skipped.bytes.start);
    let is_apart = parts.windows(2).all(|two| two[0].end <= two[1].start);
    let is_inside = parts.last()?.end <= file.metadata().ok()?.len();
    (is_apart && is_inside).then_some(skipped)
}

/// Reads what lies between the sections that are left out. A page that nobody
/// writes to takes no memory.
fn read_around(file: &File, skipped: &[Skipped], size: usize) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; size];
    let mut at = 0;
    let mut read_to = |end: usize, next: usize| {
        let from = std::mem::replace(&mut at, next);
        file.read_exact_at(&mut bytes[from..end], from as u64)
    };
    for section in skipped {
        // Both are inside the file, whose size fits.
        read_to(section.bytes.start as usize, section.bytes.end as usize)?;
    }
    read_to(size, size)?;
    for section in skipped {
        let kind = elf::SHT_NOBITS.0.to_le_bytes();
        bytes[section.kind_at..section.kind_at + kind.len()].copy_from_slice(&kind);
    }
    Ok(bytes)
}
