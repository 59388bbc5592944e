// SPDX-License-Identifier: GPL-2.0 OR MIT

//! 10,000 tasks in under a second.

use std::time::{Duration, Instant};

use crate::tree::{klp_why, Task, Tree};

fn best_of_five(tree: &Tree, status: i32, tasks: u64) -> Duration {
    let runs = (0..5).map(|_| {
        let start = Instant::now();
        let output = klp_why(&[tree], &["--json"]);
        let took = start.elapsed();
        assert_eq!(output.status, status);
        assert_eq!(output.json()["transition"]["tasks"], tasks);
        took
    });
    runs.min().unwrap()
}

#[test]
fn ten_thousand_tasks() {
    let tree = Tree::in_memory();
    tree.transition(true, 10.0);
    let frames: String = (0..20)
        .map(|n| format!("[<0>] frame_{n}+0x1/0x2\n"))
        .collect();
    let task = |tid| Task::new(tid, "thread").stack(&format!("{frames}reliable\n"));
    for tid in 1000..11_000 {
        tree.task(&task(tid));
    }
    let all = best_of_five(&tree, 1, 10_001);
    for tid in (1000..11_000).filter(|tid| tid % 1000 != 0) {
        tree.write(&format!("proc/{tid}/task/{tid}/patch_state"), "1\n");
    }
    let few = best_of_five(&tree, 1, 10_001);
    println!("10,000 tasks: {few:?} with 10 of them waited for, {all:?} with all");
    // Only the release build has to be quick; a machine that does much else is not.
    let limit = Duration::from_secs(if cfg!(debug_assertions) { 10 } else { 1 });
    assert!(few < limit, "{few:?}");
    // Six more files of each task.
    assert!(all < 2 * limit, "{all:?}");
}
