// SPDX-License-Identifier: GPL-2.0 OR MIT

//! `/proc/*/task/*/stat` and `status`.

use crate::census::TaskId;
use crate::roots::{read, Roots};
use crate::text::Shown;

/// What is used of a task's `stat`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Its name; of a worker, with that of its queue.
    pub comm: Shown,
    /// What it does.
    pub state: State,
    flags: u32,
    /// Time in user space, in ticks of [`TICKS_PER_SECOND`].
    pub user_ticks: u64,
    /// Time in the kernel.
    pub kernel_ticks: u64,
    /// When it started, since boot.
    pub start_ticks: u64,
    /// The CPU it runs on, or ran on last.
    pub cpu: u32,
}

/// `USER_HZ`, which is the same on all architectures that have livepatch.
pub const TICKS_PER_SECOND: u64 = 100;

/// `PF_KTHREAD`.
const KERNEL_THREAD: u32 = 0x0020_0000;

/// What a task does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Runs, or waits for a CPU: `/proc` does not tell these apart.
    Runnable,
    /// Sleeps, and a signal ends that.
    Interruptible,
    /// Sleeps, and no signal ends that (`D`, and `I` of kernel threads).
    Uninterruptible,
    /// Stopped by a signal or a tracer.
    Stopped,
    /// Parked: a kernel thread of a CPU that is off.
    Parked,
    /// Has ended.
    Dead,
    /// A letter that this program does not know.
    Other(char),
}

impl From<char> for State {
    fn from(letter: char) -> Self {
        match letter {
            'R' => Self::Runnable,
            'S' => Self::Interruptible,
            'D' | 'I' => Self::Uninterruptible,
            'T' | 't' => Self::Stopped,
            'P' => Self::Parked,
            'Z' | 'X' | 'x' => Self::Dead,
            other => Self::Other(other),
        }
    }
}

impl Stat {
    /// Reads a task's; nothing when it has gone away.
    pub fn at(roots: &Roots, task: TaskId) -> Option<Self> {
        Self::parse(&read(&task.path(roots).join("stat")).ok()?)
    }

    /// Parses the line. The name can hold spaces, parentheses and newlines; what
    /// comes after it can't, so that the last parenthesis ends it.
    pub fn parse(line: &[u8]) -> Option<Self> {
        let open = line.iter().position(|&b| b == b'(')?;
        let close = line.iter().rposition(|&b| b == b')')?;
        let comm = line.get(open + 1..close)?;
        let rest = std::str::from_utf8(line.get(close + 1..)?).ok()?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        // `state` is the third field of proc_pid_stat(5).
        let field = |number: usize| fields.get(number - 3).copied();
        Some(Self {
            comm: Shown::bytes(comm),
            state: field(3)?.chars().next()?.into(),
            flags: field(9)?.parse().ok()?,
            user_ticks: field(14)?.parse().ok()?,
            kernel_ticks: field(15)?.parse().ok()?,
            start_ticks: field(22)?.parse().ok()?,
            cpu: field(39)?.parse().ok()?,
        })
    }

    /// Whether it never leaves the kernel.
    pub fn is_kernel_thread(&self) -> bool {
        self.flags & KERNEL_THREAD != 0
    }
}

/// How often the task has left a CPU, by `status`. The name is escaped there.
pub fn switches(status: &[u8]) -> Option<u64> {
    let text = String::from_utf8_lossy(status);
    let count = |name: &str| -> Option<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.strip_prefix(':')?.trim().parse().ok()
    };
    count("voluntary_ctxt_switches")?.checked_add(count("nonvoluntary_ctxt_switches")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(comm: &str) -> Vec<u8> {
        format!("42 ({comm}) S 2 0 0 0 -1 2129984 0 0 0 0 7 9 0 0 20 0 1 0 1234 0 0 18446744073709551615 0 0 0 0 0 0 0 2147483647 0 0 0 0 17 3 0 0 0 0 0 0 0 0 0 0 0 0 0\n").into_bytes()
    }

    #[test]
    fn parses_any_name() {
        for comm in ["nfsd", "a b", "a) R 1 (b", "((", "))", "new\nline) S 0", ""] {
            let stat = Stat::parse(&line(comm)).unwrap();
            assert_eq!(stat.comm, Shown::from(comm));
            assert_eq!(stat.state, State::Interruptible);
            assert!(stat.is_kernel_thread());
            assert_eq!((stat.user_ticks, stat.kernel_ticks), (7, 9));
            assert_eq!((stat.start_ticks, stat.cpu), (1234, 3));
        }
    }

    #[test]
    fn refuses_what_is_cut_off() {
        let whole = line("x");
        let cpu = whole.windows(4).position(|w| w == b"17 3").unwrap();
        for length in 0..cpu + 3 {
            assert_eq!(Stat::parse(&whole[..length]), None, "{length}");
        }
        assert_eq!(Stat::parse(b")("), None);
    }

    #[test]
    fn counts_switches() {
        let status = b"Name:\tx\nvoluntary_ctxt_switches:\t5\nnonvoluntary_ctxt_switches:\t7\n";
        assert_eq!(switches(status), Some(12));
        assert_eq!(switches(b"Name:\tvoluntary_ctxt_switches:\t5\n"), None);
    }
}
