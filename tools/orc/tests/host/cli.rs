// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The command line: exit status, messages, and what happens to files.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::assemble::{kernel, module, Elf, ALLOC, GLOBAL_FUNC, NOP, PROGBITS, REL, TEXT};

/// Runs the tool: exit status, standard output, standard error.
pub fn orctool(arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_orctool"))
        .args(arguments)
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        output.status.code().expect("no signal, no panic"),
        text(output.stdout),
        text(output.stderr),
    )
}

struct Files {
    directory: tempfile::TempDir,
}

impl Files {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self { directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> String {
        std::fs::write(self.path(name), bytes).unwrap();
        self.path(name).to_str().unwrap().to_string()
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.directory).unwrap();
        let mut names: Vec<String> = entries
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

/// The table in an object that `gen -o` wrote.
fn table_of(object: &Path) -> Vec<u8> {
    use object::{Object as _, ObjectSection as _};
    let bytes = std::fs::read(object).unwrap();
    let file = object::File::parse(&*bytes).unwrap();
    let section = file.section_by_name(".orc_unwind").unwrap();
    section.data().unwrap().to_vec()
}

#[test]
fn version_names_the_format() {
    let (status, out, _) = orctool(&["--version"]);
    let hash = orc::format::FORMAT_HASH;
    let expected = format!("orctool {} format {hash:08x}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!((status, out), (0, expected));
}

#[test]
fn help_has_examples() {
    for arguments in [
        &["--help"][..],
        &["check", "--help"],
        &["gen", "--help"],
        &["dump", "--help"],
        &["explain", "--help"],
        &["stat", "--help"],
    ] {
        let (status, out, err) = orctool(arguments);
        assert_eq!((status, err.as_str()), (0, ""), "{arguments:?}");
        assert!(out.contains("orctool "), "{arguments:?}: {out}");
    }
}

#[test]
fn wrong_arguments_are_exit_status_2() {
    for arguments in [
        &[][..],
        &["nonsense"],
        &["gen"],
        &["gen", "x", "--fill", "--module"],
    ] {
        let (status, out, err) = orctool(arguments);
        assert_eq!((status, out.as_str()), (2, ""), "{arguments:?}");
        assert!(!err.is_empty());
    }
    let (status, _, err) = orctool(&["dump", "/nonexistent"]);
    assert_eq!(status, 2);
    assert!(err.starts_with("orctool: /nonexistent: "), "{err}");
}

#[test]
fn a_kernel_is_linked_with_its_table_and_filled() {
    let files = Files::new();
    let unlinked = files.write("vmlinux.tmp", &kernel(None).build());
    let object = files.path("orc.o");
    let (status, out, err) = orctool(&["gen", &unlinked, "-o", object.to_str().unwrap()]);
    assert_eq!((status, out.as_str(), err.as_str()), (0, "", ""));
    let table = table_of(&object);
    assert_eq!(table[16..36], [0; 20], "the build-id is not known yet");

    let linked = files.write("vmlinux", &kernel(Some(&table)).build());
    let before = std::fs::read(&linked).unwrap();
    assert_eq!(orctool(&["gen", "--fill", &linked]).0, 0);
    let after = std::fs::read(&linked).unwrap();
    let changed: Vec<usize> = (0..before.len())
        .filter(|i| before[*i] != after[*i])
        .collect();
    let start = after.windows(4).position(|w| w == b"aORC").unwrap();
    assert!(
        changed
            .iter()
            .all(|at| (start + 8..start + 36).contains(at)),
        "{changed:?}"
    );
    assert_eq!(after[start + 16..start + 36], [0xcd; 20]);
    let filled = orctool::table::words(&after[start..start + table.len()]).unwrap();
    assert!(orc::table::Table::new(&filled, &[0xcd; 20]).is_ok());

    // Once more changes nothing, and the tables are shown as they are.
    assert_eq!(orctool(&["gen", "--fill", &linked]).0, 0);
    assert_eq!(std::fs::read(&linked).unwrap(), after);
    let (status, out, _) = orctool(&["dump", &linked, "framed"]);
    assert_eq!((status, out.lines().count()), (0, 4), "{out}");
    assert_eq!(files.names(), ["orc.o", "vmlinux", "vmlinux.tmp"]);
}

#[test]
fn a_table_of_other_text_is_exit_status_1() {
    let files = Files::new();
    let unlinked = files.write("vmlinux.tmp", &kernel(None).build());
    let object = files.path("orc.o");
    orctool(&["gen", &unlinked, "-o", object.to_str().unwrap()]);
    let table = table_of(&object);

    let longer = kernel(Some(&[&table[..], &[0; 8]].concat()));
    let mut changed = table.clone();
    *changed.last_mut().unwrap() ^= 1;
    let changed_at = format!(".orc_unwind+{:#x} differs", table.len() - 1);
    let changed = kernel(Some(&changed));
    let mut other_text = kernel(Some(&table));
    // `framed` without its frame record.
    other_text.sections[1].data[..4].copy_from_slice(&NOP.to_le_bytes());
    let mut other_size = table.clone();
    other_size[36] ^= 4;
    let other_size = kernel(Some(&other_size));
    let cases = [
        (other_size, ".orc_unwind+0x24 differs"),
        (longer, "bytes, the linked text calls for"),
        (changed, changed_at.as_str()),
        (other_text, "link again"),
    ];
    for (elf, expected) in cases {
        let linked = files.write("vmlinux", &elf.build());
        let (status, out, err) = orctool(&["gen", "--fill", &linked]);
        assert_eq!((status, out.as_str()), (1, ""), "{err}");
        assert!(
            err.contains(expected) && err.contains("vmlinux: .orc_unwind"),
            "{err}"
        );
        assert_eq!(err.lines().count(), 1);
        assert_eq!(std::fs::read(&linked).unwrap(), elf.build(), "not touched");
    }
}

#[test]
fn tables_that_the_kernel_would_refuse_are_not_shown() {
    let files = Files::new();
    let other_size = orctool::table::Rows {
        text_bytes: 64,
        rows: vec![(0, orc::rule::Rule::Unreliable(orc::rule::Undescribed::Hole))],
    };
    let other_size = orctool::table::write(&other_size, &[0; 20]).unwrap();
    let mut damaged = other_size.clone();
    damaged[70] ^= 1;
    let cases = [
        (other_size, "describes text of another size"),
        (damaged, "bad checksum"),
        (vec![0; 64], "not a table"),
    ];
    for (table, expected) in cases {
        let vmlinux = files.write("vmlinux", &kernel(Some(&table)).build());
        for command in ["dump", "stat"] {
            let (status, out, err) = orctool(&[command, &vmlinux]);
            assert_eq!((status, out.as_str()), (2, ""));
            assert!(
                err.ends_with(&format!(".orc_unwind+0x0: {expected}\n")),
                "{err}"
            );
        }
    }
}

#[test]
fn what_can_not_be_done_is_exit_status_2() {
    let files = Files::new();
    let vmlinux = files.write("vmlinux", &kernel(None).build());
    let module_path = files.write("m.ko", &module().build());
    let out = files.path("out");
    let out = out.to_str().unwrap();
    let mut no_id = module();
    no_id.sections.retain(|s| s.name != ".note.gnu.build-id");
    // One section less: the numbers behind it are those of the tables alone.
    let no_id = files.write("no-id.ko", &no_id.build());
    let cases: [(&[&str], &str); 5] = [
        (&["gen", "--fill", &vmlinux], "no such section to fill"),
        (&["gen", "--module", &vmlinux], "not a module"),
        (&["gen", &module_path, "-o", out], "a module needs --module"),
        (&["dump", &vmlinux, "nobody"], "no nobody in the text"),
        (&["gen", "--module", &no_id], "no build-id"),
    ];
    for (arguments, expected) in cases {
        let (status, stdout, err) = orctool(arguments);
        assert_eq!((status, stdout.as_str()), (2, ""), "{arguments:?}");
        assert!(err.contains(expected), "{err}");
        assert_eq!(err.lines().count(), 1, "{err}");
    }
    assert_eq!(files.names(), ["m.ko", "no-id.ko", "vmlinux"]);
}

#[test]
fn a_module_without_text_needs_no_table() {
    let files = Files::new();
    let mut elf = Elf::new(REL);
    elf.section(".data", PROGBITS, ALLOC, 0, &[1, 2]);
    let path = files.write("data.ko", &elf.build());
    let (status, _, err) = orctool(&["gen", "--module", &path]);
    assert_eq!((status, err.as_str()), (0, ""));
}

#[test]
fn output_keeps_the_permissions() {
    use std::os::unix::fs::PermissionsExt as _;
    let files = Files::new();
    let path = files.write("m.ko", &module().build());
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    assert_eq!(orctool(&["gen", "--module", &path]).0, 0);
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
}

#[test]
fn what_is_no_file_stays_what_it_is() {
    use std::os::unix::fs::FileTypeExt as _;
    let files = Files::new();
    let vmlinux = files.write("vmlinux", &kernel(None).build());
    let pipe = files.path("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let reader = std::thread::spawn({
        let pipe = pipe.clone();
        move || std::fs::read(pipe).unwrap()
    });
    assert_eq!(
        orctool(&["gen", &vmlinux, "-o", pipe.to_str().unwrap()]).0,
        0
    );
    assert!(std::fs::symlink_metadata(&pipe)
        .unwrap()
        .file_type()
        .is_fifo());
    assert!(reader.join().unwrap().starts_with(b"\x7fELF"));
}

#[test]
fn a_link_stays_a_link() {
    let files = Files::new();
    let path = files.write("m.ko", &module().build());
    let link = files.path("link.ko");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    assert_eq!(orctool(&["gen", "--module", link.to_str().unwrap()]).0, 0);
    assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
    let bytes = std::fs::read(&path).unwrap();
    assert!(bytes.windows(15).any(|w| w == b".orc_unwind.tex"));
}

#[test]
fn dump_takes_symbols_offsets_and_addresses() {
    let files = Files::new();
    let vmlinux = files.write("vmlinux", &kernel(None).build());
    let module_path = files.write("m.ko", &module().build());
    let dump = |file: &str, place: &str| {
        let (status, out, err) = orctool(&["dump", file, place]);
        assert_eq!(status, 0, "{place}: {err}");
        out
    };
    let row = dump(&vmlinux, "framed+0x8");
    assert_eq!(row.lines().count(), 1);
    assert!(
        row.contains("framed+0x8") && row.contains("cfa=sp+16"),
        "{row}"
    );
    assert_eq!(dump(&vmlinux, "0xffff800080010008"), row);
    assert_eq!(
        dump(&vmlinux, "ffff80008001000a"),
        row,
        "inside the instruction"
    );
    assert_eq!(dump(&vmlinux, ".text+0x8"), row);
    assert!(dump(&module_path, ".init.text+8").contains("init+0x8"));
    assert!(dump(&module_path, "init").lines().count() == 4);
}

#[test]
fn stat_counts_every_instruction() {
    let files = Files::new();
    let vmlinux = files.write("vmlinux", &kernel(None).build());
    let (status, out, _) = orctool(&["stat", "--json", &vmlinux]);
    assert_eq!(status, 0);
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    let section = &json["sections"][0];
    let classes = section["instructions"].as_object().unwrap();
    let total: u64 = classes.values().map(|v| v.as_u64().unwrap()).sum();
    assert_eq!(total * 4, section["text_bytes"].as_u64().unwrap());
    assert_eq!(classes["foreign"], 2);
    assert_eq!(classes["hole"], 3);
    assert_eq!(classes["proved"], 7);
    assert_eq!(
        json["x86_orc_bytes"],
        section["rows"].as_u64().unwrap() * 10 + 8
    );
    let (status, out, _) = orctool(&["stat", &vmlinux]);
    assert_eq!(status, 0);
    assert!(out.contains("bytes a row"), "{out}");
}

/// A kernel with a leaf of two instructions, and two that are none.
fn kernel_with_assembly(table: Option<&[u8]>) -> Elf {
    let mut elf = kernel(table);
    elf.symbol("traps", GLOBAL_FUNC, 1, TEXT + 32, 8);
    elf
}

#[test]
fn stat_says_what_the_proof_of_leaves_adds() {
    let files = Files::new();
    let unlinked = files.write("vmlinux.tmp", &kernel_with_assembly(None).build());
    let object = files.path("orc.o");
    orctool(&["gen", &unlinked, "-o", object.to_str().unwrap()]);
    // The table is the same whether it is there or made for the purpose.
    let linked = kernel_with_assembly(Some(&table_of(&object)));
    let linked = files.write("vmlinux", &linked.build());
    for file in [&unlinked, &linked] {
        let (status, out, err) = orctool(&["stat", "--json", "--refused", file]);
        assert_eq!(status, 0, "{err}");
        let json: serde_json::Value = serde_json::from_str(&out).unwrap();
        let section = &json["sections"][0];
        // The two that trap and the two that are foreign; before, the leaf too.
        assert_eq!(section["bytes_without_row"]["with_leaves"], 16);
        assert_eq!(section["bytes_without_row"]["by_cfi_alone"], 24);
        let refused = serde_json::json!([{
            "symbol": "traps",
            "address": TEXT + 32,
            "bytes": 8,
            "why": "runs over its end",
        }]);
        assert_eq!(section["refused"], refused);
        let (_, text, _) = orctool(&["stat", "--refused", file]);
        assert!(text.contains("16 bytes without a usable row"), "{text}");
        assert!(text.contains("; 24 if leaves"), "{text}");
        assert!(text.contains("8 traps") && text.contains("runs over its end"));
        let (_, text, _) = orctool(&["stat", file]);
        assert!(!text.contains("traps"), "{text}");
    }
}

#[test]
fn without_cfi_stat_does_not_know_what_leaves_add() {
    let files = Files::new();
    let unlinked = files.write("vmlinux.tmp", &kernel_with_assembly(None).build());
    let object = files.path("orc.o");
    orctool(&["gen", &unlinked, "-o", object.to_str().unwrap()]);
    let mut stripped = kernel_with_assembly(Some(&table_of(&object)));
    stripped.sections[2].name = ".stripped".into();
    let stripped = files.write("vmlinux", &stripped.build());
    let (status, out, _) = orctool(&["stat", "--json", &stripped]);
    assert_eq!(status, 0);
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    let without = &json["sections"][0]["bytes_without_row"];
    assert_eq!(without["with_leaves"], 16);
    assert!(without["by_cfi_alone"].is_null());
    let (status, _, err) = orctool(&["stat", "--refused", &stripped]);
    assert_eq!((status, err.lines().count()), (2, 1), "{err}");
}

#[test]
fn quiet_and_verbose() {
    let files = Files::new();
    let vmlinux = files.write("vmlinux", &kernel(None).build());
    let out = files.path("orc.o");
    let out = out.to_str().unwrap();
    let err = |flag: &[&str]| {
        let (status, stdout, err) = orctool(&[&["gen", &vmlinux, "-o", out], flag].concat());
        assert_eq!((status, stdout.as_str()), (0, ""));
        err
    };
    assert_eq!(err(&[]), "");
    assert_eq!(err(&["-q"]), "");
    assert!(err(&["-v"]).contains("bytes of table"));
}
