// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What `--json` prints, against what the README says of it.

use std::collections::BTreeSet;

use serde_json::Value;

use super::dwarf::broken_lines;
use super::functions::{all, divergent};
use super::Bench;

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
    let readme = include_str!("../../../README.md");
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
