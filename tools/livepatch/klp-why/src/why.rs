// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Why one task has not switched, and what has to happen before it does.
//!
//! Each answer says what the two looks show, and no more. Livepatch switches a task
//! that is off its CPU with a reliable stack and none of the functions on it (it looks
//! each second), and one that goes from the kernel to user space.

use serde::Serialize;

use crate::log::{Log, Said};
use crate::look::{Look, Motion, StackFile};
use crate::replaced::{Hit, Match, Replaced};
use crate::stack::{Frame, Stack, Verdict};
use crate::stat::State;
use crate::text::{duration, Shown};

/// Why a task has not switched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// It is in a function that is being replaced.
    OnFunction,
    /// The kernel takes its stack as unreliable.
    Unreliable,
    /// It runs in the kernel, and was not off its CPU.
    RunsInKernel,
    /// It runs in user space, and has not entered the kernel.
    RunsInUser,
    /// It runs or sleeps at other places each time.
    Moves,
    /// Nothing holds it up: livepatch has only not looked since.
    NextLook,
    /// It is off its CPU, and the kernel does not say what holds it up.
    NotSaid,
    /// Its stack can't be read here.
    NoStack,
}

impl Reason {
    /// All, in the order of the table of metrics.
    pub const ALL: [Self; 8] = [
        Self::OnFunction,
        Self::Unreliable,
        Self::RunsInKernel,
        Self::RunsInUser,
        Self::Moves,
        Self::NextLook,
        Self::NotSaid,
        Self::NoStack,
    ];

    /// One word, as in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::OnFunction => "on_function",
            Self::Unreliable => "unreliable",
            Self::RunsInKernel => "runs_in_kernel",
            Self::RunsInUser => "runs_in_user",
            Self::Moves => "moves",
            Self::NextLook => "next_look",
            Self::NotSaid => "not_said",
            Self::NoStack => "no_stack",
        }
    }
}

/// Whether it will end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ends {
    /// Not while things stay as they are: somebody has to change them.
    NotWhile,
    /// Not known.
    Unknown,
    /// When what is named happens.
    When,
    /// Livepatch itself brings it about.
    ByItself,
}

/// The answer about one task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Why {
    /// In a word.
    pub reason: Reason,
    /// In a sentence.
    pub text: String,
    /// The place on its stack that the answer is about.
    pub place: Option<Frame>,
    /// Whether that is certainly a function that is replaced.
    pub sure: Option<Match>,
    /// Whether it will end.
    pub ends: Ends,
    /// When, in a sentence.
    pub when: String,
}

/// What is known beside the looks at the task.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// What holds tasks up.
    pub replaced: &'a Replaced,
    /// What the kernel has said.
    pub log: &'a Log,
    /// The time of the second look, by the log's clock.
    pub now: Option<f64>,
    /// Seconds between the looks.
    pub apart: f64,
    /// Seconds that the task has not switched, if known.
    pub pending: Option<f64>,
    /// Livepatch signals when it is asked to, and not by itself (kernels 4.15 to 5.0).
    pub signals_when_asked: bool,
}

/// A task that livepatch has looked for this often without finding it off its CPU has
/// not merely been unlucky.
const LOOKS_MISSED_SECONDS: f64 = 5.0;

/// What livepatch says of a task each second is out of date after this.
const SAID_FRESH_SECONDS: f64 = 3.0;

/// Says why, from two looks at a task that had not switched at either.
pub fn why(tid: u32, first: &Look, second: &Look, tickless: bool, context: &Context) -> Why {
    let motion = Motion::between(first, second, context.apart, tickless);
    let subject = Subject {
        look: second,
        motion,
        context,
    };
    match motion {
        Motion::OnCpu { user } => subject.on_cpu(user),
        _ => subject.off_cpu(said(tid, context)),
    }
}

fn said<'a>(tid: u32, context: &'a Context) -> Option<&'a Said> {
    let (seconds, said) = context.log.said.get(&tid)?;
    (context.now? - seconds <= SAID_FRESH_SECONDS).then_some(said)
}

struct Subject<'a> {
    look: &'a Look,
    motion: Motion,
    context: &'a Context<'a>,
}

impl Subject<'_> {
    fn on_cpu(&self, user: bool) -> Why {
        let cpu = self.look.stat.cpu;
        if user && !self.look.stat.is_kernel_thread() {
            return answer(
                Reason::RunsInUser,
                format!("runs in user space on CPU {cpu}"),
                Ends::ByItself,
                "when it next enters the kernel, or at livepatch's signal",
            );
        }
        let text = format!("runs in the kernel on CPU {cpu}, never off it");
        if !self.look.stat.is_kernel_thread() {
            let when = "when it returns to user space";
            return answer(Reason::RunsInKernel, text, Ends::When, when);
        }
        // Five looks of livepatch's can't have missed what has not run for so long.
        let ran = self.look.seconds_on_cpu();
        match self.context.pending {
            Some(seconds) if seconds.min(ran) >= LOOKS_MISSED_SECONDS => {
                let when = format!("not while it has CPU {cpu} to itself");
                answer(Reason::RunsInKernel, text, Ends::NotWhile, &when)
            }
            _ => {
                let when = format!("when it is off CPU {cpu} as livepatch looks");
                answer(Reason::RunsInKernel, text, Ends::When, &when)
            }
        }
    }

    fn off_cpu(&self, said: Option<&Said>) -> Why {
        if self.look.stat.state == State::Dead {
            let when = "at livepatch's next look: it has no stack any more";
            return answer(
                Reason::NextLook,
                "has ended".to_string(),
                Ends::ByItself,
                when,
            );
        }
        let Some(stack) = self.look.stack() else {
            return self.without_stack(said);
        };
        let hit = self.context.replaced.find(&stack.frames);
        let refused = matches!(stack.verdict, Some(Verdict::Unreliable { .. }));
        // What is certain comes before what may be.
        if let Some(hit) = hit.filter(|hit| hit.sure == Match::Replaced || !refused) {
            return self.on_function(&hit, stack);
        }
        if let Some(Said::On(function)) = said {
            return self.said_on(function, stack);
        }
        if self.motion == Motion::Moved || self.motion == Motion::Unclear {
            return self.moves(stack);
        }
        match (&stack.verdict, said) {
            (Some(Verdict::Unreliable { reason, place }), _) => {
                self.unreliable(format!("unreliable: {reason} at {place}"), stack)
            }
            (None, Some(Said::Unreliable)) => {
                let at = stack.waits_in().map(|frame| format!(" (in {frame})"));
                let text = format!("unreliable, says livepatch{}", at.unwrap_or_default());
                self.unreliable(text, stack)
            }
            (Some(Verdict::Reliable), _) if !stack.may_be_cut() => {
                let text = format!("{}, none of it replaced", self.does(stack.waits_in()));
                let when = "at livepatch's next look (each second), if still there";
                answer(Reason::NextLook, text, Ends::When, when).at(stack.waits_in())
            }
            _ => self.not_said(stack),
        }
    }

    fn on_function(&self, hit: &Hit, stack: &Stack) -> Why {
        let what = match hit.sure {
            Match::Replaced => "replaced",
            Match::SameName => "replaced, or one of its name is",
            Match::PatchCode => "code of the patch it leaves",
        };
        let text = format!("{} ({what})", self.does(Some(&hit.frame)));
        let (ends, when) = match (hit.main, self.look.stat.state) {
            _ if self.motion == Motion::Moved || self.motion == Motion::Unclear => (
                Ends::When,
                "when livepatch finds it off its CPU and out of it".to_string(),
            ),
            (true, _) if hit.sure == Match::Replaced => (
                Ends::NotWhile,
                "not before this kernel thread ends: it is its main function".to_string(),
            ),
            (true, _) => (
                Ends::Unknown,
                "if so, not before this kernel thread ends".to_string(),
            ),
            (_, State::Stopped) if hit.sure == Match::Replaced => (
                Ends::NotWhile,
                "not while it is stopped; then when it returns from it".to_string(),
            ),
            (_, State::Stopped) => (Ends::Unknown, "if so, not while it is stopped".to_string()),
            _ => (
                Ends::When,
                format!("when it returns from it{}", self.sleep(stack)),
            ),
        };
        Why {
            sure: Some(hit.sure),
            ..answer(Reason::OnFunction, text, ends, &when).at(Some(&hit.frame))
        }
    }

    /// The kernel names a function that is not on the stack as it is shown: by another
    /// name, or beyond its end.
    fn said_on(&self, function: &str, stack: &Stack) -> Why {
        let function = Shown::from(function);
        let text = format!("in {function} (replaced), says livepatch");
        let when = format!("when it returns from it{}", self.sleep(stack));
        answer(Reason::OnFunction, text, Ends::When, &when)
    }

    fn unreliable(&self, text: String, stack: &Stack) -> Why {
        let when = match self.look.stat.state {
            State::Runnable => "when it is off its CPU at another place".to_string(),
            State::Stopped => {
                let when = "not while it is stopped";
                return answer(Reason::Unreliable, text, Ends::NotWhile, when).at(stack.waits_in());
            }
            _ => format!("when it leaves this place{}", self.sleep(stack)),
        };
        answer(Reason::Unreliable, text, Ends::When, &when).at(stack.waits_in())
    }

    fn moves(&self, stack: &Stack) -> Why {
        let place = stack.waits_in();
        let text = match place {
            Some(frame) => format!("moves; now in {frame}"),
            None => "moves".to_string(),
        };
        let when = match self.look.stat.is_kernel_thread() {
            true => "when livepatch finds it off its CPU, its stack reliable",
            false => "when it returns to user space",
        };
        answer(Reason::Moves, text, Ends::When, when).at(place)
    }

    fn not_said(&self, stack: &Stack) -> Why {
        let bpf = stack.frames.iter().find(|frame| {
            frame.symbol.starts_with("bpf_trampoline_") || frame.symbol.starts_with("bpf_prog_")
        });
        let does = self.does(stack.waits_in());
        let text = if let Some(bpf) = bpf {
            format!("{does}; none of it replaced, but BPF is on it: {bpf}")
        } else if stack.may_be_cut() {
            format!("{does}; its stack is longer than is shown")
        } else if stack.frames.is_empty() {
            "its stack is empty as shown".to_string()
        } else {
            format!("{does}; none of it replaced")
        };
        let when = "not known: this kernel does not say (see --help on dynamic debug)";
        answer(Reason::NotSaid, text, Ends::Unknown, when).at(stack.waits_in())
    }

    fn without_stack(&self, said: Option<&Said>) -> Why {
        let why = match self.look.stack {
            StackFile::Denied => "its stack is for root to read",
            _ => "this kernel shows no stacks",
        };
        match said {
            Some(Said::On(function)) => self.said_on(function, &Stack::default()),
            Some(Said::Unreliable) => {
                let text = "unreliable, says livepatch".to_string();
                self.unreliable(text, &Stack::default())
            }
            _ => answer(Reason::NoStack, why.to_string(), Ends::Unknown, "not known"),
        }
    }

    /// `sleeps in F`, and the like.
    fn does(&self, frame: Option<&Frame>) -> String {
        let does = match (self.motion, self.look.stat.state) {
            (Motion::Moved, _) => "is now",
            (Motion::Unclear, _) => "is runnable",
            (_, State::Runnable) => "waits for a CPU",
            (_, State::Stopped) => "is stopped",
            (_, State::Parked) => "is parked",
            _ => "sleeps",
        };
        match frame {
            Some(frame) => format!("{does} in {frame}"),
            None => does.to_string(),
        }
    }

    /// What is known about the end of its sleep.
    fn sleep(&self, stack: &Stack) -> String {
        let place = stack.waits_in();
        let timer = place.filter(|frame| is_timer(frame));
        if let Some(frame) = timer {
            let symbol = Shown::from(frame.symbol.as_str());
            return format!("; in {symbol}, wakes by itself");
        }
        match self.look.stat.state {
            State::Interruptible => {
                let signal = match self.look.stat.is_kernel_thread() {
                    true => "wake-up",
                    false => "signal",
                };
                match (self.context.log.signalled, self.context.now) {
                    (Some(then), Some(now)) if now - then >= 1.0 => {
                        let ago = duration(now - then);
                        format!("; livepatch's {signal} {ago} ago did not do it")
                    }
                    _ if self.context.signals_when_asked => {
                        format!("; livepatch's {signal} (--nudge) ends its sleep")
                    }
                    _ => format!("; livepatch's {signal} (each 15 s) ends its sleep"),
                }
            }
            State::Uninterruptible => match place {
                Some(frame) => {
                    let symbol = Shown::from(frame.symbol.as_str());
                    format!("; in {symbol}, which no signal ends")
                }
                None => "; no signal ends its sleep".to_string(),
            },
            _ => String::new(),
        }
    }
}

/// Sleeps that a timer ends, whatever else may. (`schedule_timeout()` may have none.)
fn is_timer(frame: &Frame) -> bool {
    const TIMERS: [&str; 5] = [
        "msleep",
        "msleep_interruptible",
        "usleep_range_state",
        "do_nanosleep",
        "hrtimer_nanosleep",
    ];
    frame.module.is_none() && TIMERS.contains(&frame.symbol.as_str())
}

fn answer(reason: Reason, text: String, ends: Ends, when: &str) -> Why {
    Why {
        reason,
        text,
        place: None,
        sure: None,
        ends,
        when: when.to_string(),
    }
}

impl Why {
    fn at(mut self, place: Option<&Frame>) -> Self {
        self.place = place.cloned();
        self
    }
}
