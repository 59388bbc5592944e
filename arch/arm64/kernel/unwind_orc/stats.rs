// SPDX-License-Identifier: GPL-2.0

//! Counters of the walks since the module was loaded, by outcome.

use kernel::{
    fmt,
    unwind_orc::Counter, //
};
use orc::reason::Reason;

/// A counter for each reason's code, which is never 0; the one of code 0 counts the reliable walks.
static WALKS: [Counter; SLOTS] = [const { Counter::new() }; SLOTS];

/// The frames of the reliable walks.
static FRAMES: Counter = Counter::new();

const SLOTS: usize = 1 + Reason::ALL.len();

// The codes are consecutive, so that each has its counter.
const _: () = {
    let mut slot = 1;
    while slot < SLOTS {
        assert!(Reason::ALL[slot - 1].code() as usize == slot);
        slot += 1;
    }
};

fn counter(reason: Option<Reason>) -> Option<&'static Counter> {
    WALKS.get(reason.map_or(0, |reason| reason.code().into()))
}

/// Counts a walk: a reliable one of so many frames, or one that was refused for this reason.
pub(crate) fn count(outcome: Result<u32, Reason>) {
    if let Some(counter) = counter(outcome.err()) {
        counter.add(1);
    }
    if let Ok(frames) = outcome {
        FRAMES.add(frames.into());
    }
}

fn walks(reason: Option<Reason>) -> u64 {
    counter(reason).map_or(0, Counter::get)
}

/// Writes the counters, one a line: the reliable walks and their frames, then each reason.
pub(crate) fn write(f: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(f, "reliable: {}", walks(None))?;
    writeln!(f, "frames: {}", FRAMES.get())?;
    Reason::ALL
        .iter()
        .try_for_each(|&reason| writeln!(f, "{}: {}", reason.name(), walks(Some(reason))))
}
