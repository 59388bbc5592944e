// SPDX-License-Identifier: GPL-2.0 OR MIT

//! `orctool check`: what is found, what is said of it, and the exit status.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::assemble::{
    framed_cfi, kernel, module, op, EhFrame, Elf, ALLOC, CALL26, EXEC, FRAMED, GLOBAL_FUNC,
    LOCAL_SECTION, MOV_FP, NOP, POP, PREL32, PROGBITS, PUSH, REL, RET, TEXT,
};

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
        let output = Command::new(env!("CARGO_BIN_EXE_orctool"))
            .arg("check")
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

/// A function: its name, words, and CFI if it has any.
type Described = (&'static str, Vec<u32>, Option<Vec<Vec<u8>>>);

/// A frame record at SP, in the row from here on.
fn made() -> Vec<u8> {
    [
        op::def_cfa_offset(16),
        op::offset(29, 16),
        op::offset(30, 8),
    ]
    .concat()
}

/// The row of the entry again, from here on.
fn undone() -> Vec<u8> {
    [op::def_cfa_offset(0), op::restore(29), op::restore(30)].concat()
}

/// `PUSH, MOV_FP, NOP, POP, RET` with the rows changing after so many instructions.
fn framed(name: &'static str, made_at: u8, undone_after: u8) -> Described {
    let cfi = vec![
        op::advance(made_at),
        made(),
        op::advance(undone_after),
        undone(),
    ];
    (name, vec![PUSH, MOV_FP, NOP, POP, RET], Some(cfi))
}

/// Functions that diverge in one way each, and the class and cause of it.
fn divergent() -> Vec<(Described, &'static str, &'static str)> {
    let push_alone = vec![op::advance(1), made()];
    let parts = vec![
        op::advance(1),
        [op::offset(29, 16), op::offset(30, 8)].concat(),
        op::advance(1),
        op::def_cfa_offset(16),
        op::advance(2),
        undone(),
    ];
    let around = vec![op::advance(2), made(), op::advance(4), undone()];
    vec![
        (
            framed("late_prologue", 2, 2),
            "late-row",
            "late-cfi-in-prologue",
        ),
        (
            framed("early_epilogue", 1, 2),
            "early-row",
            "early-cfi-in-epilogue",
        ),
        // The row stays to the end.
        (
            (
                "late_epilogue",
                vec![PUSH, MOV_FP, POP, RET],
                Some(push_alone.clone()),
            ),
            "late-row",
            "late-cfi-in-epilogue",
        ),
        // NOP, PUSH: the row is there before.
        (
            (
                "early_prologue",
                vec![NOP, PUSH, MOV_FP, POP, RET],
                Some(framed_cfi()),
            ),
            "early-row",
            "early-cfi-in-prologue",
        ),
        (
            ("merged", vec![PUSH, MOV_FP, NOP, POP, RET], Some(parts)),
            "late-row",
            "merged-writeback",
        ),
        // sub sp, sp, #16; stp x0, x2, [sp], #16; nop; ret: as clang 19 compiles
        // arm_smccc_hypervisor_has_uuid(), with the row changing after the NOP.
        (
            (
                "merged_store",
                vec![0xd100_43ff, 0xa881_0be0, NOP, RET],
                Some(vec![
                    op::advance(1),
                    op::def_cfa_offset(16),
                    op::advance(2),
                    op::def_cfa_offset(0),
                ]),
            ),
            "late-row",
            "merged-writeback",
        ),
        // mov x8, x30; bl .+4; mov x30, x8; ret
        (
            (
                "calls_next",
                vec![0xaa1e_03e8, 0x9400_0001, 0xaa08_03fe, RET],
                Some(vec![]),
            ),
            "call-without-frame",
            "inline-asm",
        ),
        // mov x9, x30; mov x30, x1; mov x30, x9; ret
        (
            (
                "parked",
                vec![0xaa1e_03e9, 0xaa01_03fe, 0xaa09_03fe, RET],
                Some(vec![]),
            ),
            "call-without-frame",
            "inline-asm",
        ),
        // cbz x0, 1f; PUSH; b 2f; 1: nop; ret; 2: POP; ret
        (
            (
                "around",
                vec![0xb400_0060, PUSH, 0x1400_0003, NOP, RET, POP, RET],
                Some(around),
            ),
            "early-row",
            "path-without-frame",
        ),
        (
            ("returns", vec![PUSH, RET], Some(push_alone)),
            "wrong-return",
            "wrong-exit",
        ),
        (
            ("unreached", vec![RET, NOP], Some(vec![])),
            "unreached",
            "checker-limit",
        ),
        (
            (
                "expression",
                vec![NOP, RET],
                Some(vec![op::def_cfa_expression()]),
            ),
            "bad-cfi",
            "checker-limit",
        ),
        // mov sp, x9
        (
            ("lost", vec![0x9100_013f, RET], Some(vec![])),
            "wrong-cfa",
            "unknown",
        ),
        // The last one of the section.
        (
            ("falls", vec![NOP], Some(vec![])),
            "falls-through",
            "undefined-behaviour",
        ),
    ]
}

/// An object with these functions, one after the other.
fn object(functions: &[Described]) -> Elf {
    let mut elf = Elf::new(REL);
    let words: Vec<u32> = functions
        .iter()
        .flat_map(|(_, words, _)| words.clone())
        .collect();
    let text = elf.text(".text", 0, &words);
    let mut frame = EhFrame::new(false);
    let mut starts = Vec::new();
    let mut at = 0;
    for (_, words, cfi) in functions {
        let len = words.len() as u32 * 4;
        if let Some(cfi) = cfi {
            starts.push((frame.fde(0, len, cfi), at));
        }
        at += i64::from(len);
    }
    let cfi = elf.section(".eh_frame", PROGBITS, ALLOC, 0, &frame.bytes);
    elf.section(
        ".comment",
        PROGBITS,
        0,
        0,
        b"\0GCC: (x) 1.2.3\0Linker: y\0GCC: (x) 1.2.3\0",
    );
    let symbol = elf.symbol("", LOCAL_SECTION, text, 0, 0);
    let starts: Vec<_> = starts
        .into_iter()
        .map(|(field, at)| (field, PREL32, symbol, at))
        .collect();
    elf.rela(cfi, &starts);
    let mut at = 0;
    for (name, words, _) in functions {
        let len = words.len() as u64 * 4;
        elf.symbol(name, GLOBAL_FUNC, text, at, len);
        at += len;
    }
    elf
}

/// All that diverges, and a function without CFI that calls.
pub fn all() -> Elf {
    let mut functions: Vec<Described> = divergent().into_iter().map(|(f, ..)| f).collect();
    // It calls the first one.
    functions.insert(1, ("bare", vec![0x97ff_fffb, RET], None));
    object(&functions)
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

/// Every path of object keys in a value, arrays as `[]`.
fn paths(value: &Value, at: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let path = format!("{at}.{name}");
                paths(value, &path, found);
                found.insert(path);
            }
        }
        Value::Array(values) => values
            .iter()
            .for_each(|v| paths(v, &format!("{at}[]"), found)),
        _ => {}
    }
}

/// The fields that the README's tables describe, of lines such as
/// ``| `.files[].file` | ... |``. A row for `.files[].totals` stands for `.totals`,
/// which has the same fields, and so on: those are written as `TOTALS`, `PLACE`.
fn documented() -> BTreeSet<String> {
    let readme = include_str!("../../README.md");
    let rows = readme
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let names: Vec<&str> = rows.collect();
    let group = |name: &str| -> Vec<String> {
        let prefix = format!("{name}.");
        let fields = names.iter().filter_map(|n| n.strip_prefix(&prefix));
        fields.map(str::to_string).collect()
    };
    let (totals, place) = (group("TOTALS"), group("PLACE"));
    let mut all = BTreeSet::new();
    for name in names.iter().filter(|name| name.starts_with('.')) {
        let expand = |from: &str, fields: &[String]| -> Vec<String> {
            let base = name.strip_suffix(from);
            base.map_or(Vec::new(), |base| {
                fields.iter().map(|f| format!("{base}{f}")).collect()
            })
        };
        let expanded = [expand("TOTALS", &totals), expand("PLACE", &place)].concat();
        match expanded.is_empty() {
            true => all.insert(name.to_string()),
            false => expanded.into_iter().all(|name| all.insert(name)),
        };
    }
    all
}

#[test]
fn json_has_the_documented_fields_and_no_others() {
    let bench = Bench::new();
    bench.write("all.o", all().build());
    bench.write(
        "known.txt",
        "# orctool check baseline 1\nall.o\tgone\tlate-row\t-\t1\n",
    );
    bench.write("lines.o", broken_lines());
    bench.write("flow.o", crate::sancov::disagreeing().build());
    let json = bench.json(&["--baseline", "known.txt", "all.o", "lines.o", "flow.o"]);
    let mut found = BTreeSet::new();
    paths(&json, "", &mut found);
    let documented = documented();
    assert!(!documented.is_empty());
    let difference: Vec<_> = found.symmetric_difference(&documented).collect();
    assert_eq!(difference, Vec::<&String>::new(), "in one of the two alone");
    assert_eq!(json["version"], 1);
    assert_eq!(json["new_findings"], json["totals"]["findings"]);
    assert_eq!(json["gone"][0], "all.o\tgone\tlate-row\t-\t1");
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

/// It has no place for them: what it is to keep is what compilers do for good.
#[test]
fn no_baseline_hides_a_disagreement_over_control_flow() {
    let bench = Bench::new();
    bench.write("flow.o", crate::sancov::disagreeing().build());
    assert_eq!(
        bench.check(&["--write-baseline", "known.txt", "flow.o"]).0,
        1
    );
    assert_eq!(bench.check(&["--baseline", "known.txt", "flow.o"]).0, 1);
}

#[test]
fn counts_add_up() {
    let bench = Bench::new();
    bench.write("all.o", all().build());
    let json = bench.json(&["all.o"]);
    let count = |name: &str| json["totals"][name].as_u64().unwrap();
    assert_eq!(count("proved") + count("unproved"), count("instructions"));
    assert_eq!(count("functions"), divergent().len() as u64 + 1);
    assert_eq!(
        (count("functions_without_cfi"), count("undescribed")),
        (1, 2)
    );
    let findings = json["files"][0]["findings"].as_array().unwrap();
    assert_eq!(count("findings"), findings.len() as u64);
    let affected: u64 = findings
        .iter()
        .map(|f| f["instructions"].as_u64().unwrap())
        .sum();
    assert_eq!(affected, count("unproved"));
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let bench = Bench::new();
    bench.write("all.o", all().build());
    let (_, first, _) = bench.check(&["--json", "all.o"]);
    for _ in 0..3 {
        assert_eq!(bench.check(&["--json", "all.o"]).1, first);
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

/// A fixture with DWARF, whose first function does not store its frame record.
fn broken_lines() -> Vec<u8> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/lines-gcc.o");
    let mut bytes = std::fs::read(path).unwrap();
    let wanted = PUSH.to_le_bytes();
    let at = bytes.windows(4).position(|word| word == wanted).unwrap();
    // sub sp, sp, #16
    bytes[at..at + 4].copy_from_slice(&0xd100_43ff_u32.to_le_bytes());
    bytes
}

#[test]
fn source_and_compiler_come_from_dwarf() {
    let bench = Bench::new();
    bench.write("x.o", broken_lines());
    let json = bench.json(&["x.o"]);
    let found = &json["files"][0]["findings"][0];
    assert!(
        found["source"]["file"]
            .as_str()
            .unwrap()
            .ends_with("lines.c"),
        "{found:#}"
    );
    assert!(found["source"]["line"].as_u64().unwrap() > 0);
    assert_eq!(found["language"], "C");
    let compiler = found["compiler"].as_str().unwrap();
    assert!(
        compiler.starts_with("GNU C") && !compiler.contains(" -"),
        "{compiler}"
    );
    assert!(found["producer"].as_str().unwrap().contains("-O2"));
    // From a pipe, which can be read once.
    let pipe = bench.0.path().join("pipe");
    assert!(Command::new("mkfifo")
        .arg(&pipe)
        .status()
        .unwrap()
        .success());
    let writer = std::thread::spawn(move || std::fs::write(pipe, broken_lines()).unwrap());
    let json = bench.json(&["pipe"]);
    writer.join().unwrap();
    assert_eq!(json["files"][0]["findings"][0]["source"], found["source"]);
    let (_, out, _) = bench.check(&["x.o"]);
    let first = out.lines().next().unwrap();
    let (file, rest) = first.split_once(':').unwrap();
    assert!(file.ends_with("lines.c"), "an editor can jump: {first}");
    assert!(
        rest.split_once(':').unwrap().0.parse::<u32>().is_ok(),
        "{first}"
    );
}

#[test]
fn without_dwarf_the_compiler_is_one_of_those_named() {
    let compilers = |symbol: &'static str, comment: &[u8]| {
        let mut elf = object(&[framed(symbol, 2, 2)]);
        let section = elf.sections.iter_mut().find(|s| s.name == ".comment");
        section.unwrap().data = comment.to_vec();
        let bench = Bench::new();
        bench.write("x.o", elf.build());
        let found = &bench.json(&["x.o"])["files"][0]["findings"][0];
        (found["compiler"].clone(), found["language"].clone())
    };
    let both = b"rustc version 1\0clang version 2\0rustc version 1\0";
    let any = "clang version 2 or rustc version 1".into();
    assert_eq!(compilers("c", both), (any, Value::Null));
    let rust = ("rustc version 1".into(), "Rust".into());
    assert_eq!(compilers("_RNvC1x1y", both), rust);
    let two = ("rustc version 1 or rustc version 2".into(), "Rust".into());
    assert_eq!(
        compilers("_RNvC1x1y", b"rustc version 2\0rustc version 1"),
        two
    );
    assert_eq!(
        compilers("c", b"\0"),
        ("unknown compiler".into(), Value::Null)
    );
}

/// A baseline of these functions, made by the tool.
fn with_baseline(functions: &[Described]) -> Bench {
    let bench = Bench::new();
    bench.write("x.o", object(functions).build());
    let (status, ..) = bench.check(&["-q", "--write-baseline", "known.txt", "x.o"]);
    assert_eq!(status, 0, "what is written down is accepted");
    bench
}

#[test]
fn what_the_baseline_has_does_not_fail() {
    let old = [framed("a", 2, 2), framed("b", 1, 2)];
    let bench = with_baseline(&old);
    let known = "# orctool check baseline 1\n\
         # file, symbol, class, claim, number of findings\n\
         x.o\ta\tlate-row\tcfa=sp+0 ra=x30 fp=x29\t1\n\
         x.o\tb\tearly-row\tcfa=sp+0 ra=x30 fp=x29\t1\n";
    assert_eq!(bench.read("known.txt"), known);
    let check = |functions: &[Described]| {
        bench.write("x.o", object(functions).build());
        bench.check(&["--baseline", "known.txt", "x.o"])
    };
    let (status, out, _) = check(&old);
    assert_eq!(status, 0);
    assert_eq!(out.lines().count(), 1, "{out}");
    assert!(
        out.contains("2 divergences, 2 of them in the baseline"),
        "{out}"
    );
    // Other addresses, another offset in the function.
    let mut shifted = old.to_vec();
    shifted[0].1.insert(0, NOP);
    shifted[0].2.as_mut().unwrap()[0] = op::advance(3);
    shifted.reverse();
    shifted.insert(0, framed("sound", 1, 3));
    assert_eq!(check(&shifted).0, 0);
    // One that is not in it.
    let more = [old[0].clone(), old[1].clone(), framed("c", 2, 2)];
    let (status, out, _) = check(&more);
    assert_eq!(status, 1);
    assert!(out.contains("c+0x4") && !out.contains("a+0x4"), "{out}");
    // A second one of a kind that is in it.
    let (status, ..) = check(&[old[0].clone(), old[1].clone(), framed("a", 2, 2)]);
    assert_eq!(status, 1);
    // One less.
    let (status, out, _) = check(&old[1..]);
    assert_eq!(status, 0);
    assert!(
        out.contains("in the baseline and not found: x.o\ta\tlate-row"),
        "{out}"
    );
    // Another file has nothing to do with it.
    bench.write("other.o", object(&[framed("sound", 1, 3)]).build());
    let (status, out, _) = bench.check(&["--baseline", "known.txt", "other.o"]);
    assert_eq!((status, out.lines().count()), (0, 1), "{out}");
    // Known ones can be looked at.
    bench.write("x.o", object(&old).build());
    let (status, out, _) = bench.check(&["-v", "--baseline", "known.txt", "x.o"]);
    assert_eq!(status, 0);
    assert!(out.contains("late-row (in the baseline)"), "{out}");
    let json = bench.json(&["--baseline", "known.txt", "x.o"]);
    assert_eq!(json["new_findings"], 0);
    assert_eq!(json["files"][0]["findings"][0]["known"], true);
}

#[test]
fn a_hash_in_a_symbol_is_not_in_the_baseline() {
    let bench = with_baseline(&[framed("f.llvm.123456", 2, 2)]);
    assert!(bench.read("known.txt").contains("x.o\tf\tlate-row"));
    bench.write("x.o", object(&[framed("f.llvm.99", 2, 2)]).build());
    assert_eq!(bench.check(&["-q", "--baseline", "known.txt", "x.o"]).0, 0);
    bench.write("x.o", object(&[framed("f.llvm.x", 2, 2)]).build());
    assert_eq!(bench.check(&["-q", "--baseline", "known.txt", "x.o"]).0, 1);
}

#[test]
fn malformed_baselines_are_exit_status_2() {
    let bench = Bench::new();
    bench.write("x.o", object(&[framed("a", 2, 2)]).build());
    let header = "# orctool check baseline 1\n";
    let cases: [(&[u8], usize, &str); 7] = [
        (b"", 1, "does not start"),
        (b"# orctool check baseline 2\n", 1, "does not start"),
        (b"x.o\ta\tlate-row\t-\n", 2, "not five fields"),
        (b"\n# comment\nx.o a late-row - 1\n", 4, "not five fields"),
        (b"x.o\ta\tlate-row\t-\tmany\n", 2, "not a number"),
        (b"x.o\ta\tlate-row\t-\t0\n", 2, "not a number"),
        (b"x.o\ta\tb\t-\t1\nx.o\ta\tb\t-\t2\n", 3, "a second time"),
    ];
    for (number, (text, line, expected)) in cases.into_iter().enumerate() {
        let text = if number < 2 {
            text.to_vec()
        } else {
            [header.as_bytes(), text].concat()
        };
        bench.write("known.txt", text);
        let (status, out, err) = bench.check(&["--baseline", "known.txt", "x.o"]);
        assert_eq!((status, out.as_str()), (2, ""), "{err}");
        let start = format!("orctool: known.txt:{line}: ");
        assert!(err.starts_with(&start) && err.contains(expected), "{err}");
        assert_eq!(err.lines().count(), 1, "{err}");
    }
    // Bytes that are no text are no match, and no panic.
    bench.write(
        "known.txt",
        [header.as_bytes(), b"\xff\xfe\t\t\t\t1\n"].concat(),
    );
    assert_eq!(bench.check(&["-q", "--baseline", "known.txt", "x.o"]).0, 1);
    let (status, _, err) = bench.check(&["--baseline", "missing.txt", "x.o"]);
    assert_eq!(status, 2);
    assert!(err.starts_with("orctool: missing.txt: "), "{err}");
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
