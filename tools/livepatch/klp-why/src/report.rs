// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The answer as a whole: what the table shows and what `--json` prints.

use serde::Serialize;

use crate::census::TaskId;
use crate::livepatch::Patch;
use crate::text::Shown;
use crate::why::{Ends, Reason};

/// Changes when a field is taken away or means something else; not when one is added.
pub const SCHEMA: &str = "klp-why/1";

/// All that is known at one time.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// 0 no transition, 1 waiting, 2 can't tell, 3 a task will not end by itself.
    pub exit_status: u8,
    /// The patches that are loaded.
    pub patches: Vec<PatchReport>,
    /// The transition under way.
    pub transition: Option<Transition>,
    /// What could not be read, and what that hides.
    pub missing: Vec<String>,
}

/// A patch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PatchReport {
    /// Its module.
    pub name: Shown,
    /// Applied, or on the way to be.
    pub enabled: bool,
    /// Whether tasks are being switched.
    pub transition: bool,
    /// What it replaces functions in.
    pub objects: Vec<ObjectReport>,
}

/// vmlinux or a module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ObjectReport {
    /// Its name.
    pub name: Shown,
    /// Not while the module is not loaded.
    pub patched: bool,
    /// How many functions are replaced in it.
    pub functions: usize,
}

/// A transition.
#[derive(Clone, Debug, Serialize)]
pub struct Transition {
    /// The patch.
    pub patch: Shown,
    /// `patched`, or `unpatched` when it is disabled or the transition was reversed.
    pub target: &'static str,
    /// Seconds since it started, or was reversed, if the log says so.
    pub seconds: Option<f64>,
    /// Seconds since livepatch first signalled the remaining tasks, if it has.
    pub signalled_seconds: Option<f64>,
    /// Tasks that `/proc` shows.
    pub tasks: usize,
    /// Those that have switched.
    pub switched: usize,
    /// Those that have not.
    pub blocked: Vec<Blocked>,
}

/// A task that has not switched.
#[derive(Clone, Debug, Serialize)]
pub struct Blocked {
    /// The process.
    pub pid: u32,
    /// The thread.
    pub tid: u32,
    /// Its name.
    pub comm: Shown,
    /// A kernel thread.
    pub kernel_thread: bool,
    /// The CPU it runs on, or waits for.
    pub cpu: Option<u32>,
    /// Seconds that it has been pending: since the start of the transition, or its own.
    pub seconds: Option<f64>,
    /// Why, in a word.
    pub reason: Reason,
    /// Why, in a sentence.
    pub why: String,
    /// The function of that place, and the offset in it.
    pub function: Option<Shown>,
    /// Bytes from its start.
    pub offset: Option<u64>,
    /// The module of the function; nothing for vmlinux.
    pub module: Option<Shown>,
    /// Whether the function is certainly one that is replaced; nothing where it is not
    /// about one.
    pub certain: Option<bool>,
    /// Whether it will end.
    pub ends: Ends,
    /// When, in a sentence.
    pub when: String,
    /// When the task started: with the thread's number that is one task, and no other.
    #[serde(skip)]
    pub start_ticks: u64,
}

impl Blocked {
    /// The task.
    pub fn id(&self) -> TaskId {
        TaskId {
            pid: self.pid,
            tid: self.tid,
        }
    }
}

impl From<&Patch> for PatchReport {
    fn from(patch: &Patch) -> Self {
        let objects = patch.objects.iter().map(|object| ObjectReport {
            name: object.name.as_str().into(),
            patched: object.patched,
            functions: object.functions.len(),
        });
        Self {
            name: patch.name.as_str().into(),
            enabled: patch.enabled,
            transition: patch.transition,
            objects: objects.collect(),
        }
    }
}

impl Report {
    /// The report, with the exit status that follows from it. `hidden`: what is missing
    /// leaves the question open.
    pub fn new(
        patches: &[Patch],
        transition: Option<Transition>,
        missing: Vec<String>,
        hidden: bool,
    ) -> Self {
        let blocked = transition.as_ref().map(|t| t.blocked.as_slice());
        let exit_status = match blocked {
            None => 0,
            Some(_) if hidden => 2,
            Some(blocked) if blocked.iter().any(|task| task.ends == Ends::NotWhile) => 3,
            Some(_) => 1,
        };
        Self {
            schema: SCHEMA,
            exit_status,
            patches: patches.iter().map(PatchReport::from).collect(),
            transition,
            missing,
        }
    }
}

/// What `--help` says about `--json`.
pub const SCHEMA_HELP: &str = "\
JSON (klp-why/1): one object
  schema        \"klp-why/1\"; changes when a field goes or means something else
  exit_status   0, 1, 2 or 3, as above
  patches[]     name, enabled, transition, objects[]: name, patched, functions
  transition    null, or
    patch, target (\"patched\", \"unpatched\"), tasks, switched
    seconds, signalled_seconds   since the start, and since the first signal; or null
    blocked[]   pid, tid, comm, kernel_thread, cpu, seconds
                reason: on_function, unreliable, runs_in_kernel, runs_in_user, moves,
                        next_look, not_said, no_stack
                why, when: sentences; function, offset, module, certain: of the place
                ends: not_while, unknown, when, by_itself
  missing[]     what could not be read, and what that hides";
