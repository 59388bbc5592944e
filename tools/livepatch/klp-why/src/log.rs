// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What livepatch itself has logged: when the transition started, when it signalled,
//! and, with dynamic debug on, why it did not switch a task.

use std::collections::HashMap;

/// Livepatch's messages about the transition that is under way.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Log {
    /// When it started, or was reversed: seconds of the log's clock.
    pub started: Option<f64>,
    /// When tasks were first signalled. The kernel repeats that and logs it no more.
    pub signalled: Option<f64>,
    /// The newest message about each task, with its time.
    pub said: HashMap<u32, (f64, Said)>,
}

/// Why livepatch did not switch a task (`pr_debug()` in `klp_try_switch_task()`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// It was on a CPU.
    Running,
    /// Its stack was not reliable.
    Unreliable,
    /// It was in this function.
    On(String),
}

impl Log {
    /// Reads the records about this patch's way to `enabled`, from `/dev/kmsg`.
    pub fn parse(records: &[u8], patch: &str, enabled: bool) -> Self {
        let direction = if enabled { "patching" } else { "unpatching" };
        let start = format!("'{patch}': starting {direction} transition");
        let text = String::from_utf8_lossy(records);
        let mut log = Self::default();
        for (seconds, message) in text.lines().filter_map(record) {
            if message == start {
                log = Self {
                    started: Some(seconds),
                    ..Self::default()
                };
            } else if is_start(message) {
                // Of another patch, or of this one in the other direction.
                log = Self::default();
            } else if message == "signaling remaining tasks" {
                log.signalled = log.started.map(|_| seconds);
            } else if let Some((tid, said)) = said(message) {
                log.said.insert(tid, (seconds, said));
            }
        }
        log
    }
}

/// A message of livepatch's: `PRIORITY,SEQUENCE,MICROSECONDS,FLAGS;livepatch: TEXT`.
fn record(line: &str) -> Option<(f64, &str)> {
    let (head, message) = line.split_once(';')?;
    let message = message.strip_prefix("livepatch: ")?;
    let mut fields = head.split(',');
    let priority: u32 = fields.next()?.parse().ok()?;
    let microseconds: u64 = fields.nth(1)?.parse().ok()?;
    // Programs can write to the log, too, but not as the kernel (facility 0).
    (priority >> 3 == 0).then_some((microseconds as f64 / 1e6, message))
}

fn is_start(message: &str) -> bool {
    message.contains("': starting ") && message.ends_with("patching transition")
}

/// `klp_try_switch_task: COMM:PID is running`, and the like. COMM can be anything.
fn said(message: &str) -> Option<(u32, Said)> {
    let rest = message.strip_prefix("klp_try_switch_task: ")?;
    let (task, said) = if let Some(task) = rest.strip_suffix(" is running") {
        (task, Said::Running)
    } else if let Some(task) = rest.strip_suffix(" has an unreliable stack") {
        (task, Said::Unreliable)
    } else {
        let (task, function) = rest.rsplit_once(" is sleeping on function ")?;
        (task, Said::On(function.to_string()))
    };
    Some((task.rsplit_once(':')?.1.parse().ok()?, said))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "\
5,1,1000000,-;livepatch: 'p': starting patching transition
5,2,2000000,-;livepatch: 'p': patching complete
5,3,3000000,-;livepatch: 'p': starting unpatching transition
 SUBSYSTEM=livepatch
7,4,4000000,-;livepatch: klp_try_switch_task: a: b is running:77 has an unreliable stack
5,5,18000000,-;livepatch: signaling remaining tasks
7,6,19000000,-;livepatch: klp_try_switch_task: nfsd:9 is sleeping on function nfsd
7,7,19000000,-;livepatch: klp_try_switch_task: crunch/1:88 is running
13,8,20000000,-;livepatch: 'p': starting unpatching transition
";

    #[test]
    fn reads_the_transition_under_way() {
        let log = Log::parse(LOG.as_bytes(), "p", false);
        assert_eq!((log.started, log.signalled), (Some(3.0), Some(18.0)));
        assert_eq!(log.said[&77], (4.0, Said::Unreliable));
        assert_eq!(log.said[&9], (19.0, Said::On("nfsd".to_string())));
        assert_eq!(log.said[&88], (19.0, Said::Running));
    }

    #[test]
    fn knows_no_start_of_another_direction_or_patch() {
        assert_eq!(Log::parse(LOG.as_bytes(), "p", true).started, None);
        assert_eq!(Log::parse(LOG.as_bytes(), "q", false).started, None);
        assert_eq!(Log::parse(b"", "p", true), Log::default());
    }

    #[test]
    fn never_panics() {
        for to in 0..LOG.len() {
            let _ = Log::parse(&LOG.as_bytes()[..to], "p", false);
            let _ = Log::parse(&LOG.as_bytes()[to..], "p", false);
        }
    }
}
