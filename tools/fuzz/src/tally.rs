// SPDX-License-Identifier: GPL-2.0 OR MIT

//! How often the code under test was run, which is more often than there were
//! inputs. The engine's thread prints it when the process ends.

use std::cell::RefCell;

#[derive(Default)]
struct Tally {
    executions: u64,
    reliable: u64,
}

thread_local! {
    static TALLY: RefCell<Tally> = RefCell::default();
}

/// Counts executions, of which some were walks to a reliable end.
pub(crate) fn count(executions: u64, reliable: u64) {
    TALLY.with_borrow_mut(|tally| {
        tally.executions += executions;
        tally.reliable += reliable;
    });
}

impl Drop for Tally {
    fn drop(&mut self) {
        eprintln!("tally::executions: {}", self.executions);
        if self.reliable != 0 {
            eprintln!("tally::reliable: {}", self.reliable);
        }
    }
}
