// SPDX-License-Identifier: GPL-2.0 OR MIT

//! One look at one task. Two of them, some time apart, show whether it moves.

use std::io;

use crate::census::TaskId;
use crate::roots::{is_gone, read, Roots};
use crate::stack::{Stack, Verdict};
use crate::stat::{switches, Stat, State, TICKS_PER_SECOND};

/// What a look saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// The task.
    pub stat: Stat,
    /// How often it was switched, in or out: that it changes is what says something.
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
    /// It was not needed.
    Unread,
}

impl Look {
    /// The first look at a task, for the second to be compared with; nothing when it has
    /// gone away. A sleeper's counters say that it did not move, and are read sooner
    /// than a stack.
    pub fn first(roots: &Roots, task: TaskId) -> Option<Self> {
        let look = Self::without_stack(roots, task)?;
        if look.stat.state != State::Runnable && look.switches.is_some() {
            return Some(look);
        }
        look.with_stack(roots, task)
    }

    /// The second look.
    pub fn second(roots: &Roots, task: TaskId) -> Option<Self> {
        Self::without_stack(roots, task)?.with_stack(roots, task)
    }

    fn without_stack(roots: &Roots, task: TaskId) -> Option<Self> {
        let path = task.path(roots);
        let stat = Stat::at(roots, task)?;
        let ran = read(&path.join("schedstat"))
            .ok()
            .and_then(|file| Ran::parse(&file));
        // `status` is long, and counts how often a task was switched out; `schedstat` is
        // short, and counts how often it was switched in. For a sleeper that is the same.
        let switches = match ran {
            Some(ran) if stat.state != State::Runnable => Some(ran.times),
            _ => read(&path.join("status"))
                .ok()
                .and_then(|status| switches(&status)),
        };
        Some(Self {
            stat,
            switches,
            run_ns: ran.map(|ran| ran.ns),
            stack: StackFile::Unread,
        })
    }

    fn with_stack(mut self, roots: &Roots, task: TaskId) -> Option<Self> {
        self.stack = StackFile::at(roots, task)?;
        Some(self)
    }

    /// How long the task has been on a CPU in all its life.
    pub fn seconds_on_cpu(&self) -> f64 {
        let ticks = self.stat.user_ticks.saturating_add(self.stat.kernel_ticks);
        let by_ticks = ticks as f64 / TICKS_PER_SECOND as f64;
        self.run_ns.map_or(by_ticks, |ns| ns as f64 / 1e9)
    }

    /// The stack, where it was read.
    pub fn stack(&self) -> Option<&Stack> {
        match &self.stack {
            StackFile::Read(stack) => Some(stack),
            _ => None,
        }
    }

    fn was_running(&self) -> bool {
        self.stack().is_some_and(was_running)
    }
}

/// Whether the walker found the task on a CPU. That is no fault of its stack.
pub fn was_running(stack: &Stack) -> bool {
    matches!(&stack.verdict, Some(Verdict::Unreliable { reason, .. })
        if reason.as_str().starts_with("task ran ") || reason.as_str().starts_with("task running "))
}

impl StackFile {
    /// Reads a task's stack; nothing when it has gone away.
    pub fn at(roots: &Roots, task: TaskId) -> Option<Self> {
        let path = task.path(roots);
        match read(&path.join("stack")) {
            Ok(file) => Some(Self::Read(Stack::parse(&file))),
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => Some(Self::Denied),
            Err(e) if is_gone(&e) && !path.is_dir() => None,
            Err(_) => Some(Self::Missing),
        }
    }
}

/// `schedstat`: time on a CPU, time waiting for one, and how often it got one.
#[derive(Clone, Copy)]
struct Ran {
    ns: u64,
    times: u64,
}

impl Ran {
    fn parse(file: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(file).ok()?;
        let mut fields = text.split_ascii_whitespace().map(str::parse);
        let (ns, _, times) = (
            fields.next()?.ok()?,
            fields.next()?.ok()?,
            fields.next()?.ok()?,
        );
        // All are zero where the kernel does not count them.
        (times > 0).then_some(Self { ns, times })
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
