// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Source and compiler, with DWARF and without.

use super::*;

/// A fixture with DWARF, whose first function does not store its frame record.
pub fn broken_lines() -> Vec<u8> {
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
