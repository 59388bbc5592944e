// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The functions a module replaces, by each builder. `fixtures/make.sh` makes the files.

use klp_why::module::parse;

fn names(bytes: &[u8]) -> Vec<(String, String, usize)> {
    let functions = parse(bytes).unwrap();
    let shown = functions
        .into_iter()
        .map(|(module, function)| (module.unwrap_or_default(), function.name, function.position));
    shown.collect()
}

const FIXTURES: [&[u8]; 9] = [
    include_bytes!("../fixtures/source-x86_64.o"),
    include_bytes!("../fixtures/source-short-x86_64.o"),
    include_bytes!("../fixtures/source-aarch64.o"),
    include_bytes!("../fixtures/klp-build-x86_64.o"),
    include_bytes!("../fixtures/klp-build-aarch64.o"),
    include_bytes!("../fixtures/kpatch2-x86_64.o"),
    include_bytes!("../fixtures/kpatch2-aarch64.o"),
    // Before kpatch had positions.
    include_bytes!("../fixtures/kpatch1-x86_64.o"),
    include_bytes!("../fixtures/kpatch1-aarch64.o"),
];

#[test]
fn finds_what_each_builder_replaces() {
    for (n, fixture) in FIXTURES.iter().enumerate() {
        let position = if n < 7 { 2 } else { 1 };
        let expected = [
            ("", "cmdline_proc_show", 1),
            ("", "same", position),
            ("ext4", "ext4_file_open", 1),
        ];
        let expected = expected.map(|(m, f, p)| (m.to_string(), f.to_string(), p));
        assert_eq!(names(fixture), expected, "fixture {n}");
    }
}

#[test]
fn a_module_that_is_no_patch() {
    let error = parse(include_bytes!("../../../../orc/tests/fixtures/clang.o")).unwrap_err();
    assert_eq!(error, "no struct klp_func in it: is this a live patch?");
    assert!(parse(b"\x1f\x8b\x08").unwrap_err().contains("compressed"));
    assert!(parse(b"").is_err());
}

#[test]
fn damage_is_no_panic() {
    for fixture in FIXTURES {
        for length in (0..fixture.len()).step_by(7) {
            let _ = parse(&fixture[..length]);
        }
        let mut damaged = fixture.to_vec();
        for n in 0..damaged.len() {
            let old = damaged[n];
            for new in [0xff, old ^ 1] {
                damaged[n] = new;
                let _ = parse(&damaged);
            }
            damaged[n] = old;
        }
    }
}
