// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The list of assumptions is one list: in the proof's module page, in Documentation, in
//! the README, in what `check -v` prints.

use std::collections::BTreeMap;

/// The counters of each assumption of the module page: ``* A1 (`calls`): ...``.
fn assumptions() -> BTreeMap<String, Vec<String>> {
    let page = include_str!("../../src/proof/mod.rs");
    let items = page.lines().filter_map(|line| {
        let (number, rest) = line.strip_prefix("//! * A")?.split_once(" (")?;
        let (counters, _) = rest.split_once("):")?;
        let counters = counters
            .split(", ")
            .map(|name| name.trim_matches('`').into());
        Some((format!("A{number}"), counters.collect()))
    });
    items.collect()
}

#[test]
fn every_assumption_has_a_number_and_a_counter() {
    let all = assumptions();
    let numbers = (1..=all.len()).map(|number| format!("A{number}"));
    assert!(all.len() >= 13);
    assert!(numbers.into_iter().all(|number| all.contains_key(&number)));
    assert!(all.values().all(|counters| !counters.is_empty()));
}

#[test]
fn every_assumption_is_in_the_readme_and_in_documentation() {
    let readme = include_str!("../../README.md");
    let page = include_str!("../../../../Documentation/arch/arm64/unwind-orc-proof.rst");
    for (number, counters) in assumptions() {
        for counter in counters.iter().filter(|name| *name != "assumed") {
            let row = format!("| `TOTALS.{counter}` | {number}: ");
            assert!(readme.contains(&row), "{row}");
            let is_row = |line: &str| line.split_whitespace().any(|word| word == counter);
            assert!(page.lines().any(is_row), "{counter}");
        }
        let starts = |line: &str| line.starts_with(&format!("{number} "));
        assert!(page.lines().any(starts), "{number}");
    }
}

#[test]
fn every_assumption_is_printed_with_its_count() {
    let text = include_str!("../../src/check/text.rs");
    for (number, counters) in assumptions() {
        for counter in counters.iter().filter(|name| *name != "assumed") {
            let line = format!("(\"{number}\", counts.{counter}, ");
            assert!(text.contains(&line), "{line}");
        }
    }
}
