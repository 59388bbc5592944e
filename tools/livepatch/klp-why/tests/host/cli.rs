// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The command line: exit status, messages, and the files it writes.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Instant;

use crate::tree::{klp_why, klp_why_as_nobody, Task, Tree};

fn waiting() -> Tree {
    let tree = Tree::new();
    tree.transition(true, 192.0);
    tree.log(177.0, "livepatch: signaling remaining tasks");
    tree.task(&Task::new(9, "nfsd").stack("[<0>] nfsd+0x10/0x90\nreliable\n"));
    tree
}

#[test]
fn without_livepatch() {
    let output = klp_why(&[&Tree::without_livepatch()], &[]);
    assert_eq!((output.status, output.out.as_str()), (2, ""));
    assert!(output
        .err
        .contains("sys/kernel/livepatch is missing: this kernel has no CONFIG_LIVEPATCH"));
    assert_eq!(output.err.lines().count(), 1);
}

#[test]
fn without_a_patch() {
    let output = klp_why(&[&Tree::new()], &[]);
    assert_eq!(
        (output.status, output.out.as_str()),
        (0, "no live patch is loaded\n")
    );
}

#[test]
fn the_table() {
    let expected = "\
cve: in transition to patched for 3m12s; replaces 3 functions in busymod, vmlinux
  1 of 2 tasks switched; first signal sent 2m57s ago
  TID  COMM  CPU  SINCE  WHY                           WILL IT END
  9    nfsd  -    3m12s  sleeps in nfsd+0x10 (replaced)  when it returns from it; livepatch's signal 2m57s ago did not do it
";
    let output = klp_why(&[&waiting()], &[]);
    let fields = |text: &str| -> Vec<Vec<String>> {
        let lines = text.lines();
        lines
            .map(|line| {
                line.split("  ")
                    .map(|f| f.trim().to_string())
                    .filter(|f| !f.is_empty())
                    .collect()
            })
            .collect()
    };
    assert_eq!((output.status, fields(&output.out)), (1, fields(expected)));
}

#[test]
fn not_root() {
    let tree = waiting();
    for task in [2, 9] {
        for file in ["patch_state", "stack"] {
            let path = tree.path(&format!("proc/{task}/task/{task}/{file}"));
            fs::set_permissions(path, fs::Permissions::from_mode(0o000)).unwrap();
        }
    }
    let output = klp_why_as_nobody(&[&tree], &[]);
    assert_eq!(output.status, 2, "{}", output.err);
    assert!(
        output.out.contains("0 of 2 tasks switched"),
        "{}",
        output.out
    );
    assert!(output
        .out
        .contains("not known: whether 2 tasks have switched: run this as root\n"));
}

#[test]
fn not_root_but_nothing_to_know() {
    let tree = Tree::new();
    tree.patch("cve", true, false);
    assert_eq!(klp_why_as_nobody(&[&tree], &[]).status, 0);
}

#[test]
fn stacks_are_denied() {
    let tree = waiting();
    let stack = tree.path("proc/9/task/9/stack");
    fs::set_permissions(stack, fs::Permissions::from_mode(0o000)).unwrap();
    let output = klp_why_as_nobody(&[&tree], &["--json"]);
    assert_eq!(
        (output.status, &output.blocked()["reason"]),
        (2, &"no_stack".into())
    );
    assert!(output.json()["missing"][0]
        .as_str()
        .unwrap()
        .contains("CAP_SYS_ADMIN"));
}

#[test]
fn a_log_that_is_denied_or_overwritten() {
    let tree = waiting();
    tree.write("dev/kmsg", "6,1,1,-;something else\n");
    let output = klp_why(&[&tree], &[]);
    assert_eq!(output.status, 1);
    assert!(output
        .out
        .contains("cve: in transition to patched; replaces"));
    assert!(output
        .out
        .contains("not known: how long it has taken: the log has no line"));
    fs::remove_file(tree.path("dev/kmsg")).unwrap();
    assert!(klp_why(&[&tree], &[])
        .out
        .contains("/dev/kmsg can't be read"));
}

#[test]
fn a_pid_namespace() {
    let tree = waiting();
    fs::remove_dir_all(tree.path("proc/2")).unwrap();
    let output = klp_why(&[&tree], &[]);
    assert_eq!(output.status, 2);
    assert!(output.out.contains("tasks outside of this PID namespace"));
}

#[test]
fn a_kernel_without_stacks_or_counters() {
    let tree = waiting();
    for file in ["stack", "schedstat", "status"] {
        fs::remove_file(tree.path(&format!("proc/9/task/9/{file}"))).unwrap();
    }
    let output = klp_why(&[&tree], &["--json"]);
    assert_eq!(
        (output.status, &output.blocked()["reason"]),
        (2, &"no_stack".into())
    );
}

#[test]
fn waits_no_longer_than_it_takes() {
    let (before, after) = (waiting(), waiting());
    after.patch("cve", true, false);
    let start = Instant::now();
    let output = klp_why(&[&before, &before, &after], &["--wait", "60"]);
    assert_eq!((output.status, output.out.as_str()), (0, ""));
    assert!(start.elapsed().as_secs() < 30);
}

#[test]
fn waits_no_longer_than_asked() {
    let output = klp_why(&[&waiting()], &["--wait", "0.2"]);
    assert_eq!(output.status, 1);
    assert!(output.out.contains("sleeps in nfsd+0x10"));
}

#[test]
fn watches_to_the_end() {
    let (before, after) = (waiting(), waiting());
    after.patch("cve", true, false);
    let output = klp_why(&[&before, &before, &after], &["--watch"]);
    assert_eq!(output.status, 0);
    assert!(
        output.out.starts_with("[#########################-"),
        "{}",
        output.out
    );
    assert!(output.out.contains("cve: applied to all tasks"));
    assert!(!output.out.contains('\x1b'), "no terminal, no escapes");
    let output = klp_why(&[&before, &before, &after], &["--watch", "--json"]);
    assert_eq!(output.out.lines().count(), 2);
}

#[test]
fn writes_metrics() {
    let tree = waiting();
    let file = tree.path("klp.prom");
    let path = file.to_str().unwrap();
    assert_eq!(klp_why(&[&tree], &["--prometheus", path]).status, 1);
    let text = fs::read_to_string(&file).unwrap();
    for line in [
        "# TYPE klp_transition_seconds gauge",
        "klp_patch_in_transition{patch=\"cve\"} 1",
        "klp_transition_seconds{patch=\"cve\"} 192.000",
        "klp_blocked_tasks{patch=\"cve\",reason=\"on_function\"} 1",
        "klp_blocked_tasks{patch=\"cve\",reason=\"unreliable\"} 0",
        "klp_switched_tasks{patch=\"cve\"} 1",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} in {text}");
    }
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o644
    );
    // Who has the old file open goes on to read it whole.
    let mut old = fs::File::open(&file).unwrap();
    tree.patch("cve", true, false);
    klp_why(&[&tree], &["--prometheus", path]);
    let mut seen = String::new();
    old.read_to_string(&mut seen).unwrap();
    assert_eq!(seen, text);
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains("klp_patch_in_transition{patch=\"cve\"} 0"));
    assert!(!text.contains("klp_blocked_tasks"));
    // Nothing is left beside it.
    let names = fs::read_dir(tree.root()).unwrap();
    let names = names.filter(|e| {
        e.as_ref()
            .unwrap()
            .file_name()
            .to_str()
            .unwrap()
            .contains("klp")
    });
    assert_eq!(names.count(), 1);
}

#[test]
fn metrics_that_cannot_be_written_leave_the_file_alone() {
    let output = klp_why(&[&waiting()], &["--prometheus", "/nonexistent/klp.prom"]);
    assert_eq!(output.status, 2);
    assert_eq!(output.err.lines().count(), 1);
}

#[test]
fn metrics_take_the_place_of_nothing_but_a_file() {
    let tree = waiting();
    let (target, link) = (tree.path("target"), tree.path("link"));
    fs::write(&target, "kept").unwrap();
    std::os::unix::fs::symlink(&target, &link).unwrap();
    let output = klp_why(&[&tree], &["--prometheus", link.to_str().unwrap()]);
    assert_eq!((output.status, output.err.lines().count()), (2, 1));
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::read(&target).unwrap(), b"kept");
}

#[test]
fn keeps_a_history() {
    let (before, after) = (waiting(), waiting());
    after.patch("cve", true, false);
    let file = before.path("history");
    let path = file.to_str().unwrap();
    klp_why(&[&before, &before, &after], &["--watch", "--history", path]);
    klp_why(&[&before], &["--history", path]);
    let text = fs::read_to_string(&file).unwrap();
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 2);
    for (line, ended) in lines.iter().zip([true, false]) {
        assert_eq!(line["schema"], "klp-why-history/1");
        assert_eq!(
            (&line["tid"], &line["function"]),
            (&9.into(), &"nfsd".into())
        );
        assert_eq!(line["ended"], ended);
        assert_eq!(line["seconds"], 192.0);
    }
}

#[test]
fn nudges_by_livepatch_alone() {
    let tree = waiting();
    let output = klp_why(&[&tree], &["--nudge"]);
    assert_eq!(output.status, 2);
    assert!(output.err.contains("nothing was sent"));
    assert!(!tree.path("sys/kernel/livepatch/cve/signal").exists());
    tree.write("sys/kernel/livepatch/cve/signal", "0\n");
    assert_eq!(klp_why(&[&tree], &["--nudge"]).status, 1);
    assert_eq!(
        fs::read(tree.path("sys/kernel/livepatch/cve/signal")).unwrap(),
        b"1\n"
    );
    tree.patch("cve", true, false);
    assert_eq!(klp_why(&[&tree], &["--nudge"]).status, 0);
}

#[test]
fn help_manual_and_completions() {
    let tree = Tree::new();
    let help = klp_why(&[&tree], &["--help"]);
    assert_eq!(help.status, 0);
    for word in [
        "Exit status",
        "--preflight",
        "klp-why/1",
        "Examples",
        "dynamic_debug",
    ] {
        assert!(help.out.contains(word), "{word}");
    }
    assert!(!help.out.contains("--root"));
    let man = klp_why(&[&tree], &["--man"]);
    assert!(
        man.status == 0 && man.out.contains(".TH klp-why 8"),
        "{}",
        man.out
    );
    for shell in ["bash", "zsh", "fish"] {
        let output = klp_why(&[&tree], &["--completions", shell]);
        assert!(
            output.status == 0 && output.out.contains("--preflight"),
            "{shell}"
        );
    }
    for wrong in [
        &["--wait", "-1"][..],
        &["--wait", "x"],
        &["--watch", "--nudge"],
        &["x"],
    ] {
        assert_eq!(klp_why(&[&tree], wrong).status, 2, "{wrong:?}");
    }
}
