// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Modules taken apart and put together again, read with the `object` crate.

use object::{Object as _, ObjectSection as _, ObjectSymbol as _, RelocationTarget, SectionFlags};
use orc::table::Table;
use orctool::elf::Image;
use orctool::emit::{self, ModuleTable};
use orctool::input::Input;
use orctool::tables;

use crate::assemble::{
    bytes, module, Elf, ABS64, GLOBAL_FUNC, LINK_ORDER, LOCAL_SECTION, NOP, RET,
};

const READ_ONLY: SectionFlags = SectionFlags::Elf {
    sh_type: object::elf::SHT_PROGBITS,
    sh_flags: object::elf::SHF_ALLOC,
};

const LINKED: SectionFlags = SectionFlags::Elf {
    sh_type: object::elf::SHT_PROGBITS,
    sh_flags: object::elf::SectionFlags(object::elf::SHF_ALLOC.0 | object::elf::SHF_LINK_ORDER.0),
};

/// Of `.text` and `.init.text`.
fn tables() -> Vec<ModuleTable> {
    let table = |text, bytes| ModuleTable { text, bytes };
    vec![table(1, vec![1; 100]), table(2, vec![2; 50])]
}

fn rewritten(file: &[u8], keep_cfi: bool) -> Result<Vec<u8>, String> {
    let image = Image::parse(file).unwrap();
    emit::module(&image, &tables(), keep_cfi).map_err(|e| e.to_string())
}

/// Section, flags, alignment and contents of all that a module keeps.
fn contents(file: &[u8]) -> Vec<(String, SectionFlags, u64, Vec<u8>)> {
    let file = object::File::parse(file).unwrap();
    let kept = file.sections().filter(|s| {
        let name = s.name().unwrap();
        let is_table = name.ends_with("tab") || name.starts_with(".rela") || name.is_empty();
        !is_table && !name.starts_with(".orc") && name != ".init.eh_frame"
    });
    kept.map(|s| {
        let data = s.data().unwrap().to_vec();
        (s.name().unwrap().to_string(), s.flags(), s.align(), data)
    })
    .collect()
}

/// Each symbol, with the section that it is in.
fn symbols(file: &[u8]) -> Vec<(String, Option<String>, u64, u64)> {
    let file = object::File::parse(file).unwrap();
    let section = |index| {
        file.section_by_index(index)
            .unwrap()
            .name()
            .unwrap()
            .to_string()
    };
    file.symbols()
        .map(|s| {
            let name = s.name().unwrap().to_string();
            (name, s.section_index().map(section), s.address(), s.size())
        })
        .filter(|(_, section, ..)| section.as_deref() != Some(".init.eh_frame"))
        .collect()
}

/// The relocations of a section: where, and what they name.
fn relocations(file: &[u8], section: &str) -> Vec<(u64, String, i64)> {
    let file = object::File::parse(file).unwrap();
    let Some(section) = file.section_by_name(section) else {
        return Vec::new();
    };
    section
        .relocations()
        .map(|(at, relocation)| {
            let RelocationTarget::Symbol(symbol) = relocation.target() else {
                panic!("{relocation:?}");
            };
            let symbol = file.symbol_by_index(symbol).unwrap();
            (at, symbol.name().unwrap().to_string(), relocation.addend())
        })
        .collect()
}

#[test]
fn keeps_all_but_the_cfi() {
    let before = module().build();
    let after = rewritten(&before, false).unwrap();
    assert_eq!(contents(&after), contents(&before));
    assert_eq!(symbols(&after), symbols(&before));
    assert_eq!(relocations(&after, ".data"), [(0, "bare".to_string(), 0)]);
    let file = object::File::parse(&*after).unwrap();
    assert!(file.section_by_name(".init.eh_frame").is_none());
    assert!(file.section_by_name(".rela.init.eh_frame").is_none());
    for (name, table) in [".orc_unwind.text", ".orc_unwind.init.text"]
        .iter()
        .zip(tables())
    {
        let section = file.section_by_name(name).unwrap();
        assert_eq!(section.data().unwrap(), table.bytes);
        assert_eq!(section.align(), 8);
        assert_eq!(section.flags(), LINKED, "allocated, read-only, linked");
    }
}

#[test]
fn keeps_the_cfi_when_asked() {
    let before = module().build();
    let after = rewritten(&before, true).unwrap();
    assert_eq!(symbols(&after), symbols(&before));
    assert_eq!(
        relocations(&after, ".init.eh_frame"),
        relocations(&before, ".init.eh_frame")
    );
    assert_eq!(relocations(&after, ".init.eh_frame").len(), 2);
}

#[test]
fn tables_are_replaced_not_added_twice() {
    let once = rewritten(&module().build(), true).unwrap();
    let twice = rewritten(&once, true).unwrap();
    assert_eq!(contents(&once), contents(&twice));
    let count = |file: &[u8]| object::File::parse(file).unwrap().sections().count();
    assert_eq!(count(&once), count(&twice));
}

#[test]
fn numbers_of_sections_follow() {
    let mut elf = module();
    // As __patchable_function_entries: linked to the text, and behind the CFI.
    let number = elf.section("entries", 1, 2 | LINK_ORDER, 0, &[0; 8]);
    elf.sections[usize::from(number)].link = 2;
    let after = rewritten(&elf.build(), false).unwrap();
    let image = Image::parse(&after).unwrap();
    let entries = image.section("entries").unwrap();
    assert_eq!(image.sections[entries.link as usize].name, ".init.text");
    let symtab = image.sections.iter().find(|s| s.name == ".symtab").unwrap();
    assert_eq!(image.sections[symtab.link as usize].name, ".strtab");
    let is_local = |number: usize| image.symbols[number].binding == 0;
    let locals = symtab.info as usize;
    assert!(
        is_local(locals - 1) && !is_local(locals),
        "sh_info of .symtab"
    );
    let rela = image
        .sections
        .iter()
        .find(|s| s.name == ".rela.data")
        .unwrap();
    assert_eq!(image.sections[rela.link as usize].name, ".symtab");
    assert_eq!(image.sections[rela.info as usize].name, ".data");
}

#[test]
fn groups_lose_what_is_dropped() {
    let mut elf = module();
    // COMDAT; members .data (4) and .init.eh_frame (3); named by `bare`.
    let group = elf.section(".group", 17, 0, 0, &bytes(&[1, 4, 3]));
    let bare = elf.symbols.iter().position(|s| s.name == "bare").unwrap();
    elf.sections[usize::from(group)].info = bare as u32;
    elf.sections[usize::from(group)].link = u32::MAX;
    let after = rewritten(&elf.build(), false).unwrap();
    let image = Image::parse(&after).unwrap();
    let group = image.section(".group").unwrap();
    let data = image
        .sections
        .iter()
        .position(|s| s.name == ".data")
        .unwrap();
    assert_eq!(group.data, bytes(&[1, data as u32]));
    assert_eq!(image.symbols[group.info as usize].name, "bare");
}

/// The module with another text section `.text`, which says other than the first.
fn two_of_one_name() -> Elf {
    let mut elf = module();
    let second = elf.text(".text", 0, &[NOP, RET, NOP, RET]);
    elf.symbol("second", GLOBAL_FUNC, second, 0, 8);
    elf
}

/// What `gen --module` makes of it.
fn generated(elf: &Elf) -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("m.ko");
    std::fs::write(&path, elf.build()).unwrap();
    let (status, _, err) = crate::cli::orctool(&["gen", "--module", path.to_str().unwrap()]);
    assert_eq!((status, &*err), (0, ""));
    std::fs::read(&path).unwrap()
}

#[test]
fn sections_of_one_name_each_get_their_own_table() {
    let bytes = generated(&two_of_one_name());
    let input = Input::read(&bytes).unwrap();
    let tables = tables::of(&input).unwrap();
    let sizes: Vec<_> = tables
        .iter()
        .map(|table| (&*table.text.text.name, table.rows.text_bytes, table.carried))
        .collect();
    assert_eq!(
        sizes,
        [
            (".text", 32, true),
            (".init.text", 24, true),
            (".text", 16, true)
        ]
    );
}

#[test]
fn refuses_a_second_table_of_one_section() {
    let mut bytes = generated(&two_of_one_name());
    let headers = u64::from_le_bytes(bytes[40..48].try_into().unwrap()) as usize;
    let links: Vec<(usize, u32)> = {
        let image = Image::parse(&bytes).unwrap();
        let tables = image.sections.iter().enumerate();
        tables
            .filter(|(_, s)| s.name.starts_with(".orc_unwind"))
            .map(|(number, s)| (headers + 64 * number + 40, s.link))
            .collect()
    };
    // The table of the second `.text` is linked to the first, as a name would have it.
    let ((_, first), (last, _)) = (links[0], links[2]);
    bytes[last..last + 4].copy_from_slice(&first.to_le_bytes());
    let input = Input::read(&bytes).unwrap();
    let message = tables::of(&input).unwrap_err().to_string();
    assert!(message.contains("a second table"), "{message}");
}

#[test]
fn refuses_what_refers_to_the_cfi() {
    type Case = (fn(&mut Elf), &'static str);
    let cases: [Case; 5] = [
        (
            |elf| {
                elf.symbol("in_cfi", GLOBAL_FUNC, 3, 0, 0);
            },
            "global symbol in_cfi in a section to drop",
        ),
        (
            |elf| {
                let cfi = 1;
                assert_eq!(elf.symbols[cfi as usize].info, LOCAL_SECTION);
                elf.rela(4, &[(0, ABS64, cfi, 0)]);
            },
            ".rela.data+0x0: relocation against a section to drop",
        ),
        (
            |elf| {
                let number = elf.section("linked", 1, 2 | LINK_ORDER, 0, &[0; 8]);
                elf.sections[usize::from(number)].link = 3;
            },
            "linked+0x0: refers to a section to drop",
        ),
        (
            |elf| {
                let number = elf.section(".group", 17, 0, 0, &[0; 8]);
                elf.sections[usize::from(number)].info = 1;
            },
            ".group+0x0: named by a symbol to drop",
        ),
        (
            |elf| {
                elf.section(".symtab_shndx", 18, 0, 0, &[0; 8]);
            },
            ".symtab_shndx+0x0: extended section numbers",
        ),
    ];
    for (change, expected) in cases {
        let mut elf = module();
        change(&mut elf);
        let message = rewritten(&elf.build(), false).unwrap_err();
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn refuses_a_linked_file() {
    let file = crate::assemble::kernel(None).build();
    assert!(rewritten(&file, false)
        .unwrap_err()
        .contains("not a relocatable object"));
}

#[test]
fn an_object_to_link_holds_the_table() {
    let bytes = emit::object(&[7; 33]).unwrap();
    let file = object::File::parse(&*bytes).unwrap();
    assert_eq!(file.architecture(), object::Architecture::Aarch64);
    let section = file.section_by_name(".orc_unwind").unwrap();
    assert_eq!(section.data().unwrap(), [7; 33]);
    assert_eq!((section.align(), section.flags()), (8, READ_ONLY));
    assert!(file.section_by_name(".note.GNU-stack").is_some());
}

#[test]
fn the_relocated_table_is_found_by_the_kernel() {
    // End to end: what `gen --module` writes is what a lookup finds.
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("m.ko");
    std::fs::write(&path, module().build()).unwrap();
    assert_eq!(
        crate::cli::orctool(&["gen", "--module", path.to_str().unwrap()]).0,
        0
    );
    let bytes = std::fs::read(&path).unwrap();
    let file = object::File::parse(&*bytes).unwrap();
    for text in [".text", ".init.text"] {
        let section = file.section_by_name(&format!(".orc_unwind{text}")).unwrap();
        let words = orctool::table::words(section.data().unwrap()).unwrap();
        let table = Table::new(&words, &[0xab; 20]).unwrap();
        assert!(matches!(table.lookup(8), Some(orc::rule::Rule::Frame(_))));
    }
}
