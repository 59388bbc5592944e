// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The command line.

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::{ArgGroup, CommandFactory as _, Parser};

use crate::error::Error;
use crate::history::History;
use crate::livepatch;
use crate::metrics;
use crate::module;
use crate::observe::{observe, Looks};
use crate::output::replace;
use crate::preflight;
use crate::report::{Report, SCHEMA_HELP};
use crate::roots::Roots;
use crate::table;

/// Says which tasks a live patch waits for, why, and whether that will end
///
/// A live patch is in transition until every task has switched to the new code, or back.
/// Livepatch switches a task that it finds asleep, or preempted, with a reliable stack
/// and none of the replaced functions on it, and one that returns to user space. This
/// program looks twice at the tasks that have not switched, and says what holds each up.
///
/// It reads /sys/kernel/livepatch, /proc and /dev/kmsg, and changes nothing (but for
/// --nudge). The stacks, and which tasks have switched, are for root to read.
#[derive(Debug, Parser)]
#[command(name = "klp-why", version, after_help = EXIT_STATUS, after_long_help = long_help())]
#[command(group = ArgGroup::new("mode"))]
struct Arguments {
    /// Look again each second, until the transition has ended
    #[arg(long, group = "mode")]
    watch: bool,

    /// Return when no transition is under way, or print the table after this many seconds
    ///
    /// No more than sysfs is read meanwhile, unless there is a --history or a
    /// --prometheus file to write. To wait takes no root.
    #[arg(long, value_name = "SECONDS", group = "mode", value_parser = seconds)]
    wait: Option<Duration>,

    /// Say what these patches would have to wait for, before they are loaded
    ///
    /// The functions they replace are found by the modules' relocations. Stacks are
    /// looked at --samples times, --interval apart.
    #[arg(long, value_name = "PATCH.ko", num_args = 1.., group = "mode")]
    preflight: Vec<PathBuf>,

    /// Have livepatch signal the remaining tasks now
    ///
    /// Kernels from 4.15 to 5.0 have /sys/kernel/livepatch/PATCH/signal for this, which 1
    /// is written to. Later ones send the same signals by themselves, each 15 seconds,
    /// and have no way to ask for them: then nothing is sent, and the status is 2. No
    /// other signal is ever sent.
    #[arg(long, group = "mode")]
    nudge: bool,

    /// Print JSON; with --watch, one line for each look
    #[arg(long)]
    json: bool,

    /// Also write metrics for node_exporter's textfile collector, whole or not at all
    #[arg(long, value_name = "FILE")]
    prometheus: Option<PathBuf>,

    /// Also append what held the transition up, and for how long: a line of JSON a task
    #[arg(long, value_name = "FILE")]
    history: Option<PathBuf>,

    /// List all tasks, not the first 20
    #[arg(long)]
    all: bool,

    /// Milliseconds between two looks
    #[arg(long, value_name = "MS", default_value = "100", value_parser = milliseconds)]
    interval: Duration,

    /// How often --preflight looks
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..))]
    samples: u16,

    /// Print completions for a shell
    #[arg(long, value_name = "SHELL", group = "mode")]
    completions: Option<clap_complete::Shell>,

    /// Print the manual page
    #[arg(long, group = "mode")]
    man: bool,

    /// Take each look below one of these directories, and not below /
    #[arg(long, hide = true)]
    root: Vec<PathBuf>,
}

const EXIT_STATUS: &str = "\
Exit status: 0 no transition, or it has ended; 1 waiting; 2 can't tell (what is
missing is said); 3 some task will not switch while things stay as they are.";

fn long_help() -> String {
    format!(
        "{EXIT_STATUS}

With --preflight: 0 nothing was in the way, 1 something was, 2 can't tell, 3 it is the
main function of a kernel thread.

{DYNAMIC_DEBUG}

{SCHEMA_HELP}

Examples:
  klp-why
  klp-why --watch
  klp-why --wait 60 && echo done
  klp-why --json | jq '.transition.blocked[] | [.tid, .reason, .function]'
  klp-why --prometheus /var/lib/node_exporter/klp.prom >/dev/null
  klp-why --preflight livepatch-cve.ko"
    )
}

const DYNAMIC_DEBUG: &str = "\
Where the kernel has no ORC unwinder, /proc/PID/stack does not say that a stack is
unreliable. Livepatch itself says it in the log when asked to, each second, and this
program reads it there:
  echo 'func klp_try_switch_task +p' >/sys/kernel/debug/dynamic_debug/control";

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number".to_string())?;
    Duration::try_from_secs_f64(seconds).map_err(|e| e.to_string())
}

fn milliseconds(text: &str) -> Result<Duration, String> {
    let milliseconds: u32 = text.parse().map_err(|_| "not a number".to_string())?;
    Ok(Duration::from_millis(milliseconds.into()))
}

/// Runs what the arguments of the process ask for. Returns the exit status.
pub fn run() -> u8 {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version go to standard output and are no failure.
            let code = if error.use_stderr() { 2 } else { 0 };
            let _ = error.print();
            return code;
        }
    };
    arguments.run().unwrap_or_else(|error| {
        eprintln!("klp-why: {error}");
        2
    })
}

impl Arguments {
    fn run(&self) -> Result<u8, Error> {
        let looks = Looks::at(match self.root.is_empty() {
            true => vec![Roots::default()],
            false => self.root.iter().map(Roots::at).collect(),
        });
        if let Some(shell) = self.completions {
            let mut out = Vec::new();
            clap_complete::generate(shell, &mut Self::command(), "klp-why", &mut out);
            return print(&out).map(|_| 0);
        }
        if self.man {
            let mut out = Vec::new();
            let man = clap_mangen::Man::new(Self::command()).section("8");
            man.render(&mut out)
                .map_err(Error::io("klp-why.8".as_ref()))?;
            return print(&out).map(|_| 0);
        }
        if self.nudge {
            return nudge(&looks.next());
        }
        if !self.preflight.is_empty() {
            return self.preflight(&looks);
        }
        let mut history = self.history.as_deref().map(History::new);
        let status = match (self.watch, self.wait) {
            (true, _) => self.watch(&looks, history.as_mut()),
            (_, Some(limit)) => self.wait(&looks, limit, history.as_mut()),
            _ => {
                let report = self.look(&looks, history.as_mut())?;
                self.show(&report)?;
                Ok(report.exit_status)
            }
        };
        if let Some(history) = &mut history {
            history.end()?;
        }
        status
    }

    /// Looks, and writes the files that were asked for.
    fn look(&self, looks: &Looks, history: Option<&mut History>) -> Result<Report, Error> {
        let report = observe(looks, self.interval)?;
        if let Some(file) = &self.prometheus {
            replace(file, &metrics::text(&report))?;
        }
        if let Some(history) = history {
            history.add(&report)?;
        }
        Ok(report)
    }

    fn rows(&self) -> usize {
        if self.all {
            usize::MAX
        } else {
            table::ROWS
        }
    }

    fn show(&self, report: &Report) -> Result<Reader, Error> {
        match self.json {
            true => print(&json(report, self.watch)?),
            false => print(table::text(report, self.rows()).as_bytes()),
        }
    }

    /// Until the transition has ended, or the reader has gone.
    fn watch(&self, looks: &Looks, mut history: Option<&mut History>) -> Result<u8, Error> {
        let terminal = std::io::stdout().is_terminal() && !self.json;
        loop {
            let start = Instant::now();
            let report = self.look(looks, history.as_deref_mut())?;
            if terminal {
                print(b"\x1b[H\x1b[J")?;
            }
            if let (Some(transition), false) = (&report.transition, self.json) {
                print(table::bar(transition, 50).as_bytes())?;
            }
            let reader = self.show(&report)?;
            if report.transition.is_none() || reader == Reader::Gone {
                return Ok(report.exit_status);
            }
            std::thread::sleep(Duration::from_secs(1).saturating_sub(start.elapsed()));
        }
    }

    fn wait(
        &self,
        looks: &Looks,
        limit: Duration,
        mut history: Option<&mut History>,
    ) -> Result<u8, Error> {
        /// How late the end is seen.
        const POLL: Duration = Duration::from_millis(50);
        let start = Instant::now();
        let mut looked: Option<Instant> = None;
        let writes = self.prometheus.is_some() || self.history.is_some();
        while livepatch::in_transition(&looks.next())? {
            let left = limit.saturating_sub(start.elapsed());
            if left.is_zero() {
                let report = self.look(looks, history)?;
                self.show(&report)?;
                return Ok(report.exit_status);
            }
            if writes && looked.is_none_or(|looked| looked.elapsed() >= Duration::from_secs(1)) {
                looked = Some(Instant::now());
                self.look(looks, history.as_deref_mut())?;
            }
            std::thread::sleep(POLL.min(left));
        }
        if writes || self.json {
            let report = self.look(looks, history)?;
            if self.json {
                self.show(&report)?;
            }
        }
        Ok(0)
    }

    fn preflight(&self, looks: &Looks) -> Result<u8, Error> {
        let mut functions = Vec::new();
        for module in &self.preflight {
            functions.extend(module::functions(module)?);
        }
        let samples = usize::from(self.samples);
        let found = preflight::run(&functions, looks, samples, self.interval)?;
        match self.json {
            true => print(&json(&found, false)?)?,
            false => print(preflight::text(&found, self.rows()).as_bytes())?,
        };
        Ok(found.exit_status)
    }
}

/// Has livepatch signal, where it can be asked to.
fn nudge(roots: &Roots) -> Result<u8, Error> {
    let patches = livepatch::read_all(roots)?;
    let Some(patch) = patches.iter().find(|patch| patch.transition) else {
        print(b"no transition is under way: nothing was sent\n")?;
        return Ok(0);
    };
    let file = roots.signal(&patch.name);
    if !file.exists() {
        let what = "this kernel signals the remaining tasks by itself, each 15 seconds, and \
                    can't be asked to: nothing was sent";
        return Err(Error::Usage(what.to_string()));
    }
    // Not created: sysfs has it, or nobody has.
    let signal = std::fs::OpenOptions::new().write(true).open(&file);
    let mut signal = signal.map_err(Error::io(&file))?;
    signal.write_all(b"1\n").map_err(Error::io(&file))?;
    print(b"livepatch has signalled the remaining tasks\n")?;
    Ok(1)
}

fn json(output: &impl serde::Serialize, line: bool) -> Result<Vec<u8>, Error> {
    let json = match line {
        true => serde_json::to_vec(output),
        false => serde_json::to_vec_pretty(output),
    };
    let mut json = json.map_err(|e| Error::Usage(e.to_string()))?;
    json.push(b'\n');
    Ok(json)
}

/// Whether somebody reads what is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reader {
    Here,
    Gone,
}

/// Prints to standard output. A reader that has gone away (`| head`) is no error.
fn print(text: &[u8]) -> Result<Reader, Error> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text).and_then(|()| out.flush()) {
        Ok(()) => Ok(Reader::Here),
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(Reader::Gone),
        Err(e) => Err(Error::io("standard output".as_ref())(e)),
    }
}
