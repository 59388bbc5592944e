// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What a patch would have to wait for, before it is loaded: on whose stacks the functions
//! are that it replaces.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::census::{self, TaskId};
use crate::error::Error;
use crate::livepatch::{Function, VMLINUX};
use crate::look::{was_running, StackFile};
use crate::observe::{in_parallel, Looks};
use crate::replaced::{Match, Replaced};
use crate::stack::{Stack, Verdict};
use crate::stat::Stat;
use crate::symbols::{self, Module, Symbols};
use crate::text::{duration, Shown};

/// What the looks found.
#[derive(Clone, Debug, Serialize)]
pub struct Preflight {
    /// `klp-why-preflight/1`.
    pub schema: &'static str,
    /// 0 nothing was in the way, 1 something was, 2 can't tell, 3 something that does
    /// not end by itself.
    pub exit_status: u8,
    /// How often all tasks were looked at.
    pub looks: usize,
    /// Seconds from the first look to the last.
    pub seconds: f64,
    /// Tasks at the last look.
    pub tasks: usize,
    /// The functions.
    pub functions: Vec<FunctionReport>,
    /// Tasks that were in one of them, or had an unreliable stack.
    pub blocking: Vec<Blocking>,
    /// What could not be read.
    pub missing: Vec<String>,
}

/// A function that would be replaced.
#[derive(Clone, Debug, Serialize)]
pub struct FunctionReport {
    /// `vmlinux`, or a module.
    pub object: Shown,
    /// The symbol.
    pub function: Shown,
    /// Whether it is there now.
    pub loaded: bool,
}

/// A task that the patch would have to wait for.
#[derive(Clone, Debug, Serialize)]
pub struct Blocking {
    /// The thread.
    pub tid: u32,
    /// Its name.
    pub comm: Shown,
    /// The function, or `(unreliable stack)`.
    pub what: Shown,
    /// Looks that found it so.
    pub looks: usize,
    /// The longest row of looks that found it so, in seconds: at least as long it stays.
    pub longest_seconds: f64,
    /// It is the main function of a kernel thread.
    pub main: bool,
    /// Whether it certainly is the function that is replaced.
    pub certain: bool,
}

#[derive(Debug)]
struct Tally {
    comm: Shown,
    looks: usize,
    /// The row of looks that goes on: its first time and its last number.
    since: Instant,
    last_look: usize,
    longest: Duration,
    main: bool,
    certain: bool,
}

/// One thing on one task's stack.
struct Found {
    what: Shown,
    main: bool,
    certain: bool,
}

/// Looks `count` times, `interval` apart.
///
/// # Errors
///
/// `/proc` can't be read.
pub fn run(
    functions: &[(Module, Function)],
    looks: &Looks,
    count: usize,
    interval: Duration,
) -> Result<Preflight, Error> {
    let wanted = functions.iter().cloned().collect();
    let mut symbols = Symbols::new();
    let mut tallies: BTreeMap<(TaskId, u64, Shown), Tally> = BTreeMap::new();
    let (mut denied, mut absent) = (false, false);
    let (mut tasks, start) = (0, Instant::now());
    for number in 0..count {
        if number > 0 {
            std::thread::sleep(interval);
        }
        let roots = looks.next();
        if number == 0 {
            symbols = symbols::find(&roots, &wanted);
        }
        let replaced = Replaced::originals(functions, &symbols);
        let all = census::tasks(&roots)?;
        tasks = all.len();
        let now = Instant::now();
        for (task, stack) in in_parallel(&all, |task| StackFile::at(&roots, task)) {
            let found = match stack {
                Some(StackFile::Read(stack)) => found(&stack, &replaced),
                Some(StackFile::Denied) => {
                    denied = true;
                    continue;
                }
                Some(_) => {
                    absent = true;
                    continue;
                }
                None => continue,
            };
            for found in found {
                let Some(stat) = Stat::at(&roots, task) else {
                    break;
                };
                let key = (task, stat.start_ticks, found.what.clone());
                let tally = tallies.entry(key).or_insert_with(|| Tally::new(&stat, now));
                tally.see(number, now, &found);
            }
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    let mut missing = Vec::new();
    if denied {
        missing.push("stacks: they take root with CAP_SYS_ADMIN".to_string());
    }
    if absent {
        missing.push("stacks: this kernel has no CONFIG_STACKTRACE".to_string());
    }
    if !census::is_complete(&looks.current()) {
        missing.push("tasks outside of this PID namespace: /proc shows no kernel threads".into());
    }
    let blocking = blocking(tallies);
    let exit_status = match () {
        () if !missing.is_empty() => 2,
        () if blocking.iter().any(|task| task.main && task.certain) => 3,
        () => u8::from(!blocking.is_empty()),
    };
    Ok(Preflight {
        schema: "klp-why-preflight/1",
        exit_status,
        looks: count,
        seconds,
        tasks,
        functions: functions.iter().map(|f| report(f, &symbols)).collect(),
        blocking,
        missing,
    })
}

impl Tally {
    fn new(stat: &Stat, now: Instant) -> Self {
        Self {
            comm: stat.comm.clone(),
            looks: 0,
            since: now,
            last_look: 0,
            longest: Duration::ZERO,
            main: false,
            certain: false,
        }
    }

    fn see(&mut self, number: usize, now: Instant, found: &Found) {
        if self.looks > 0 && self.last_look + 1 < number {
            self.since = now;
        }
        self.looks += 1;
        self.last_look = number;
        self.longest = self.longest.max(now - self.since);
        self.main |= found.main;
        self.certain |= found.certain;
    }
}

/// The functions that a look found, and whether the stack could be believed.
fn found(stack: &Stack, replaced: &Replaced) -> Vec<Found> {
    let mut found: Vec<Found> = Vec::new();
    for (n, frame) in stack.frames.iter().enumerate() {
        let Some(sure) = replaced.of(frame) else {
            continue;
        };
        let name = match &frame.module {
            Some(module) => format!("{} [{module}]", frame.symbol),
            None => frame.symbol.clone(),
        };
        let what = Shown::from(name.as_str());
        let caller = stack.frames.get(n + 1);
        let main = caller.is_some_and(|f| f.symbol == "kthread" && f.module.is_none());
        let certain = sure == Match::Replaced;
        found.retain(|other| other.what != what);
        found.push(Found {
            what,
            main,
            certain,
        });
    }
    if let (Some(Verdict::Unreliable { .. }), false) = (&stack.verdict, was_running(stack)) {
        found.push(Found {
            what: "(unreliable stack)".into(),
            main: false,
            certain: true,
        });
    }
    found
}

fn blocking(tallies: BTreeMap<(TaskId, u64, Shown), Tally>) -> Vec<Blocking> {
    let mut blocking: Vec<Blocking> = tallies
        .into_iter()
        .map(|((task, _, what), tally)| Blocking {
            tid: task.tid,
            comm: tally.comm,
            what,
            looks: tally.looks,
            longest_seconds: tally.longest.as_secs_f64(),
            main: tally.main,
            certain: tally.certain,
        })
        .collect();
    blocking.sort_by_key(|task| (!task.main, usize::MAX - task.looks, task.tid));
    blocking
}

fn report(key: &(Module, Function), symbols: &Symbols) -> FunctionReport {
    let (module, function) = key;
    FunctionReport {
        object: module.as_deref().unwrap_or(VMLINUX).into(),
        function: function.name.as_str().into(),
        loaded: symbols.contains_key(key),
    }
}

/// The result as a person reads it.
pub fn text(preflight: &Preflight, rows: usize) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "{} looks at {} tasks in {:.1} s",
        preflight.looks, preflight.tasks, preflight.seconds
    );
    for function in &preflight.functions {
        let (object, name) = (&function.object, &function.function);
        let absent = match function.loaded {
            true => "",
            false => ": not there now, so on no stack",
        };
        let _ = writeln!(out, "  replaces {name} in {object}{absent}");
    }
    if preflight.blocking.is_empty() && preflight.missing.is_empty() {
        out.push_str("  no look found anything that it would have to wait for\n");
    }
    for task in preflight.blocking.iter().take(rows) {
        let _ = write!(
            out,
            "  {} ({}): {} in {} of {} looks",
            task.comm, task.tid, task.what, task.looks, preflight.looks
        );
        let _ = match task.longest_seconds {
            0.0 => writeln!(out, "{}", main_text(task)),
            longest if longest < 1.0 => {
                writeln!(
                    out,
                    ", for {:.0} ms at least{}",
                    longest * 1e3,
                    main_text(task)
                )
            }
            longest => writeln!(
                out,
                ", for {} at least{}",
                duration(longest),
                main_text(task)
            ),
        };
    }
    if let Some(more @ 1..) = preflight.blocking.len().checked_sub(rows) {
        let _ = writeln!(out, "  and {more} more (--all)");
    }
    for missing in &preflight.missing {
        let _ = writeln!(out, "not known: {missing}");
    }
    out
}

fn main_text(task: &Blocking) -> &'static str {
    match (task.main, task.certain) {
        (true, _) => "; not before this kernel thread ends: it is its main function",
        (false, false) => "; or another function of its name",
        (false, true) => "",
    }
}
