// SPDX-License-Identifier: GPL-2.0 OR MIT

//! One look at one task. Two of them, some time apart, show whether it moves.

use std::io;

use crate::census::TaskId;
use crate::roots::{is_gone, read, Roots};
use crate::stack::{Stack, Verdict};
use crate::stat::{switches, Stat, State};

/// What a look saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// The task.
    pub stat: Stat,
    /// How often it has left a CPU.
    pub switches: Option<u64>,
    /// Nanoseconds it has been on a CPU.
    pub run_ns: Option<u64>,
    /// Its kernel stack.
    pub stack: StackFile,
}

/// What could be read of a stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StackFile {
    /// The stack.
    Read(Stack),
    /// Only root may.
    Denied,
    /// The kernel has no such file (`CONFIG_STACKTRACE`).
    Missing,
}

impl Look {
    /// Looks at a task; nothing when it has gone away.
    pub fn at(roots: &Roots, task: TaskId) -> Option<Self> {
        let path = task.path(roots);
        let stat = Stat::parse(&read(&path.join("stat")).ok()?)?;
        let status = read(&path.join("status")).ok();
        let schedstat = read(&path.join("schedstat")).ok();
        let stack = match read(&path.join("stack")) {
            Ok(file) => StackFile::Read(Stack::parse(&file)),
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => StackFile::Denied,
            Err(e) if is_gone(&e) && !path.is_dir() => return None,
            Err(_) => StackFile::Missing,
        };
        Some(Self {
            stat,
            switches: status.and_then(|status| switches(&status)),
            run_ns: schedstat
                .and_then(|s| String::from_utf8(s).ok()?.split(' ').next()?.parse().ok()),
            stack,
        })
    }

    /// The stack, where it was read.
    pub fn stack(&self) -> Option<&Stack> {
        match &self.stack {
            StackFile::Read(stack) => Some(stack),
            _ => None,
        }
    }

    /// Whether the walker found the task on a CPU. That is no fault of its stack.
    pub fn was_running(&self) -> bool {
        let verdict = self.stack().and_then(|stack| stack.verdict.as_ref());
        matches!(verdict, Some(Verdict::Unreliable { reason, .. })
            if reason.as_str().starts_with("task ran ") || reason.as_str().starts_with("task running "))
    }
}

/// What two looks show of a task's way between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Motion {
    /// Off its CPU all the time, at one place.
    Still,
    /// On its CPU, and not off it once.
    OnCpu {
        /// It was in user space for some of that time, and in the kernel for none.
        user: bool,
    },
    /// It was switched in or out.
    Moved,
    /// Runnable, and nothing says which of these.
    Unclear,
}

impl Motion {
    /// Compares two looks that are `seconds` apart. On a CPU without a tick the kernel
    /// brings a running task's times up to date once a second only.
    pub fn between(first: &Look, second: &Look, seconds: f64, tickless: bool) -> Self {
        let counted = first.switches.zip(second.switches);
        match counted {
            Some((before, after)) if before != after => return Self::Moved,
            None if first.stack != second.stack => return Self::Moved,
            _ => {}
        }
        let runnable = |look: &Look| look.stat.state == State::Runnable;
        if !runnable(first) && !runnable(second) {
            return Self::Still;
        }
        if runnable(first) != runnable(second) {
            return Self::Moved;
        }
        let user = second.stat.user_ticks.saturating_sub(first.stat.user_ticks);
        let kernel = second
            .stat
            .kernel_ticks
            .saturating_sub(first.stat.kernel_ticks);
        let ran_ns = first.run_ns.zip(second.run_ns);
        let ran_ns = ran_ns.map(|(before, after)| after.saturating_sub(before));
        let on_cpu = Self::OnCpu {
            user: user > 0 && kernel == 0,
        };
        match ran_ns {
            _ if counted.is_none() => Self::Unclear,
            _ if first.was_running() && second.was_running() => on_cpu,
            // A task that has its CPU alone runs all the time.
            Some(ns) if seconds > 0.0 && ns as f64 >= seconds * 1e9 * 0.8 => on_cpu,
            // Longer than a tick at any HZ.
            Some(0) if !tickless && seconds >= 0.05 => Self::Still,
            None if (user + kernel) as f64 >= seconds * 100.0 * 0.8 && seconds >= 0.05 => on_cpu,
            _ => Self::Unclear,
        }
    }
}
