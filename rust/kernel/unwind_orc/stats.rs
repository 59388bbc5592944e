// SPDX-License-Identifier: GPL-2.0

//! The counters of a walker, and its debugfs file, `/sys/kernel/debug/unwind_orc/stats`.
//!
//! A walker is a module that can be unloaded, and [`debugfs`](crate::debugfs) gives its files no
//! owner: a file operations table in a module would be gone when a file that is still open is
//! closed at last. The table for this file is therefore made here, in the `kernel` crate, which
//! is always built in, and all it calls in the module is a function, while the file exists.

use crate::{
    bindings,
    debugfs::{
        Dir,
        File,
        Writer, //
    },
    fmt,
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
};

/// A number that walks count up.
pub struct Counter(Atomic<i64>);

impl Counter {
    /// A counter at 0.
    pub const fn new() -> Self {
        Self(Atomic::new(0))
    }

    /// Counts up. May be called in a walk.
    #[inline(always)]
    pub fn add(&self, n: u64) {
        let counter: *mut i64 = self.0.as_ptr();

        // SAFETY: `counter` points to a number that is only accessed atomically, which is what an
        // `atomic64_t` is.
        unsafe { bindings::unwind_orc_count(counter.cast(), n) };
    }

    /// The number.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed) as u64
    }
}

impl Default for Counter {
    fn default() -> Self {
        Self::new()
    }
}

/// Writes the lines of the file.
pub type WriteLines = fn(&mut fmt::Formatter<'_>) -> fmt::Result;

struct Lines(WriteLines);

impl Writer for Lines {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (self.0)(f)
    }
}

/// The file, which is there for as long as this is.
///
/// Dropping it waits for the readers that are running, so that `write_lines` is not called
/// afterwards.
pub struct StatsFile {
    // Before the directory, which goes when it has no more children.
    _file: Pin<KBox<File<Lines>>>,
    _dir: Dir,
}

impl StatsFile {
    /// Creates the file; reading it calls `write_lines`.
    ///
    /// Like all of debugfs, it is a convenience: that it could not be created is not reported.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] when there is no memory for its bookkeeping.
    //
    // Never inlined: the file operations table has to be part of this crate.
    #[inline(never)]
    pub fn new(write_lines: WriteLines) -> Result<Self> {
        let dir = Dir::new(c"unwind_orc");
        let file = KBox::pin_init(dir.read_only_file(c"stats", Lines(write_lines)), GFP_KERNEL)?;

        Ok(Self {
            _file: file,
            _dir: dir,
        })
    }
}
