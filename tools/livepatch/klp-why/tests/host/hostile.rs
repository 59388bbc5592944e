// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Names that want to reach the terminal, the metrics or another line.

use std::fs;

use crate::tree::{klp_why, Task, Tree};

const ESCAPE: &str = "\x1b]0;owned\x07\x1b[2J";

fn is_clean(text: &str) -> bool {
    text.chars().all(|c| c == '\n' || !c.is_control())
}

#[test]
fn names_reach_nothing_raw() {
    let tree = Tree::new();
    let patch = format!("p\"\\{ESCAPE}\n");
    tree.patch(&patch, true, true);
    tree.function(&patch, &format!("m{ESCAPE}"), true, &format!("f{ESCAPE},1"));
    tree.log(
        10.0,
        &format!("livepatch: '{patch}': starting patching transition"),
    );
    let mut task = Task::new(9, "");
    task.comm = b"a) S 1 \n\x1b[31m\xff\xc2\x9b".to_vec();
    task = task.stack(&format!(
        "[<0>] g{ESCAPE}+0x1/0x2 [m{ESCAPE}]\nunreliable: x{ESCAPE} at y{ESCAPE}\n"
    ));
    tree.task(&task);
    let (metrics, history) = (tree.path("m.prom"), tree.path("history"));
    let files = [
        "--prometheus",
        metrics.to_str().unwrap(),
        "--history",
        history.to_str().unwrap(),
    ];
    for more in [&[][..], &["--json"]] {
        let output = klp_why(&[&tree], &[&files[..], more].concat());
        assert!(
            is_clean(&output.out) && is_clean(&output.err),
            "{:?}",
            output.out
        );
        assert!(output.out.contains("a) S 1 "), "{}", output.out);
    }
    let text = fs::read_to_string(&metrics).unwrap();
    assert!(is_clean(&text), "{text:?}");
    let name = text
        .lines()
        .find(|l| l.starts_with("klp_patch_in_transition{"));
    let name = name
        .unwrap()
        .strip_prefix("klp_patch_in_transition{patch=\"p\\\"")
        .unwrap();
    assert!(name.ends_with("\"} 1"), "{name}");
    let text = fs::read_to_string(&history).unwrap();
    assert!(is_clean(&text) && text.lines().count() == 2, "{text:?}");
}

#[test]
fn names_of_all_kinds() {
    for comm in [
        "a b",
        "((",
        "))",
        "a) R 1",
        "new\nline",
        "",
        "-",
        "kworker/u8:1+flush",
    ] {
        let tree = Tree::new();
        tree.transition(true, 10.0);
        tree.task(&Task::new(9, comm).stack("[<0>] nfsd+0x1/0x2\n"));
        let output = klp_why(&[&tree], &["--json"]);
        let shown = output.blocked()["comm"].as_str().unwrap().to_string();
        assert_eq!(shown, comm.replace('\n', "\\n"));
        let table = klp_why(&[&tree], &[]).out;
        assert_eq!(table.lines().count(), 4, "{table}");
    }
}

#[test]
fn broken_files_are_no_panic() {
    for file in ["stat", "status", "schedstat", "stack"] {
        for text in [
            "", "\n", "(", ")(", "9 (x", "\u{ffff}", "reliable", "[<", "[<0>] ", "-1",
        ] {
            let tree = Tree::new();
            tree.transition(true, 10.0);
            tree.task(&Task::new(9, "x"));
            tree.write(&format!("proc/9/task/9/{file}"), text);
            let output = klp_why(&[&tree], &["--json"]);
            // A task that has not switched is never lost.
            let status = if file == "stat" { 2 } else { 1 };
            assert_eq!(output.status, status, "{file}: {text:?}: {}", output.err);
            assert_eq!(output.json()["transition"]["switched"], 1);
        }
    }
    for (file, text) in [("enabled", "x"), ("transition", "")] {
        let tree = Tree::new();
        tree.transition(true, 10.0);
        tree.write(&format!("sys/kernel/livepatch/cve/{file}"), text);
        let output = klp_why(&[&tree], &[]);
        assert_eq!((output.status, output.err.lines().count()), (2, 1));
    }
}
