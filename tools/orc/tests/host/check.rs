// SPDX-License-Identifier: GPL-2.0 OR MIT

//! `orctool check`: what is found, what is said of it, and the exit status.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::assemble::{
    framed_cfi, kernel, module, op, EhFrame, Elf, ALLOC, CALL26, EXEC, FRAMED, GLOBAL_FUNC, NOP,
    POP, PROGBITS, PUSH, REL, RET, TEXT,
};

mod baseline;
mod dwarf;
mod functions;
mod json;

pub use functions::all;
use functions::{divergent, framed, made, object, undone, Described};

/// A directory to run the tool in, so that its output names no other.
struct Bench(tempfile::TempDir);

impl Bench {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> &Self {
        std::fs::write(self.0.path().join(name), bytes).unwrap();
        self
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.0.path().join(name)).unwrap()
    }

    /// `orctool check`: exit status, standard output, standard error.
    fn check(&self, arguments: &[&str]) -> (i32, String, String) {
        self.check_with(arguments, &[])
    }

    fn check_with(&self, arguments: &[&str], variables: &[(&str, &str)]) -> (i32, String, String) {
        self.run("check", arguments, variables)
    }

    fn run(
        &self,
        command: &str,
        arguments: &[&str],
        variables: &[(&str, &str)],
    ) -> (i32, String, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_orctool"))
            .arg(command)
            .args(arguments)
            .current_dir(self.0.path())
            .env_remove("NO_COLOR")
            .env_remove("CLICOLOR_FORCE")
            .envs(variables.iter().copied())
            .output()
            .unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let status = output.status.code().expect("no signal, no panic");
        (status, text(output.stdout), text(output.stderr))
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let (_, out, err) = self.check(&[&["--json"], arguments].concat());
        assert_eq!(err, "");
        serde_json::from_str(&out).unwrap()
    }
}

/// What takes the time says nothing of the file.
fn without_time(out: &str) -> String {
    let lines = out.lines().map(|line| match line.rsplit_once("; ") {
        Some((before, time)) if time.ends_with(" s") => format!("{before}; TIME\n"),
        _ => format!("{line}\n"),
    });
    lines.collect()
}

fn golden(name: &str, out: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name);
    if std::env::var_os("ORC_BLESS").is_some() {
        std::fs::write(&path, out).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(out, expected, "{name}: ORC_BLESS=1 if this is meant");
}

#[test]
fn sound_files_are_exit_status_0() {
    let bench = Bench::new();
    bench.write("vmlinux", kernel(None).build());
    bench.write("m.ko", module().build());
    let (status, out, err) = bench.check(&["vmlinux", "m.ko"]);
    assert_eq!((status, err.as_str()), (0, ""), "{out}");
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines.len(), 3, "{out}");
    for (line, (start, counts)) in lines.iter().zip([
        ("vmlinux: no divergence; 2 functions; ", "5 proved"),
        ("m.ko: no divergence; 3 functions; ", "10 proved"),
        ("all: no divergence; 5 functions; ", "15 proved"),
    ]) {
        assert!(line.starts_with(start) && line.contains(counts), "{line}");
    }
}

#[test]
fn compiled_fixtures_have_no_divergence() {
    let bench = Bench::new();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    for name in [
        "clang.o",
        "gcc.o",
        "gcc-sync.o",
        "lines-clang.o",
        "lines-gcc.o",
    ] {
        let file = fixtures.join(name);
        let (status, out, _) = bench.check(&[file.to_str().unwrap()]);
        assert_eq!(status, 0, "{out}");
    }
}

#[test]
fn each_divergence_has_its_class_and_cause() {
    for (function, class, cause) in divergent() {
        let bench = Bench::new();
        bench.write("x.o", object(std::slice::from_ref(&function)).build());
        let json = bench.json(&["x.o"]);
        let findings = json["files"][0]["findings"].as_array().unwrap();
        let found: Vec<_> = findings
            .iter()
            .map(|f| {
                (
                    f["symbol"].as_str(),
                    f["class"].as_str(),
                    f["cause"].as_str(),
                )
            })
            .collect();
        let expected = (Some(function.0), Some(class), Some(cause));
        assert_eq!(found, [expected], "{json:#}");
    }
}

#[test]
fn text_is_as_blessed() {
    let bench = Bench::new();
    bench.write("all.o", all().build());
    let (status, out, err) = bench.check(&["-v", "all.o"]);
    assert_eq!((status, err.as_str()), (1, ""));
    golden("check.txt", &without_time(&out));
}

#[test]
fn the_report_is_as_blessed() {
    let bench = Bench::new();
    bench.write("all.o", all().build());
    assert_eq!(
        bench.check(&["-q", "--report", "all.md", "all.o"]),
        (1, String::new(), String::new())
    );
    golden("check.md", &bench.read("all.md"));

    bench.write("m.ko", module().build());
    assert_eq!(bench.check(&["-q", "--report", "m.md", "m.ko"]).0, 0);
    assert!(bench.read("m.md").contains("No divergence was found."));
}

#[test]
fn many_of_a_kind_are_a_list_in_the_report() {
    let names = ["a", "b", "c", "d", "e", "f", "g"];
    let functions: Vec<Described> = names.iter().map(|name| framed(name, 2, 2)).collect();
    let bench = Bench::new();
    bench.write("x.o", object(&functions).build());
    bench.check(&["-q", "--report", "x.md", "x.o"]);
    let report = bench.read("x.md");
    let starting = |start: &str| {
        report
            .lines()
            .filter(|line| line.starts_with(start))
            .count()
    };
    assert_eq!(
        (
            starting("### `"),
            starting("* `f+0x4`"),
            starting("* `g+0x4`")
        ),
        (5, 1, 1)
    );
    assert!(report.contains("| GCC: (x) 1.2.3 | late-row | late-cfi-in-prologue | 7 | 7 |"));
}

#[test]
fn listed_control_flow_is_shown_as_blessed() {
    let bench = Bench::new();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    bench.write(
        "sancov.o",
        std::fs::read(fixtures.join("sancov.o")).unwrap(),
    );
    bench.write("flow.o", crate::sancov::disagreeing().build());
    let (status, out, err) = bench.check(&["-v", "sancov.o"]);
    assert_eq!((status, err.as_str()), (0, ""));
    golden("sancov.txt", &without_time(&out));
    let (status, out, err) = bench.check(&["flow.o"]);
    assert_eq!((status, err.as_str()), (1, ""));
    golden("sancov-bad.txt", &without_time(&out));
    assert_eq!(bench.check(&["-q", "--report", "flow.md", "flow.o"]).0, 1);
    let report = bench.read("flow.md");
    let shown = out.lines().filter(|line| line.contains("control-flow"));
    assert_eq!(
        shown.filter(|line| report.contains(line)).count(),
        4,
        "{report}"
    );
}

#[test]
fn the_same_input_gives_the_same_bytes_with_any_number_of_threads() {
    let bench = Bench::new();
    bench.write("all.o", all().build());
    let run = |command: &str, arguments: &[&str], threads: &str| {
        bench.run(command, arguments, &[("RAYON_NUM_THREADS", threads)])
    };
    let (_, check, _) = run("check", &["--json", "all.o"], "1");
    let table = |threads| {
        bench.write("m.ko", module().build());
        let made = run("gen", &["--module", "m.ko"], threads);
        assert_eq!(made, (0, String::new(), String::new()));
        std::fs::read(bench.0.path().join("m.ko")).unwrap()
    };
    let first = table("1");
    for threads in ["1", "2", "3", "8"] {
        assert_eq!(run("check", &["--json", "all.o"], threads).1, check);
        assert_eq!(table(threads), first);
    }
}

#[test]
fn all_text_of_a_kernel_is_checked() {
    let mut elf = kernel(None);
    let (_, words, cfi) = framed("late", 2, 2);
    let init = elf.section(
        ".init.text",
        PROGBITS,
        ALLOC | EXEC,
        TEXT + 0x800,
        &crate::assemble::bytes(&words),
    );
    elf.symbol("late", GLOBAL_FUNC, init, TEXT + 0x800, 20);
    let mut frame = EhFrame::new(false);
    frame.fde(-0x1000, 20, &framed_cfi());
    frame.fde(-0x800, 20, &cfi.unwrap());
    elf.sections[2].data = frame.bytes;
    let bench = Bench::new();
    bench.write("vmlinux", elf.build());
    let json = bench.json(&["vmlinux"]);
    let file = &json["files"][0];
    let found = &file["findings"][0];
    assert_eq!(found["section"], ".init.text");
    assert_eq!(found["address"], format!("{:#x}", TEXT + 0x804));
    let sections = file["sections"].as_array().unwrap();
    let sections: Vec<_> = sections
        .iter()
        .map(|s| (&s["section"], &s["findings"]))
        .collect();
    assert_eq!(
        format!("{sections:?}"),
        r#"[(String(".text"), Number(0)), (String(".init.text"), Number(1))]"#
    );
}

#[test]
fn what_can_not_be_checked_is_exit_status_2() {
    let bench = Bench::new();
    bench.write("no-elf", b"#!/bin/sh\n");
    let mut bare = Elf::new(REL);
    bare.text(".text", 0, &FRAMED);
    bench.write("bare.o", bare.build());
    bench.write("m.ko", module().build());
    let cases: [(&[&str], &str); 5] = [
        (
            &["no-elf"],
            "orctool: no-elf: ELF header+0x0: not an ELF file",
        ),
        (&["m.ko", "missing"], "orctool: missing: "),
        (
            &["bare.o"],
            "orctool: bare.o: .text+0x0: no CFI describes it",
        ),
        (
            &["--report", "no/such/x.md", "m.ko"],
            "orctool: no/such/x.md: ",
        ),
        (&[], "error: "),
    ];
    for (arguments, expected) in cases {
        let (status, _, err) = bench.check(arguments);
        assert_eq!(status, 2, "{arguments:?}: {err}");
        assert!(err.starts_with(expected), "{err}");
    }
}

#[test]
fn colour_is_for_those_who_want_it() {
    let bench = Bench::new();
    bench.write("all.o", all().build());
    let is_coloured = |variables: &[(&str, &str)]| {
        let (_, out, _) = bench.check_with(&["all.o"], variables);
        out.contains('\x1b')
    };
    assert!(!is_coloured(&[]), "not a terminal");
    assert!(is_coloured(&[("CLICOLOR_FORCE", "1")]));
    assert!(!is_coloured(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]));
}

#[test]
fn quiet_says_nothing() {
    let bench = Bench::new();
    bench.write("all.o", all().build());
    assert_eq!(
        bench.check(&["-q", "all.o"]),
        (1, String::new(), String::new())
    );
}

#[test]
fn names_can_not_break_lines() {
    let bench = Bench::new();
    let hostile = framed("a\tb\nc\x1b[31m\\n", 2, 2);
    bench.write("x.o", object(&[hostile]).build());
    bench.check(&["-q", "--write-baseline", "known.txt", "x.o"]);
    assert!(bench
        .read("known.txt")
        .contains("a\\tb\\nc\\u{1b}[31m\\\\n\tlate-row"));
    assert_eq!(bench.check(&["-q", "--baseline", "known.txt", "x.o"]).0, 0);
    let (_, out, _) = bench.check_with(&["x.o"], &[("CLICOLOR_FORCE", "1")]);
    assert!(!out.contains("\x1b[31m\\"), "{out}");
}

#[test]
fn calls_of_other_objects_are_known_by_their_relocation() {
    let mut elf = object(&[
        (
            "f",
            vec![PUSH, 0x9400_0000, POP, RET],
            Some(vec![op::advance(1), made(), op::advance(2), undone()]),
        ),
        framed("g", 2, 2),
    ]);
    let other = elf.symbol("other", 0x10, 0, 0, 0);
    elf.rela(1, &[(4, CALL26, other, 0)]);
    let bench = Bench::new();
    bench.write("x.o", elf.build());
    let json = bench.json(&["x.o"]);
    let findings = json["files"][0]["findings"].as_array().unwrap();
    let symbols: Vec<&Value> = findings.iter().map(|f| &f["symbol"]).collect();
    assert_eq!(symbols, ["g"], "{json:#}");
}
