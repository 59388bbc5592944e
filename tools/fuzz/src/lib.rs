// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Fuzz targets: one module an entry point, each with one `run(input)`.
//!
//! `make fuzz` drives them with libFuzzer, and `cargo test` plays the committed
//! inputs of `corpus/`. A target panics when something is wrong: whatever the
//! input, the code under test must not panic, and must keep what each module says.

#![forbid(unsafe_code)]

#[allow(dead_code, missing_docs)]
#[path = "../../orc/tests/host/assemble.rs"]
pub mod assemble;
pub mod baseline;
mod bytes;
pub mod cfi;
pub mod elf;
pub mod explain;
pub mod rule;
pub mod table;
pub mod table_walk;
mod tally;
mod task;
pub mod walk;

use rustix::time::{clock_gettime, ClockId};

/// Makes the caller do what `rayon` would hand to other threads: small proofs are
/// then as fast as they are, and the same in every run.
pub fn on_one_thread() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1);
    let _ = pool.use_current_thread().build_global();
}

/// Does something that takes less than a second of this thread's time.
fn within_a_second(what: impl FnOnce()) {
    let seconds = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
    };
    let start = seconds();
    what();
    let took = seconds() - start;
    assert!(took < 1.0, "takes {took:.1} s");
}
