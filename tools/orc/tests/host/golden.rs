// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What `orctool dump` and `orctool explain` print of the fixtures, beside the
//! disassembly.
//!
//! `ORC_BLESS=1 cargo test golden` writes the expected outputs anew; look at what
//! has changed before you commit it.

use std::path::{Path, PathBuf};

use crate::cli::orctool;

#[test]
fn dumps_are_as_blessed() {
    for name in ["clang", "gcc", "gcc-sync"] {
        let out = printed(&["dump", &format!("{name}.o")]);
        assert_blessed(&format!("{name}.dump"), &out);
    }
}

#[test]
fn explanations_are_as_blessed() {
    for (name, file, places) in [
        // After a call, in a frame that alloca() moves, in a leaf, in a return.
        (
            "clang",
            "clang.o",
            &["framed+0x18", "dynamic+0x24", "leaf+0x4"][..],
        ),
        ("gcc-sync", "gcc-sync.o", &["framed+0x2c"]),
        (
            "lines",
            "lines.elf",
            &["unreliable: frame pointer mismatch at first+0xc/0x18"],
        ),
    ] {
        let explain = |place: &&str| printed(&["explain", file, place]);
        let out: Vec<String> = places.iter().map(explain).collect();
        assert_blessed(&format!("{name}.explain"), &out.join("\n"));
    }
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// What a command on a fixture prints.
fn printed(arguments: &[&str]) -> String {
    let mut arguments = arguments.to_vec();
    let file = fixtures().join(arguments[1]);
    arguments[1] = file.to_str().unwrap();
    let (status, out, err) = orctool(&arguments);
    assert_eq!((status, err.as_str()), (0, ""), "{arguments:?}");
    out
}

fn assert_blessed(name: &str, out: &str) {
    let blessed = fixtures().join(name);
    if std::env::var_os("ORC_BLESS").is_some() {
        std::fs::write(&blessed, out).unwrap();
    }
    let expected = std::fs::read_to_string(&blessed).unwrap_or_default();
    assert_eq!(out, expected, "{name}: ORC_BLESS=1 if this is meant");
}
