// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Two looks at the system, and the report they give.

use std::cell::Cell;
use std::collections::HashSet;
use std::time::{Duration, Instant};

use crate::census::{self, Census, TaskId};
use crate::error::Error;
use crate::livepatch::{self, Patch};
use crate::log::Log;
use crate::look::{Look, StackFile};
use crate::replaced::{module, Match, Replaced};
use crate::report::{Blocked, Report, Transition};
use crate::roots::{is_gone, Roots};
use crate::stat::{State, TICKS_PER_SECOND};
use crate::symbols::{self, Symbols};
use crate::text::Shown;
use crate::why::{why, Context};

/// Where each look is taken: always the same place, but for tests, which have a tree for
/// each.
#[derive(Debug, Default)]
pub struct Looks {
    roots: Vec<Roots>,
    taken: Cell<usize>,
}

impl Looks {
    /// The first look below the first of these, and so on; the last is used again.
    pub fn at(roots: Vec<Roots>) -> Self {
        Self {
            roots,
            taken: Cell::new(0),
        }
    }

    /// Where the next look is to be taken.
    pub fn next(&self) -> Roots {
        let taken = self.taken.get();
        self.taken.set(taken + 1);
        let roots = self.roots.get(taken).or(self.roots.last());
        roots.cloned().unwrap_or_default()
    }

    /// Where the last look was taken.
    pub fn current(&self) -> Roots {
        let last = self.taken.get().saturating_sub(1);
        let roots = self.roots.get(last).or(self.roots.last());
        roots.cloned().unwrap_or_default()
    }
}

/// How often a transition that is reversed in between is looked at anew.
const ATTEMPTS: usize = 3;

/// Looks twice, `interval` apart, and says what holds the transition up.
///
/// # Errors
///
/// There is no livepatch, or its files can't be read.
pub fn observe(looks: &Looks, interval: Duration) -> Result<Report, Error> {
    for _ in 0..ATTEMPTS {
        let roots = looks.next();
        let patches = livepatch::read_all(&roots)?;
        let Some(patch) = patches.iter().find(|patch| patch.transition) else {
            return Ok(Report::new(&patches, None, Vec::new(), false));
        };
        let first = First::take(&roots, patch)?;
        std::thread::sleep(interval);
        let roots = looks.next();
        let patches = livepatch::read_all(&roots)?;
        match patches.iter().find(|patch| patch.transition) {
            None => return Ok(Report::new(&patches, None, Vec::new(), false)),
            Some(now) if (&now.name, now.enabled) == (&patch.name, patch.enabled) => {
                return Ok(first.compare(&roots, &patches, now));
            }
            // Another patch, or this one the other way: what was seen is of no use.
            Some(_) => {}
        }
    }
    let what = "transitions are reversed faster than they can be looked at";
    Err(Error::Usage(what.to_string()))
}

/// The first look at a transition.
struct First {
    census: Census,
    pending: Vec<(TaskId, Option<Look>)>,
    at: Instant,
}

impl First {
    fn take(roots: &Roots, patch: &Patch) -> Result<Self, Error> {
        let census = census::take(roots, patch.enabled)?;
        let at = Instant::now();
        let pending = in_parallel(&census.pending, |task| Look::first(roots, task));
        Ok(Self {
            census,
            pending,
            at,
        })
    }

    /// Looks again at the tasks that were pending.
    fn compare(&self, roots: &Roots, patches: &[Patch], patch: &Patch) -> Report {
        let tasks: Vec<TaskId> = self.pending.iter().map(|(task, _)| *task).collect();
        let apart = self.at.elapsed().as_secs_f64();
        let second = in_parallel(&tasks, |task| Second::at(roots, task, patch));
        let looks: Vec<&Look> = second
            .iter()
            .filter_map(|(_, second)| second.look())
            .collect();
        let symbols = symbols_of(roots, patches, &looks);
        let log = roots.log();
        let now = roots.log_clock().map(|now| now.as_secs_f64());
        let scene = Scene {
            roots,
            replaced: &Replaced::new(patch, patches, &symbols),
            log: &log.as_ref().map_or_else(
                |_| Log::default(),
                |records| Log::parse(records, &patch.name, patch.enabled),
            ),
            now,
            since_boot: roots.since_boot().map(|now| now.as_secs_f64()),
            apart,
            signals_when_asked: roots.signal(&patch.name).exists(),
        };
        let (mut blocked, mut unseen) = (Vec::new(), 0);
        for ((task, first), (_, second)) in self.pending.iter().zip(&second) {
            match (first, second) {
                (_, Second::NotPending) => {}
                (Some(first), Second::Seen(second)) => {
                    blocked.push(scene.blocked(*task, first, second));
                }
                _ => unseen += 1,
            }
        }
        blocked.sort_by_key(|task| (task.ends, task.tid));
        let transition = Transition {
            patch: patch.name.as_str().into(),
            target: if patch.enabled {
                "patched"
            } else {
                "unpatched"
            },
            seconds: scene.since(scene.log.started),
            signalled_seconds: scene.since(scene.log.signalled),
            tasks: self.census.tasks,
            switched: self.switched(blocked.len() + unseen),
            blocked,
        };
        let (mut missing, mut hidden) = self.missing(roots, &looks, log.is_err(), &transition);
        if unseen > 0 {
            missing.push(format!("what {unseen} tasks do that have not switched"));
            hidden = true;
        }
        Report::new(patches, Some(transition), missing, hidden)
    }

    fn switched(&self, blocked: usize) -> usize {
        let census = &self.census;
        let unknown = census.denied + census.unknown;
        census.tasks.saturating_sub(unknown).saturating_sub(blocked)
    }

    /// What could not be read, and whether the question is open because of it.
    fn missing(
        &self,
        roots: &Roots,
        looks: &[&Look],
        no_log: bool,
        transition: &Transition,
    ) -> (Vec<String>, bool) {
        let mut missing = Vec::new();
        let mut hidden = false;
        let census = &self.census;
        if census.denied > 0 {
            let denied = census.denied;
            missing.push(format!(
                "whether {denied} tasks have switched: run this as root"
            ));
            hidden = true;
        }
        if census.unknown > 0 {
            let unknown = census.unknown;
            missing.push(format!("{unknown} tasks have no patch_state file"));
            hidden = true;
        }
        if !census::is_complete(roots) {
            missing
                .push("tasks outside of this PID namespace: /proc shows no kernel threads".into());
            hidden = true;
        }
        let stacks = |kind: StackFile| looks.iter().filter(|look| look.stack == kind).count();
        let denied = stacks(StackFile::Denied);
        if denied > 0 {
            missing.push(format!(
                "the stacks of {denied} tasks: they take root with CAP_SYS_ADMIN"
            ));
            hidden = true;
        }
        if stacks(StackFile::Missing) > 0 {
            missing.push("stacks: this kernel has no CONFIG_STACKTRACE".into());
            hidden = true;
        }
        if no_log {
            missing.push("how long it has taken: /dev/kmsg can't be read".into());
        } else if transition.seconds.is_none() {
            missing.push("how long it has taken: the log has no line of its start any more".into());
        }
        (missing, hidden)
    }
}

/// The second look at a task that was pending.
enum Second {
    /// It has switched, or gone away.
    NotPending,
    /// It is pending, or was, and its files can't be read or understood.
    Unseen,
    /// It is pending.
    Seen(Look),
}

impl Second {
    fn at(roots: &Roots, task: TaskId, patch: &Patch) -> Self {
        match census::state(roots, task) {
            Ok(Some(state)) if state != patch.enabled => {}
            Ok(_) => return Self::NotPending,
            Err(e) if is_gone(&e) => return Self::NotPending,
            Err(_) => return Self::Unseen,
        }
        match Look::second(roots, task) {
            Some(look) => Self::Seen(look),
            None if task.path(roots).join("patch_state").exists() => Self::Unseen,
            None => Self::NotPending,
        }
    }

    fn look(&self) -> Option<&Look> {
        match self {
            Self::Seen(look) => Some(look),
            _ => None,
        }
    }
}

/// What all tasks are judged by.
struct Scene<'a> {
    roots: &'a Roots,
    replaced: &'a Replaced,
    log: &'a Log,
    now: Option<f64>,
    since_boot: Option<f64>,
    apart: f64,
    signals_when_asked: bool,
}

impl Scene<'_> {
    fn since(&self, then: Option<f64>) -> Option<f64> {
        Some((self.now? - then?).max(0.0))
    }

    fn blocked(&self, task: TaskId, first: &Look, second: &Look) -> Blocked {
        let stat = &second.stat;
        let pending = self.pending(stat.start_ticks);
        let context = Context {
            replaced: self.replaced,
            log: self.log,
            now: self.now,
            apart: self.apart,
            pending,
            signals_when_asked: self.signals_when_asked,
        };
        let runnable = stat.state == State::Runnable;
        let tickless = runnable && self.roots.is_nohz_full(stat.cpu);
        let why = why(task.tid, first, second, tickless, &context);
        let place = why.place.as_ref();
        Blocked {
            pid: task.pid,
            tid: task.tid,
            comm: stat.comm.clone(),
            kernel_thread: stat.is_kernel_thread(),
            cpu: runnable.then_some(stat.cpu),
            seconds: pending,
            reason: why.reason,
            why: why.text,
            function: place.map(|frame| frame.symbol.as_str().into()),
            offset: place.map(|frame| frame.offset),
            module: place.and_then(|frame| Some(Shown::from(frame.module.as_deref()?))),
            certain: why.sure.map(|sure| sure == Match::Replaced),
            ends: why.ends,
            when: why.when,
            start_ticks: stat.start_ticks,
        }
    }

    /// A task is pending since the transition started. One that was born later took the
    /// state over from its parent.
    fn pending(&self, start_ticks: u64) -> Option<f64> {
        let transition = self.since(self.log.started)?;
        let started = start_ticks as f64 / TICKS_PER_SECOND as f64;
        let age = self.since_boot.map(|now| (now - started).max(0.0));
        Some(age.map_or(transition, |age| transition.min(age)))
    }
}

/// Looks names up where a task sleeps that they can make a difference for.
fn symbols_of(roots: &Roots, patches: &[Patch], looks: &[&Look]) -> Symbols {
    let mut stacks = looks.iter().filter_map(|look| look.stack());
    if stacks.all(|stack| stack.frames.is_empty()) {
        return Symbols::new();
    }
    let mut wanted = HashSet::new();
    for patch in patches.iter().filter(|patch| patch.transition) {
        for object in &patch.objects {
            let module = module(object);
            let functions = object.functions.iter().cloned();
            wanted.extend(functions.map(|function| (module.clone(), function)));
        }
    }
    symbols::find(roots, &wanted)
}

/// Fewer tasks than this are not worth a thread.
const TASKS_PER_THREAD: usize = 256;

/// Does something with each task, in order, on as many CPUs as there are and it is worth.
pub fn in_parallel<T: Send>(tasks: &[TaskId], f: impl Fn(TaskId) -> T + Sync) -> Vec<(TaskId, T)> {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let chunk = tasks.len().div_ceil(cpus).max(TASKS_PER_THREAD);
    let one = |chunk: &[TaskId]| -> Vec<_> { chunk.iter().map(|&task| (task, f(task))).collect() };
    if tasks.len() <= chunk {
        return one(tasks);
    }
    std::thread::scope(|scope| {
        let chunks = tasks.chunks(chunk);
        let threads: Vec<_> = chunks.map(|chunk| scope.spawn(|| one(chunk))).collect();
        let join = |thread: std::thread::ScopedJoinHandle<'_, Vec<_>>| match thread.join() {
            Ok(part) => part,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        threads.into_iter().flat_map(join).collect()
    })
}
