// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What held a transition up, and for how long: a line of JSON for each task, after it
//! has switched or when nobody looks any more.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::census::TaskId;
use crate::error::Error;
use crate::output::append;
use crate::report::{Blocked, Report};
use crate::text::Shown;

/// The tasks that are seen blocked, for `--history FILE`.
#[derive(Debug)]
pub struct History {
    file: PathBuf,
    blocked: HashMap<Key, Seen>,
}

/// One task, one transition, one reason.
type Key = (
    Shown,
    &'static str,
    TaskId,
    u64,
    &'static str,
    Option<Shown>,
);

#[derive(Debug)]
struct Seen {
    first: Instant,
    last: Instant,
    task: Blocked,
}

#[derive(Serialize)]
struct Line<'a> {
    schema: &'static str,
    time: u64,
    patch: &'a Shown,
    target: &'static str,
    tid: u32,
    comm: &'a Shown,
    reason: &'static str,
    function: &'a Option<Shown>,
    why: &'a str,
    /// Seconds since the transition started, or the task.
    seconds: Option<f64>,
    /// Seconds between the first time and the last that it was seen so.
    seen_seconds: f64,
    /// Whether it was seen to be over.
    ended: bool,
}

impl History {
    /// Will append to `file`.
    pub fn new(file: &Path) -> Self {
        Self {
            file: file.to_path_buf(),
            blocked: HashMap::new(),
        }
    }

    /// Takes a report in, and writes of the tasks that are not in it any more.
    ///
    /// # Errors
    ///
    /// The file can't be written.
    pub fn add(&mut self, report: &Report) -> Result<(), Error> {
        let now = Instant::now();
        if let Some(transition) = &report.transition {
            for task in &transition.blocked {
                let (patch, target) = (transition.patch.clone(), transition.target);
                let (reason, function) = (task.reason.word(), task.function.clone());
                let key = (patch, target, task.id(), task.start_ticks, reason, function);
                let first = self.blocked.get(&key).map_or(now, |seen| seen.first);
                let task = task.clone();
                let last = now;
                self.blocked.insert(key, Seen { first, last, task });
            }
        }
        let (here, over) = self.blocked.drain().partition(|(_, seen)| seen.last == now);
        self.blocked = here;
        self.write(over, true)
    }

    /// Writes of the tasks that are still blocked.
    ///
    /// # Errors
    ///
    /// The file can't be written.
    pub fn end(&mut self) -> Result<(), Error> {
        let still = std::mem::take(&mut self.blocked);
        self.write(still, false)
    }

    fn write(&self, tasks: HashMap<Key, Seen>, ended: bool) -> Result<(), Error> {
        let time = SystemTime::now().duration_since(UNIX_EPOCH);
        let mut tasks: Vec<_> = tasks.iter().collect();
        tasks.sort_by_key(|(key, _)| (key.2, key.4));
        let mut lines = String::new();
        for ((patch, target, ..), seen) in tasks {
            let line = Line {
                schema: "klp-why-history/1",
                time: time.as_ref().map_or(0, |time| time.as_secs()),
                patch,
                target,
                tid: seen.task.tid,
                comm: &seen.task.comm,
                reason: seen.task.reason.word(),
                function: &seen.task.function,
                why: &seen.task.why,
                seconds: seen.task.seconds,
                seen_seconds: seen.last.duration_since(seen.first).as_secs_f64(),
                ended,
            };
            let json = serde_json::to_string(&line).map_err(|e| Error::Usage(e.to_string()))?;
            lines.push_str(&json);
            lines.push('\n');
        }
        if lines.is_empty() {
            return Ok(());
        }
        append(&self.file, &lines)
    }
}
