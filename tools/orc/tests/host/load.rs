// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Reading a file without the sections that nobody looks at.

use orctool::elf::load::{has_lines, is_no_dwarf, load};
use orctool::elf::Image;

use crate::assemble::{kernel, Elf, ALLOC, PROGBITS};

const INFO: [u8; 24] = [0xd1; 24];

/// A kernel with some DWARF between its sections.
fn with_dwarf() -> Elf {
    let mut elf = kernel(None);
    elf.section(".debug_info", PROGBITS, 0, 0, &INFO);
    elf.section(".debug_frame", PROGBITS, 0, 0, &[0xd2; 16]);
    elf.section(".debug_line", PROGBITS, 0, 0, &[0xd3; 32]);
    elf.section(".debug_loaded", PROGBITS, ALLOC, 0x9_0000, &[0xd4; 8]);
    elf
}

fn loaded(bytes: &[u8]) -> Vec<u8> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    load(file.path(), is_no_dwarf).unwrap()
}

#[test]
fn leaves_out_what_is_not_wanted_and_nothing_else() {
    let whole = with_dwarf().build();
    let part = loaded(&whole);
    let (whole, part) = (Image::parse(&whole).unwrap(), Image::parse(&part).unwrap());
    assert_eq!(whole.sections.len(), part.sections.len());
    for (one, other) in whole.sections.iter().zip(&part.sections) {
        assert_eq!((&one.name, one.offset), (&other.name, other.offset));
        match &*one.name {
            ".debug_info" | ".debug_line" => assert_eq!(other.data, b"", "{}", one.name),
            name => assert_eq!((one.kind, one.data), (other.kind, other.data), "{name}"),
        }
    }
    assert!(part.section(".debug_info").is_none());
    assert_eq!(whole.symbols.len(), part.symbols.len());
}

#[test]
fn does_not_read_what_is_not_wanted() {
    let part = loaded(&with_dwarf().build());
    let has = |bytes: &[u8]| part.windows(bytes.len()).any(|found| found == bytes);
    assert!(!has(&INFO));
    assert!(has(&[0xd2; 16]));
}

#[test]
fn what_lines_need_is_wanted_for_them() {
    for (name, is_needed) in [
        (".debug_info", true),
        (".rela.debug_line_str", true),
        (".debug_frame", true),
        (".text", true),
        (".debug_loclists", false),
        (".rela.debug_loc", false),
        (".debug_lines", false),
    ] {
        assert_eq!(has_lines(name), is_needed, "{name}");
    }
}

#[test]
fn is_what_it_is_without_dwarf() {
    let file = kernel(None).build();
    assert_eq!(loaded(&file), file);
}

#[test]
fn reads_all_of_a_file_that_it_can_not_judge() {
    let whole = with_dwarf().build();
    let mut files = vec![b"no ELF file".to_vec(), Vec::new()];
    files.extend(
        (0..whole.len())
            .step_by(40)
            .map(|end| whole[..end].to_vec()),
    );
    for file in files {
        assert_eq!(loaded(&file), file, "{} bytes", file.len());
    }
}

/// Zeroes in the place of text would be taken for instructions.
#[test]
fn a_section_in_the_place_of_another_is_not_left_out() {
    let mut file = with_dwarf().build();
    let image = Image::parse(&file).unwrap();
    let number = |name: &str| image.sections.iter().position(|s| s.name == name).unwrap();
    let table = u64::from_le_bytes(file[40..48].try_into().unwrap()) as usize;
    let (text, info) = (number(".text"), number(".debug_info"));
    let text = image.sections[text].offset;
    for offset in [text, 0, table as u64, file.len() as u64] {
        let at = table + info * 64 + 24;
        file[at..at + 8].copy_from_slice(&offset.to_le_bytes());
        assert_eq!(loaded(&file), file);
    }
}
