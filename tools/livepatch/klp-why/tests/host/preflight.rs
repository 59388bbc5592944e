// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What a patch would wait for, before it is loaded.

use crate::tree::{klp_why, Task, Tree};

const PATCH: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/fixtures/source-x86_64.o"
);

fn tree(stacks: &[(u32, &str)]) -> Tree {
    let tree = Tree::without_livepatch();
    tree.task(&Task::kernel_thread(2, "kthreadd"));
    for (tid, stack) in stacks {
        tree.task(&Task::new(*tid, "x").stack(stack));
    }
    tree
}

#[test]
fn nothing_in_the_way() {
    let output = klp_why(&[&tree(&[])], &["--samples", "2", "--preflight", PATCH]);
    assert_eq!(output.status, 0, "{}", output.err);
    assert!(
        output
            .out
            .contains("  replaces cmdline_proc_show in vmlinux\n"),
        "{}",
        output.out
    );
    assert!(output
        .out
        .contains("  replaces ext4_file_open in ext4: not there now, so on no stack\n"));
    assert!(output
        .out
        .contains("no look found anything that it would have to wait for\n"));
}

#[test]
fn some_of_the_time_or_all_of_it() {
    let busy = (9, "[<0>] cmdline_proc_show+0x1/0x2\n");
    let (with, without) = (tree(&[busy, (10, busy.1)]), tree(&[busy]));
    let arguments = ["--json", "--samples", "3", "--preflight", PATCH];
    let output = klp_why(&[&with, &without, &with], &arguments);
    let json = output.json();
    assert_eq!(
        (output.status, &json["looks"], &json["tasks"]),
        (1, &3.into(), &3.into())
    );
    let blocking = json["blocking"].as_array().unwrap();
    let looks: Vec<_> = blocking.iter().map(|t| (&t["tid"], &t["looks"])).collect();
    assert_eq!(looks, [(&9.into(), &3.into()), (&10.into(), &2.into())]);
    assert!(blocking[0]["longest_seconds"].as_f64().unwrap() >= 0.12);
    assert_eq!(blocking[1]["longest_seconds"], 0.0);
    assert_eq!(blocking[0]["certain"], true);
}

#[test]
fn a_main_function() {
    let stack = "[<0>] cmdline_proc_show+0x1/0x2\n[<0>] kthread+0x1/0x2\n";
    let output = klp_why(
        &[&tree(&[(9, stack)])],
        &["--samples", "2", "--preflight", PATCH],
    );
    assert_eq!(output.status, 3);
    assert!(
        output.out.contains("not before this kernel thread ends"),
        "{}",
        output.out
    );
}

#[test]
fn an_unreliable_stack() {
    let stack = "[<0>] f+0x1/0x2\nunreliable: no row at f+0x1/0x2\n";
    let running = "[<0>] f+0x1/0x2\nunreliable: task running on another cpu at 0x0\n";
    let tree = tree(&[(9, stack), (10, running)]);
    let output = klp_why(
        &[&tree],
        &["--json", "--samples", "2", "--preflight", PATCH],
    );
    let json = output.json();
    assert_eq!(json["blocking"].as_array().unwrap().len(), 1);
    assert_eq!(json["blocking"][0]["what"], "(unreliable stack)");
    assert_eq!(output.status, 1);
}

#[test]
fn no_patch() {
    let tree = tree(&[]);
    for file in ["/nonexistent.ko", "/etc/passwd"] {
        let output = klp_why(&[&tree], &["--preflight", file]);
        assert_eq!((output.status, output.err.lines().count()), (2, 1));
        assert!(
            output.err.starts_with(&format!("klp-why: {file}: ")),
            "{}",
            output.err
        );
    }
}
