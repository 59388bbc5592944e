// SPDX-License-Identifier: GPL-2.0 OR MIT

//! `orctool explain`: places, the kernel's own words, and what is said about them.

use serde_json::Value;

use crate::assemble::{
    bytes, kernel, module, op, EhFrame, Elf, ALLOC, FRAMED, GLOBAL_FUNC, MOV_FP, NOP, POP,
    PROGBITS, PUSH, RET, TEXT,
};
use crate::cli::orctool;

/// A file, until it is dropped.
struct File {
    directory: tempfile::TempDir,
    name: &'static str,
}

impl File {
    fn new(name: &'static str, elf: &Elf) -> Self {
        let file = Self {
            directory: tempfile::tempdir().unwrap(),
            name,
        };
        std::fs::write(file.path(), elf.build()).unwrap();
        file
    }

    fn path(&self) -> String {
        let path = self.directory.path().join(self.name);
        path.to_str().unwrap().to_string()
    }

    fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        orctool(&[&["explain", &self.path()], arguments].concat())
    }

    fn text(&self, place: &str) -> String {
        let (status, out, err) = self.run(&[place]);
        assert_eq!((status, err.as_str()), (0, ""), "{place}");
        out
    }

    fn json(&self, place: &str) -> Value {
        let (status, out, err) = self.run(&["--json", place]);
        assert_eq!((status, err.as_str()), (0, ""), "{place}");
        serde_json::from_str(&out).unwrap()
    }

    /// The one line on standard error.
    fn refusal(&self, place: &str) -> String {
        let (status, out, err) = self.run(&[place]);
        assert_eq!((status, out.as_str()), (2, ""), "{place}");
        assert_eq!(err.lines().count(), 1, "{err}");
        assert!(
            err.starts_with(&format!("orctool: {}: ", self.path())),
            "{err}"
        );
        err
    }
}

/// `bl .+16`: from the third instruction of `framed` to `bare`.
const CALL: u32 = 0x9400_0004;

/// A kernel whose `framed` calls `bare`.
fn calling() -> Elf {
    let mut elf = kernel(None);
    elf.sections[1].data[8..12].copy_from_slice(&CALL.to_le_bytes());
    elf
}

/// A kernel whose `framed` does not make the frame that its CFI claims.
fn unproved() -> Elf {
    let mut elf = calling();
    elf.sections[1].data[..4].copy_from_slice(&NOP.to_le_bytes());
    elf
}

#[test]
fn both_ways_to_a_place_are_explained() {
    let file = File::new("vmlinux", &calling());
    let json = file.json("framed+0xc");
    let place = &json["places"][0];
    assert_eq!(json["places"].as_array().unwrap().len(), 1);
    assert_eq!(place["place"], "framed+0xc");
    assert_eq!(place["section"], ".text");
    assert_eq!(place["address"], format!("{:#x}", TEXT + 12));
    let frame = "cfa=sp+16 ra=[cfa-8] fp=[cfa-16] x29=cfa-16";
    for (way, at) in [("interrupted", "framed+0xc"), ("returns_to", "framed+0x8")] {
        let row = &place[way];
        assert_eq!(row["place"], at);
        assert_eq!(row["rule"], frame);
        assert_eq!(row["claim"], "cfa=sp+16 ra=[cfa-8] fp=[cfa-16]");
        assert_eq!(row["verdict"]["verdict"], "proved");
        assert_eq!(row["walk"]["outcome"], "goes-on");
        assert_eq!(row["walk"]["check"], "x29 must be CFA-16");
    }
    // Before the call x30 is still the return address, after it anything.
    let facts = |way: &str| place[way]["facts"].as_str().unwrap().to_string();
    assert!(facts("returns_to").contains("x30=return address"));
    assert!(facts("interrupted").contains("x30=unknown"));
    let shown: Vec<&str> = place["instructions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|shown| shown["text"].as_str().unwrap())
        .collect();
    let call = format!("bl {:#x} <bare>", TEXT + 24);
    let expected = [
        "stp x29, x30, [sp, #-0x10]!",
        "mov x29, sp",
        &call,
        "ldp x29, x30, [sp], #0x10",
        "ret",
    ];
    assert_eq!(shown, expected);
}

#[test]
fn places_have_many_names() {
    let file = File::new("vmlinux", &calling());
    let expected = file.text("framed+0xc");
    for place in [
        "framed+c",
        ".text+0xc",
        "0xffff80008001000c",
        "ffff80008001000e",
        "framed+0xc/0x18",
        "[<0>] framed+0xc/0x18",
    ] {
        assert_eq!(file.text(place), expected, "{place}");
    }
    assert!(file.text("framed").starts_with("framed+0x0: .text+0x0"));
    // The end of one function is where the next one is interrupted.
    let end = file.text("framed+0x18/0x18");
    assert!(end.contains("interrupted at bare+0x0"), "{end}");
}

#[test]
fn an_alias_is_found() {
    let mut elf = calling();
    elf.symbol("alias", GLOBAL_FUNC, 1, TEXT, 20);
    let file = File::new("vmlinux", &elf);
    assert_eq!(file.text("alias+0x8"), file.text("framed+0x8"));
    let (status, out, _) = orctool(&["dump", &file.path(), "framed"]);
    let (_, alias, _) = orctool(&["dump", &file.path(), "alias"]);
    assert_eq!((status, out), (0, alias));
}

#[test]
fn a_return_address_in_x30_is_lost_to_a_caller() {
    // `framed` calls before it has made its frame.
    let mut elf = calling();
    elf.sections[1].data[..4].copy_from_slice(&0x9400_0006_u32.to_le_bytes());
    let file = File::new("vmlinux", &elf);
    let json = file.json("unreliable: return address not saved at framed+0x4/0x18");
    let place = &json["places"][0];
    assert_eq!(place["fit"], "row");
    assert_eq!(
        place["returns_to"]["rule"],
        "cfa=sp+0 ra=x30 fp=x29 x29=caller"
    );
    assert_eq!(
        place["returns_to"]["walk"]["reason"],
        "return address not saved"
    );
}

#[test]
fn what_is_not_proved_is_said_with_its_class() {
    let file = File::new("vmlinux", &unproved());
    let json = file.json("framed+0x8");
    let row = &json["places"][0]["interrupted"];
    assert_eq!(row["rule"], "unreliable: not proved");
    assert_eq!(row["verdict"]["verdict"], "unproved");
    assert_eq!(row["verdict"]["class"], "wrong-cfa");
    assert_eq!(row["walk"]["outcome"], "stops");
    assert_eq!(row["walk"]["reason"], "unproved call frame information");
    assert!(
        json["places"][0]["returns_to"].is_null(),
        "no call before it"
    );
    let text = file.text("framed+0x8");
    assert!(
        text.contains("\n  verdict   unproved (wrong-cfa): the CFA is not"),
        "{text}"
    );
    assert!(text.contains("never, no call stands before it"), "{text}");
}

#[test]
fn a_block_that_only_a_jump_table_knows_is_assumed() {
    const BR_X16: u32 = 0xd61f_0200;
    let mut elf = calling();
    // Two blocks, each with an epilogue: to the third and to the fifth instruction.
    let words = [PUSH, MOV_FP, BR_X16, POP, RET, POP, RET];
    elf.sections[1].data = bytes(&words);
    elf.symbols.truncate(1);
    elf.symbol("choose", GLOBAL_FUNC, 1, TEXT, 28);
    let mut frame = EhFrame::new(false);
    let in_frame = [
        op::def_cfa_offset(16),
        op::offset(29, 16),
        op::offset(30, 8),
    ];
    let popped = [op::def_cfa_offset(0), op::restore(29), op::restore(30)];
    let program = [
        &[op::advance(1)],
        &in_frame[..],
        &[op::advance(3)],
        &popped,
        &[op::advance(1)],
        &in_frame,
        &[op::advance(1)],
        &popped,
    ];
    frame.fde(-0x1000, 28, &program.concat());
    elf.sections[2].data = frame.bytes;
    let file = File::new("vmlinux", &elf);
    let verdict = |place: &str| {
        let json = file.json(place);
        let verdict = &json["places"][0]["interrupted"]["verdict"]["verdict"];
        verdict.as_str().unwrap().to_string()
    };
    assert_eq!(verdict("choose+0x8"), "proved");
    assert_eq!(verdict("choose+0xc"), "assumed");
    assert_eq!(verdict("choose+0x18"), "assumed");
}

#[test]
fn the_kernels_reason_is_compared_with_the_row() {
    let verdict = "unreliable: unproved call frame information at framed+0x8/0x18";
    let event = "  sh-7 [000] d..2. 1.5: unwind_orc_unreliable: pid=7 comm=a b \
                 pc=framed+0x8/0x18 frame=2 reason=\"unproved call frame information\"";
    let file = File::new("vmlinux", &unproved());
    for said in [verdict, event] {
        let json = file.json(said);
        assert_eq!(json["kernel"]["reason"], "unproved call frame information");
        assert_eq!(json["places"][0]["fit"], "row", "{said}");
        assert_eq!(json["places"][0]["doubt"], Value::Null);
    }
    assert_eq!(file.json(event)["kernel"]["frame"], 2);
    let words: Vec<&str> = verdict.split(' ').collect();
    assert_eq!(file.run(&words).1, file.text(verdict), "unquoted");
    let text = file.text(verdict);
    assert!(
        text.contains("meaning   the instructions do not imply"),
        "{text}"
    );
    assert!(text.contains("here      fits: "), "{text}");

    let sound = File::new("vmlinux", &calling());
    let text = sound.text(verdict);
    assert!(
        text.contains("here      does not fit the rows here"),
        "{text}"
    );
    let text = sound.text("unreliable: frame pointer mismatch at framed+0x8/0x18");
    assert!(
        text.contains("a check that the stack did not pass"),
        "{text}"
    );
    let text = sound.text("unreliable: bad weather at framed+0x8/0x18");
    assert!(
        text.contains("a reason that this orctool does not know"),
        "{text}"
    );
}

#[test]
fn another_size_makes_one_doubt() {
    let file = File::new("vmlinux", &calling());
    let text = file.text("framed+0x8/0x20");
    assert!(text.contains("doubt     the kernel's symbol has 0x20 bytes, this one 0x18"));
    assert!(!file.text("framed+0x8/0x18").contains("doubt"));
}

#[test]
fn functions_of_one_name_are_all_explained() {
    let mut elf = kernel(None);
    elf.symbol("twin", GLOBAL_FUNC, 1, TEXT, 20);
    elf.symbol("twin", GLOBAL_FUNC, 1, TEXT + 24, 8);
    let file = File::new("vmlinux", &elf);
    let places = |place: &str| -> Vec<String> {
        let json = file.json(place);
        let places = json["places"].as_array().unwrap().iter();
        places
            .map(|p| p["place"].as_str().unwrap().to_string())
            .collect()
    };
    assert_eq!(places("twin+0x4"), ["framed+0x4", "bare+0x4"]);
    // The second ends where hypervisor text starts.
    assert_eq!(
        places("twin+0x4/0x10"),
        ["bare+0x4"],
        "by the kernel's size"
    );
    assert_eq!(
        places("twin+0x4/0x30"),
        ["framed+0x4", "bare+0x4"],
        "of no size"
    );
}

#[test]
fn text_that_nothing_describes_has_a_reason() {
    let file = File::new("vmlinux", &calling());
    let verdict = |place: &str| {
        let json = file.json(place);
        let row = &json["places"][0]["interrupted"];
        let text = |value: &Value| value.as_str().unwrap().to_string();
        (text(&row["rule"]), text(&row["verdict"]["verdict"]))
    };
    let undescribed = |rule: &str| (rule.to_string(), "undescribed".to_string());
    assert_eq!(verdict(".text+0x20"), undescribed("unreliable: hole"));
    assert_eq!(
        verdict(".text+0x28"),
        undescribed("unreliable: foreign text")
    );
    assert_eq!(verdict("bare+4").1, "leaf");
    let mut elf = calling();
    // `bare` writes SP: no leaf.
    elf.sections[1].data[24..28].copy_from_slice(&0x9100_43ff_u32.to_le_bytes());
    let json = File::new("vmlinux", &elf).json("bare");
    let row = &json["places"][0]["interrupted"];
    assert_eq!(row["rule"], "unreliable: no CFI");
    assert_eq!(row["verdict"]["verdict"], "undescribed");
    let why = "no CFI, and no proved leaf: changes SP, x29 or x30";
    assert_eq!(row["verdict"]["why"], why);
    assert!(row["facts"].is_null(), "nobody says how it is entered");
}

/// The table that `gen` makes of a kernel.
fn table(elf: &Elf) -> Vec<u8> {
    use object::{Object as _, ObjectSection as _};
    let file = File::new("vmlinux.tmp", elf);
    let object = file.directory.path().join("orc.o");
    let (status, _, err) = orctool(&["gen", &file.path(), "-o", object.to_str().unwrap()]);
    assert_eq!((status, err.as_str()), (0, ""));
    let bytes = std::fs::read(object).unwrap();
    let object = object::File::parse(&*bytes).unwrap();
    let section = object.section_by_name(".orc_unwind").unwrap();
    section.data().unwrap().to_vec()
}

#[test]
fn a_table_alone_is_explained_as_far_as_it_goes() {
    let table = table(&kernel(None));
    let mut elf = kernel(Some(&table));
    assert_eq!(elf.sections[2].name, ".eh_frame");
    elf.sections[2].name = ".other".into();
    let file = File::new("vmlinux", &elf);
    let json = file.json("framed+0x8");
    assert_eq!(json["cfi_is_in"], "vmlinux.unstripped");
    let row = &json["places"][0]["interrupted"];
    assert_eq!(row["rule"], "cfa=sp+16 ra=[cfa-8] fp=[cfa-16] x29=cfa-16");
    assert_eq!(row["verdict"]["verdict"], "from-table");
    assert!(row["claim"].is_null() && row["facts"].is_null());
    let text = file.text("framed+0x8");
    assert!(
        text.contains("claim and facts need vmlinux.unstripped"),
        "{text}"
    );

    // With the CFI there, the table is the carried one all the same.
    let unstripped = File::new("vmlinux.unstripped", &kernel(Some(&table)));
    let json = unstripped.json("framed+0x8");
    assert_eq!(json["cfi_is_in"], Value::Null);
    let verdict = &json["places"][0]["interrupted"]["verdict"];
    assert_eq!(
        (&verdict["verdict"], &verdict["doubt"]),
        (&"proved".into(), &Value::Null)
    );
}

#[test]
fn a_table_of_other_cfi_makes_one_doubt() {
    let mut elf = kernel(Some(&table(&kernel(None))));
    elf.sections[1].data[..4].copy_from_slice(&NOP.to_le_bytes());
    let json = File::new("vmlinux.unstripped", &elf).json("framed+0x8");
    let row = &json["places"][0]["interrupted"];
    assert_eq!(row["rule"], "cfa=sp+16 ra=[cfa-8] fp=[cfa-16] x29=cfa-16");
    let doubt = row["verdict"]["doubt"].as_str().unwrap();
    assert!(
        doubt.starts_with("the proof gives unreliable: not proved"),
        "{doubt}"
    );
}

#[test]
fn neither_table_nor_cfi_is_no_explanation() {
    let mut elf = kernel(None);
    elf.sections[2].name = ".other".into();
    let err = File::new("vmlinux", &elf).refusal("framed");
    assert!(err.contains(".text+0x0: neither a table nor CFI"), "{err}");
}

/// [`module`] with the name that its build gave it.
fn ext4() -> Elf {
    let mut elf = module();
    elf.section(
        ".modinfo",
        PROGBITS,
        ALLOC,
        0,
        b"license=GPL\0name=ext4\0depends=\0",
    );
    elf
}

#[test]
fn symbols_of_another_file_are_refused_by_its_name() {
    let vmlinux = File::new("vmlinux", &calling());
    let err = vmlinux.refusal("unreliable: null pc at ext4_iget+0x8/0x20 [ext4]");
    assert!(err.contains("is in the module ext4: give ext4.ko"), "{err}");
    let file = File::new("renamed.ko", &ext4());
    let err = file.refusal("framed+0x8/0x18 [jbd2]");
    assert!(err.contains("this is ext4: give jbd2.ko"), "{err}");
    let err = file.refusal("unreliable: null pc at framed+0x8/0x18");
    assert!(err.contains("is in the kernel itself"), "{err}");
    assert!(err.contains("give vmlinux"), "{err}");
    let text = file.text("framed+0x8/0x18 [ext4]");
    assert_eq!(text, file.text("framed+0x8"), "its own");
    assert!(file
        .text("init+0x8")
        .starts_with("init+0x8: .init.text+0x8\n"));
    assert!(file.text(".init.text+0x8").starts_with("init+0x8: "));
}

#[test]
fn relocated_calls_are_named() {
    let mut elf = ext4();
    elf.sections[1].data[8..12].copy_from_slice(&0x9400_0000_u32.to_le_bytes());
    let callee = elf.symbol("callee", GLOBAL_FUNC, 0, 0, 0);
    elf.rela(1, &[(8, crate::assemble::CALL26, callee, 0)]);
    let text = File::new("ext4.ko", &elf).text("framed+0xc");
    assert!(text.contains("  94000000  bl <callee>\n"), "{text}");
    assert!(text.contains("by the call at framed+0x8"), "{text}");
}

#[test]
fn reasons_without_a_row_are_explained_without_one() {
    let file = File::new("vmlinux", &calling());
    for said in [
        "unreliable: null pc at 0x0",
        "unreliable: not kernel text at 0xffff80007a000000",
        "unreliable: not kernel text at bpf_prog_6deef7357e7b4530+0x50/0x80 [bpf]",
    ] {
        let json = file.json(said);
        assert_eq!(json["places"].as_array().unwrap().len(), 0, "{said}");
        assert!(json["no_row"].is_string(), "{said}");
        assert!(file.text(said).contains("meaning   "), "{said}");
    }
}

#[test]
fn unknown_places_are_exit_status_2() {
    let mut elf = calling();
    let init = elf.text(".init.text", TEXT + 0x4000, &FRAMED);
    elf.symbol("boot", GLOBAL_FUNC, init, TEXT + 0x4000, 24);
    elf.symbol("bare.isra.0", GLOBAL_FUNC, 1, TEXT + 28, 4);
    elf.sections[1].data[28..32].copy_from_slice(&RET.to_le_bytes());
    let file = File::new("vmlinux", &elf);
    for (place, expected) in [
        ("nobody", "no nobody in the text with tables"),
        ("bare.isra.1+0x4", "near: bare"),
        ("fram+0x4", "near: framed"),
        (
            "boot+0x8",
            "no boot+0x8 in the text with tables: boot is in .init.text",
        ),
        ("0xffffa0008001000c", "KASLR"),
        ("framed+0xffffffffffffffff", "no framed+0xffffffffffffffff"),
        (
            "unreliable: unproved call frame information at nobody+0x4/0x8",
            "no nobody+0x4",
        ),
        ("reliable", "no reliable in"),
        ("\u{1b}[2Jx", "no \\u{1b}[2Jx in"),
        ("", "no place"),
    ] {
        let err = file.refusal(place);
        assert!(err.contains(expected), "{place}: {err}");
    }
    assert_eq!(file.run(&[]).0, 2, "no place at all");
}
