// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What holds a task up, and what is said about its end.

use serde_json::Value;

use crate::tree::{klp_why, Output, Task, Tree, SLEEPS};

const BUSYMOD: &str = "\
[<0>] __switch_to+0xe8/0x150
[<0>] msleep+0x38/0x58
[<0>] busymod_work_func+0x48/0x90 [busymod]
[<0>] process_one_work+0x170/0x3e0
[<0>] worker_thread+0x2c8/0x3e8
[<0>] kthread+0x114/0x120
[<0>] ret_from_fork+0x10/0x20
";

/// A transition to `patched` for 192 s that one task holds up, the same at both looks.
fn still(task: Task) -> Output {
    between(&task.clone(), &task)
}

fn between(first: &Task, second: &Task) -> Output {
    let trees = [first, second].map(|task| {
        let tree = Tree::new();
        tree.transition(true, 192.0);
        tree.task(task);
        tree
    });
    klp_why(&[&trees[0], &trees[1]], &["--json"])
}

fn text<'a>(task: &'a Value, field: &str) -> &'a str {
    task[field].as_str().unwrap()
}

#[test]
fn asleep_in_it() {
    let task = Task::kernel_thread(9, "kworker/0:0")
        .state('I')
        .stack(BUSYMOD);
    let output = still(task);
    let task = output.blocked();
    assert_eq!(output.status, 1);
    assert_eq!(text(&task, "reason"), "on_function");
    assert_eq!(text(&task, "function"), "busymod_work_func");
    assert_eq!(text(&task, "module"), "busymod");
    assert_eq!(
        (&task["offset"], &task["certain"]),
        (&0x48.into(), &true.into())
    );
    assert_eq!(
        text(&task, "why"),
        "sleeps in busymod_work_func+0x48 [busymod] (replaced)"
    );
    assert_eq!(
        text(&task, "when"),
        "when it returns from it; in msleep, wakes by itself"
    );
    assert_eq!(text(&task, "ends"), "when");
    assert_eq!(task["seconds"], 192.0);
}

#[test]
fn x86_stack_without_a_verdict() {
    let stack = "[<0>] nfsd+0x10/0x90\n[<0>] do_syscall_64+0x5c/0x90\n";
    let task = still(Task::new(9, "x").state('D').stack(stack)).blocked();
    assert_eq!(text(&task, "why"), "sleeps in nfsd+0x10 (replaced)");
    assert_eq!(
        text(&task, "when"),
        "when it returns from it; in nfsd, which no signal ends"
    );
}

#[test]
fn unreliable() {
    let stack = format!(
        "{SLEEPS}unreliable: unproved call frame information at perf_trace_sys_exit+0x100/0x1a0\n"
    );
    let output = still(Task::kernel_thread(4711, "nfsd").stack(&stack));
    let task = output.blocked();
    assert_eq!((output.status, text(&task, "reason")), (1, "unreliable"));
    assert_eq!(
        text(&task, "why"),
        "unreliable: unproved call frame information at perf_trace_sys_exit+0x100"
    );
    assert!(text(&task, "when").starts_with("when it leaves this place"));
}

#[test]
fn never_off_its_cpu() {
    let mut first = Task::kernel_thread(88, "crunch/1").state('R');
    (first.cpu, first.run_ns) = (1, 190_000_000_000);
    let output = between(&first, &first.clone().ran());
    let task = output.blocked();
    assert_eq!(
        (output.status, text(&task, "reason")),
        (3, "runs_in_kernel")
    );
    assert_eq!(task["cpu"], 1);
    assert_eq!(text(&task, "when"), "not while it has CPU 1 to itself");
}

#[test]
fn a_task_that_was_off_its_cpu_is_not_said_to_stay() {
    let first = Task::kernel_thread(88, "crunch/1").state('R');
    let mut second = first.clone().ran();
    second.switches += 1;
    let output = between(&first, &second);
    assert_eq!(
        (output.status, text(&output.blocked(), "reason")),
        (1, "moves")
    );
}

#[test]
fn a_short_run_after_a_long_sleep_is_not_said_to_stay() {
    // It has been pending for minutes, and on a CPU for no more than this second.
    let first = Task::kernel_thread(88, "kworker/1:2").state('R');
    let output = between(&first, &first.clone().ran());
    assert_eq!(
        (output.status, text(&output.blocked(), "ends")),
        (1, "when")
    );
}

#[test]
fn a_young_transition_is_not_said_to_wait_for_a_running_task() {
    let task = Task::kernel_thread(88, "crunch/1").state('R');
    let trees = [task.clone(), task.ran()].map(|task| {
        let tree = Tree::new();
        tree.transition(true, 2.0);
        tree.task(&task);
        tree
    });
    let output = klp_why(&[&trees[0], &trees[1]], &["--json"]);
    assert_eq!(
        (output.status, text(&output.blocked(), "ends")),
        (1, "when")
    );
}

#[test]
fn a_cpu_without_a_tick_does_not_count_time() {
    // The same figures as a task that waits for a CPU, but there they say nothing.
    let task = Task::kernel_thread(88, "crunch/1").state('R');
    let output = still(task.clone());
    assert!(text(&output.blocked(), "why").starts_with("waits for a CPU"));
    let tree = Tree::new();
    tree.transition(true, 192.0);
    tree.write("sys/devices/system/cpu/nohz_full", "0,2-3\n");
    tree.task(&task);
    let output = klp_why(&[&tree], &["--json"]);
    assert_eq!(text(&output.blocked(), "reason"), "moves");
}

#[test]
fn in_user_space() {
    let first = Task::new(88, "crunch").state('R');
    let mut second = first.clone();
    second.user_ticks += 100;
    second.run_ns += 1_000_000_000;
    let task = between(&first, &second).blocked();
    assert_eq!(
        (text(&task, "reason"), text(&task, "ends")),
        ("runs_in_user", "by_itself")
    );
}

#[test]
fn a_kernel_thread_that_never_returns() {
    let stack = "\
[<0>] schedule_timeout+0x90/0x100
[<0>] kthread_main+0x20/0x40
[<0>] kthread+0x114/0x120
[<0>] ret_from_fork+0x10/0x20
";
    let output = still(Task::kernel_thread(60, "main").stack(stack));
    let task = output.blocked();
    assert_eq!((output.status, text(&task, "ends")), (3, "not_while"));
    assert_eq!(
        text(&task, "when"),
        "not before this kernel thread ends: it is its main function"
    );
}

#[test]
fn a_module_that_is_not_loaded() {
    let tree = Tree::new();
    tree.patch("cve", true, false);
    tree.function("cve", "vmlinux", true, "nfsd,1");
    tree.function("cve", "ext4", false, "ext4_file_open,1");
    let output = klp_why(&[&tree], &[]);
    assert_eq!(output.status, 0);
    let expected = "cve: applied to all tasks; replaces 1 function in vmlinux, and 1 function \
                    in ext4 once loaded\n";
    assert_eq!(output.out, expected);
}

#[test]
fn a_signal_that_did_not_do_it() {
    let tree = Tree::new();
    tree.transition(true, 192.0);
    tree.log(177.0, "livepatch: signaling remaining tasks");
    tree.task(&Task::new(9, "nfsd").stack("[<0>] nfsd+0x10/0x90\n"));
    let output = klp_why(&[&tree], &["--json"]);
    let task = output.blocked();
    assert_eq!(
        text(&task, "when"),
        "when it returns from it; livepatch's signal 2m57s ago did not do it"
    );
    assert_eq!(output.json()["transition"]["signalled_seconds"], 177.0);
}

#[test]
fn stopped() {
    let output = still(Task::new(9, "x").state('T').stack("[<0>] nfsd+0x10/0x90\n"));
    assert_eq!(output.status, 3);
    assert!(text(&output.blocked(), "when").starts_with("not while it is stopped"));
}

#[test]
fn stopped_where_one_of_its_name_is_replaced() {
    let tree = Tree::new();
    tree.transition(true, 10.0);
    tree.append("proc/kallsyms", "ffff800080050000 t nfsd\n");
    tree.task(&Task::new(9, "x").state('T').stack("[<0>] nfsd+0x10/0x90\n"));
    let output = klp_why(&[&tree], &["--json"]);
    let task = output.blocked();
    assert_eq!((output.status, text(&task, "ends")), (1, "unknown"));
    assert_eq!(text(&task, "when"), "if so, not while it is stopped");
}

#[test]
fn reliable_and_out_of_it() {
    let output = still(Task::new(9, "x").stack(&format!("{SLEEPS}reliable\n")));
    let task = output.blocked();
    assert_eq!((output.status, text(&task, "reason")), (1, "next_look"));
    assert_eq!(text(&task, "function"), "do_sys_poll");
}

#[test]
fn a_kernel_that_does_not_say() {
    let output = still(Task::new(9, "x"));
    let task = output.blocked();
    assert_eq!(
        (text(&task, "reason"), text(&task, "ends")),
        ("not_said", "unknown")
    );
    let stack = format!("[<0>] bpf_trampoline_6442458112+0x6d/0x1000\n{SLEEPS}");
    let task = still(Task::new(9, "x").stack(&stack)).blocked();
    assert!(text(&task, "why").contains("BPF is on it: bpf_trampoline_6442458112+0x6d"));
}

#[test]
fn a_stack_longer_than_is_shown() {
    let stack = "[<0>] deep+0x1/0x2\n".repeat(64) + "reliable\n";
    let task = still(Task::new(9, "x").stack(&stack)).blocked();
    assert_eq!(text(&task, "reason"), "not_said");
    assert!(text(&task, "why").ends_with("its stack is longer than is shown"));
}

#[test]
fn what_livepatch_says_of_it() {
    for (said, ago, reason) in [
        ("x:9 has an unreliable stack", 0.5, "unreliable"),
        ("x:9 is sleeping on function nfsd", 0.5, "on_function"),
        ("x:9 has an unreliable stack", 20.0, "not_said"),
        ("x:10 has an unreliable stack", 0.5, "not_said"),
    ] {
        let tree = Tree::new();
        tree.transition(true, 192.0);
        tree.log(ago, &format!("livepatch: klp_try_switch_task: {said}"));
        tree.task(&Task::new(9, "x"));
        let task = klp_why(&[&tree], &["--json"]).blocked();
        assert_eq!(text(&task, "reason"), reason, "{said}");
    }
}

#[test]
fn on_the_way_back_the_patch_is_left() {
    let tree = Tree::new();
    tree.transition(false, 10.0);
    let task = |tid, stack| Task::new(tid, "x").patched().stack(stack);
    tree.task(&Task::kernel_thread(2, "kthreadd").stack(SLEEPS));
    tree.task(&task(9, "[<0>] nfsd+0x10/0x90 [cve]\nreliable\n"));
    tree.task(&task(
        10,
        "[<0>] livepatch_nfsd+0x10/0x90 [cve]\nreliable\n",
    ));
    tree.task(&task(11, "[<0>] nfsd+0x10/0x90\nreliable\n"));
    let json = klp_why(&[&tree], &["--json"]).json();
    assert_eq!(json["transition"]["target"], "unpatched");
    let blocked = json["transition"]["blocked"].as_array().unwrap();
    let reasons: Vec<_> = blocked
        .iter()
        .map(|t| (&t["tid"], text(t, "reason")))
        .collect();
    assert_eq!(
        reasons,
        [
            (&9.into(), "on_function"),
            (&10.into(), "on_function"),
            (&11.into(), "next_look")
        ]
    );
    assert_eq!(blocked[0]["certain"], true);
    assert_eq!(blocked[1]["certain"], false);
}

#[test]
fn reversed_between_the_looks() {
    let (there, back) = (Tree::new(), Tree::new());
    there.transition(true, 10.0);
    there.task(&Task::new(9, "x"));
    back.transition(false, 1.0);
    back.task(&Task::kernel_thread(2, "kthreadd"));
    back.task(&Task::new(9, "x").patched());
    let output = klp_why(&[&there, &back], &["--json"]);
    assert_eq!(output.json()["transition"]["target"], "unpatched");
    assert_eq!(output.blocked()["tid"], 9);
    let output = klp_why(&[&there, &back, &there, &back, &there, &back], &[]);
    assert_eq!(output.status, 2);
    assert!(output.err.contains("reversed faster"), "{}", output.err);
}

#[test]
fn done_between_the_looks() {
    let (before, after) = (Tree::new(), Tree::new());
    before.transition(true, 10.0);
    before.task(&Task::new(9, "x"));
    after.transition(true, 10.0);
    after.patch("cve", true, false);
    let output = klp_why(&[&before, &after], &["--json"]);
    assert_eq!(
        (output.status, &output.json()["transition"]),
        (0, &Value::Null)
    );
}

#[test]
fn gone_or_switched_between_the_looks() {
    let (before, after) = (Tree::new(), Tree::new());
    for tree in [&before, &after] {
        tree.transition(true, 10.0);
    }
    before.task(&Task::new(9, "goes"));
    before.task(&Task::new(10, "switches"));
    before.task(&Task::new(11, "half gone"));
    after.task(&Task::new(10, "switches").patched());
    after.write("proc/11/task/11/status", "Name:\tx\n");
    let output = klp_why(&[&before, &after], &["--json"]);
    assert_eq!(
        output.json()["transition"]["blocked"],
        Value::Array(Vec::new())
    );
    assert_eq!((output.status, output.err.as_str()), (1, ""));
}

#[test]
fn a_state_that_is_not_read_again_is_not_one_that_has_switched() {
    let trees = ["0\n", ""].map(|state| {
        let tree = Tree::new();
        tree.transition(true, 10.0);
        tree.task(&Task::new(9, "x"));
        tree.write("proc/9/task/9/patch_state", state);
        tree
    });
    let output = klp_why(&[&trees[0], &trees[1]], &["--json"]);
    assert_eq!(output.status, 2, "{}", output.out);
    assert_eq!(output.json()["transition"]["switched"], 1);
}

#[test]
fn a_process_that_goes_as_it_is_listed() {
    let tree = Tree::new();
    tree.transition(true, 10.0);
    std::fs::create_dir_all(tree.path("proc/77")).unwrap();
    std::fs::create_dir_all(tree.path("proc/self/task/9")).unwrap();
    let output = klp_why(&[&tree], &["--json"]);
    assert_eq!(
        (output.status, &output.json()["transition"]["tasks"]),
        (1, &1.into())
    );
}

#[test]
fn idle_tasks_are_not_in_proc() {
    let tree = Tree::new();
    tree.transition(true, 10.0);
    let output = klp_why(&[&tree], &[]);
    assert_eq!(output.status, 1);
    assert!(
        output.out.contains("left: idle tasks of CPUs"),
        "{}",
        output.out
    );
}

#[test]
fn a_young_task_is_pending_since_its_birth() {
    let mut task = Task::new(9, "x");
    task.start_ticks = 95_500;
    assert_eq!(still(task).blocked()["seconds"], 45.0);
}

#[test]
fn several_patches() {
    let tree = Tree::new();
    tree.patch("old", true, false);
    tree.function("old", "vmlinux", true, "nfsd,1");
    tree.transition(true, 10.0);
    // The function that is run now is the older patch's.
    tree.task(&Task::new(9, "x").stack("[<0>] nfsd+0x10/0x90 [old]\nreliable\n"));
    tree.task(&Task::new(10, "x").stack("[<0>] nfsd+0x10/0x90\nreliable\n"));
    let json = klp_why(&[&tree], &["--json"]).json();
    let blocked = json["transition"]["blocked"].as_array().unwrap();
    assert_eq!(
        (text(&blocked[0], "reason"), &blocked[0]["module"]),
        ("on_function", &"old".into())
    );
    assert_eq!(text(&blocked[1], "reason"), "next_look");
    let out = klp_why(&[&tree], &[]).out;
    assert!(out.contains("old: applied to all tasks; replaces 1 function in vmlinux\n"));
}

#[test]
fn a_task_in_no_transition_is_not_waited_for() {
    let mut task = Task::new(9, "x");
    task.patch_state = "-1";
    let output = still(task);
    assert_eq!(
        output.json()["transition"]["blocked"],
        Value::Array(Vec::new())
    );
}

#[test]
fn what_is_not_sure_ends_nothing() {
    let stack = "[<0>] main_of_patch+0x1/0x2 [cve]\n[<0>] kthread+0x1/0x2\n";
    let blocked = |verdict: &str| {
        let tree = Tree::new();
        tree.transition(false, 10.0);
        tree.task(&Task::kernel_thread(2, "kthreadd"));
        let task = Task::kernel_thread(9, "x").stack(&format!("{stack}{verdict}"));
        tree.task(&task.patched());
        klp_why(&[&tree], &["--json"])
    };
    let output = blocked("reliable\n");
    let task = output.blocked();
    assert_eq!((output.status, text(&task, "ends")), (1, "unknown"));
    assert_eq!(
        text(&task, "when"),
        "if so, not before this kernel thread ends"
    );
    let output = blocked("unreliable: no row at f+0x1/0x2\n");
    assert_eq!(text(&output.blocked(), "reason"), "unreliable");
}
