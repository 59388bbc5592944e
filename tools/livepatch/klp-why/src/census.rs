// SPDX-License-Identifier: GPL-2.0 OR MIT

//! All tasks, and which of them have not switched.

use std::io;

use crate::error::Error;
use crate::roots::{is_gone, read, Roots};

/// A task: a thread of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId {
    /// The process.
    pub pid: u32,
    /// The thread.
    pub tid: u32,
}

impl TaskId {
    /// Its directory below `/proc`.
    pub fn path(self, roots: &Roots) -> std::path::PathBuf {
        roots.proc().join(format!("{}/task/{}", self.pid, self.tid))
    }
}

/// How far the tasks are.
#[derive(Clone, Debug, Default)]
pub struct Census {
    /// All that were seen.
    pub tasks: usize,
    /// Those that were not switched when they were looked at.
    pub pending: Vec<TaskId>,
    /// Those whose state may not be read.
    pub denied: usize,
    /// Those that have no `patch_state`: a kernel without livepatch, or a damaged tree.
    pub unknown: usize,
}

/// Lists the tasks: processes in order, and the threads of each.
///
/// # Errors
///
/// `/proc` itself can't be read.
pub fn tasks(roots: &Roots) -> Result<Vec<TaskId>, Error> {
    let proc = roots.proc();
    let mut tasks = Vec::new();
    for pid in numbers(&proc).map_err(Error::io(&proc))? {
        match numbers(&proc.join(format!("{pid}/task"))) {
            Ok(tids) => tasks.extend(tids.into_iter().map(|tid| TaskId { pid, tid })),
            Err(e) if is_gone(&e) => {}
            // A process of somebody else with hidepid=1: its threads are not known.
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
                tasks.push(TaskId { pid, tid: pid });
            }
            Err(e) => return Err(Error::io(&proc)(e)),
        }
    }
    tasks.sort();
    Ok(tasks)
}

/// Counts the tasks that are not in the state `patched`.
///
/// # Errors
///
/// `/proc` itself can't be read.
pub fn take(roots: &Roots, patched: bool) -> Result<Census, Error> {
    let mut census = Census::default();
    for task in tasks(roots)? {
        match state(roots, task) {
            Ok(state) => {
                census.tasks += 1;
                if state.is_some_and(|state| state != patched) {
                    census.pending.push(task);
                }
            }
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
                census.tasks += 1;
                census.denied += 1;
            }
            Err(e) if is_gone(&e) => {
                if task.path(roots).is_dir() {
                    census.tasks += 1;
                    census.unknown += 1;
                }
            }
            Err(e) => return Err(Error::io(&task.path(roots))(e)),
        }
    }
    Ok(census)
}

/// A task's `patch_state`: whether it runs the patched code, and nothing outside of a
/// transition (-1).
///
/// # Errors
///
/// Those of the file.
pub fn state(roots: &Roots, task: TaskId) -> io::Result<Option<bool>> {
    match read(&task.path(roots).join("patch_state"))?.trim_ascii() {
        b"-1" => Ok(None),
        b"0" => Ok(Some(false)),
        b"1" => Ok(Some(true)),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "bad patch_state",
        )),
    }
}

/// Whether this `/proc` shows all tasks: one of a PID namespace has no kthreadd.
pub fn is_complete(roots: &Roots) -> bool {
    let kthreadd = read(&roots.proc().join("2/stat")).ok();
    kthreadd
        .and_then(|stat| crate::stat::Stat::parse(&stat))
        .is_some_and(|stat| stat.is_kernel_thread())
}

fn numbers(path: &std::path::Path) -> io::Result<Vec<u32>> {
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(path)? {
        let name = match entry {
            Ok(entry) => entry.file_name(),
            Err(e) if is_gone(&e) => break,
            Err(e) => return Err(e),
        };
        numbers.extend(name.to_str().and_then(|name| name.parse::<u32>().ok()));
    }
    Ok(numbers)
}
