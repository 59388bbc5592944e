// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Where the kernel's files are. Tests put a tree of their own there.

use std::fs::{self, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::OFlags;
use rustix::time::{clock_gettime, ClockId};

/// The directory below which `proc`, `sys` and `dev` are.
#[derive(Clone, Debug)]
pub struct Roots {
    root: PathBuf,
}

impl Default for Roots {
    fn default() -> Self {
        Self::at("/")
    }
}

impl Roots {
    /// The files below `root`.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// `/proc`.
    pub fn proc(&self) -> PathBuf {
        self.root.join("proc")
    }

    /// `/sys/kernel/livepatch`.
    pub fn livepatch(&self) -> PathBuf {
        self.root.join("sys/kernel/livepatch")
    }

    /// The file by which kernels from 4.15 to 5.0 are asked to signal.
    pub fn signal(&self, patch: &str) -> PathBuf {
        self.livepatch().join(patch).join("signal")
    }

    /// Whether a module is loaded, or built in with a directory in sysfs.
    pub fn has_module(&self, name: &str) -> bool {
        self.root.join("sys/module").join(name).is_dir()
    }

    /// What the kernel has logged. A read of `/dev/kmsg` gives one record, and waits
    /// after the last one unless told not to.
    ///
    /// # Errors
    ///
    /// Those of opening it: `EPERM` with `dmesg_restrict`.
    pub fn log(&self) -> io::Result<Vec<u8>> {
        let mut log = Vec::new();
        let mut record = [0; 8192];
        let mut file = OpenOptions::new()
            .read(true)
            .custom_flags(OFlags::NONBLOCK.bits() as i32)
            .open(self.root.join("dev/kmsg"))?;
        loop {
            match file.read(&mut record) {
                Ok(0) => return Ok(log),
                Ok(bytes) => log.extend_from_slice(&record[..bytes]),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(log),
                // Records were overwritten meanwhile: go on with the oldest there is.
                Err(e) if e.kind() == io::ErrorKind::BrokenPipe => {}
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// Seconds since boot, with time in suspend: what a task's start is counted in.
    pub fn since_boot(&self) -> Option<Duration> {
        let uptime = read(&self.proc().join("uptime")).ok()?;
        let text = std::str::from_utf8(&uptime).ok()?;
        let seconds: f64 = text.split_whitespace().next()?.parse().ok()?;
        Duration::try_from_secs_f64(seconds).ok()
    }

    /// The clock of the log: without time in suspend. A tree of a test has `uptime` alone.
    pub fn log_clock(&self) -> Option<Duration> {
        if self.root != Path::new("/") {
            return self.since_boot();
        }
        let now = clock_gettime(ClockId::Monotonic);
        Some(Duration::new(
            now.tv_sec.try_into().ok()?,
            now.tv_nsec.try_into().ok()?,
        ))
    }

    /// The CPUs without a tick, as the kernel lists them (`1-3,7`).
    pub fn is_nohz_full(&self, cpu: u32) -> bool {
        let path = self.root.join("sys/devices/system/cpu/nohz_full");
        let list = fs::read_to_string(path).unwrap_or_default();
        list.trim().split(',').any(|range| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            match (first.parse(), last.parse()) {
                (Ok(first), Ok(last)) => (first..=last).contains(&cpu),
                _ => false,
            }
        })
    }
}

/// Reads a file of the kernel's whole. Their size is not known before.
///
/// # Errors
///
/// Those of opening and reading.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A task or a patch can go away at any time: that is no error.
pub fn is_gone(error: &io::Error) -> bool {
    const ESRCH: i32 = rustix::io::Errno::SRCH.raw_os_error();
    const ENODEV: i32 = rustix::io::Errno::NODEV.raw_os_error();
    error.kind() == io::ErrorKind::NotFound || matches!(error.raw_os_error(), Some(ESRCH | ENODEV))
}

/// The names in a directory that are directories themselves, sorted.
///
/// # Errors
///
/// Those of opening and reading it.
pub fn directories(path: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            // A name that is no text can't be a patch, a module or a function.
            names.extend(entry.file_name().into_string());
        }
    }
    names.sort();
    Ok(names)
}
