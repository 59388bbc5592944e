// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The walk over any stack of any task.
//!
//! It ends after a few steps for each 16 bytes of stack, reads only aligned words
//! on the stacks that it was given (the machine checks that), gives no address that
//! it was not given, and says "reliable" only at the final record and only if the
//! machine has refused nothing. An input is walked over several times: as it is,
//! and with each time another word changed of those that the first walk has read.

use crate::bytes::Bytes;
use crate::tally;
use crate::task::{strip_pac, Functions, Task, Text};

use orc::machine::Machine;
use orc::reason::Verdict;

/// Walks for an input, if the first one reads anything.
const WALKS: u64 = 256;

/// Walks over the task that the input describes.
pub fn run(input: &[u8]) {
    let mut bytes = Bytes(input);
    let functions = Functions::read(&mut bytes);
    check_all(Task::read(functions, &mut bytes));
}

/// Walks over a task, and over its like.
pub(crate) fn check_all<T: Text>(mut task: Task<T>) {
    let mut entries = Vec::with_capacity(32);
    check(&mut task, &mut entries);
    let reads = task.noted.reads.clone();
    // Numbers without a pattern, the same ones in every run of this input.
    let mut state = reads
        .iter()
        .fold(entries.len() as u64, |sum, at| sum.rotate_left(7) ^ at);
    for _ in (1..WALKS).filter(|_| !reads.is_empty()) {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        let random = state >> 32;
        let at = |random: u64| reads[random as usize % reads.len()];
        let (changed, other) = (at(random >> 8), at(random >> 20));
        let word = task.word(changed).unwrap_or(0);
        let value = match random & 7 {
            0 => 0,
            1 => word ^ 1 << (state >> 3 & 0x3f),
            2 => word.wrapping_add(8),
            3 => word.wrapping_sub(16),
            4 => other,
            5 => word.wrapping_add(state >> 3 & 0xff),
            _ => task.word(other).unwrap_or(0),
        };
        task.change(changed, value);
        check(&mut task, &mut entries);
        task.change(changed, word);
    }
}

/// Walks over a task, and checks what the walk did.
fn check<T: Text>(task: &mut Task<T>, entries: &mut Vec<u64>) {
    task.begin();
    entries.clear();
    let start = task.start;
    // A call, a patched entry and an exception may share the 16 bytes of a frame.
    let limit = task.stack_bytes() / 16 * 3 + 8;
    let verdict = orc::walk::walk(task, start, |pc| {
        entries.push(pc);
        assert!(entries.len() as u64 <= limit, "does not end");
        true
    });
    assert!(
        task.noted.reads.len() as u64 <= limit * 10,
        "reads without end"
    );
    let given = &task.noted.given;
    let is_given = |pc: &u64| {
        given
            .iter()
            .any(|word| *word == *pc || strip_pac(*word) == *pc)
    };
    if let Some(pc) = entries.iter().find(|pc| !is_given(pc)) {
        panic!("an entry out of nothing: {pc:#x}");
    }
    match verdict {
        Verdict::Reliable { frames } => {
            assert_eq!(entries.len(), frames as usize, "frames and entries");
            reliable(task, entries);
            tally::count(1, 1);
        }
        Verdict::Unreliable { frame, .. } => {
            assert!(entries.len().abs_diff(frame as usize) <= 1, "frame number");
            tally::count(1, 0);
        }
    }
}

/// Reliable is earned at the end of the stack and nowhere else.
fn reliable<T: Text>(task: &Task<T>, entries: &[u64]) {
    assert!(!task.noted.refused, "what the machine refused is lost");
    let is_entry = |pc: &u64| task.is_entry(*pc) || task.is_entry(*pc - 4);
    assert!(
        entries.last().is_some_and(is_entry),
        "ends outside of entry code"
    );
    let record = task.task_regs() + Task::<T>::REGS.stackframe;
    let record = [record, record + 8, record + 16];
    assert_eq!(record.map(|at| task.word(at)), [Some(0), Some(0), Some(1)]);
    assert!(
        task.noted.reads.ends_with(&record),
        "the end is not the last thing read"
    );
}
