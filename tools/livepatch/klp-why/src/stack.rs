// SPDX-License-Identifier: GPL-2.0 OR MIT

//! `/proc/*/task/*/stack`: the frames, and the verdict where the kernel gives one.

use std::fmt;

use crate::text::Shown;

/// A task's kernel stack, innermost frame first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stack {
    /// The frames.
    pub frames: Vec<Frame>,
    /// What a kernel with the ORC unwinder adds.
    pub verdict: Option<Verdict>,
}

/// The kernel shows no more than this many (`MAX_STACK_TRACE_DEPTH`), and does not say
/// that there are more.
const LONGEST: usize = 64;

/// Whether livepatch would believe the stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It would.
    Reliable,
    /// It would not.
    Unreliable {
        /// Why.
        reason: Shown,
        /// Where: a frame, in the kernel's notation.
        place: Shown,
    },
}

/// A place in a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The function's symbol; of code without one, its address.
    pub symbol: String,
    /// Bytes from its start.
    pub offset: u64,
    /// The module; nothing for vmlinux.
    pub module: Option<String>,
}

impl Stack {
    /// Parses the file. Lines that are neither a frame nor a verdict are no frames: a
    /// kernel may add what this program does not know.
    pub fn parse(file: &[u8]) -> Self {
        let text = String::from_utf8_lossy(file);
        let mut stack = Self::default();
        let mut lines = text.lines().peekable();
        while let Some(line) = lines.next() {
            match line
                .strip_prefix("[<")
                .and_then(|rest| rest.split_once(">] "))
            {
                Some((_, place)) => stack.frames.extend(Frame::parse(place)),
                None if lines.peek().is_none() => stack.verdict = Verdict::parse(line),
                None => {}
            }
        }
        stack
    }

    /// Whether frames may be missing at the outer end.
    pub fn may_be_cut(&self) -> bool {
        self.frames.len() >= LONGEST
    }

    /// The innermost frame that says what the task waits for: not the scheduler's own.
    pub fn waits_in(&self) -> Option<&Frame> {
        self.frames.iter().find(|frame| !frame.is_scheduler())
    }
}

impl Verdict {
    fn parse(line: &str) -> Option<Self> {
        if line == "reliable" {
            return Some(Self::Reliable);
        }
        let (reason, place) = line.strip_prefix("unreliable: ")?.rsplit_once(" at ")?;
        Some(Self::Unreliable {
            reason: reason.into(),
            place: without_size(place).as_str().into(),
        })
    }
}

/// `fn+0x1/0x2 [mod]` as `fn+0x1 [mod]`: the size says nothing to a person.
fn without_size(place: &str) -> String {
    match Frame::parse(place) {
        Some(frame) => frame.to_string(),
        None => place.to_string(),
    }
}

impl Frame {
    /// `fn+0x1/0x2`, `fn+0x1/0x2 [mod]`, or an address.
    fn parse(place: &str) -> Option<Self> {
        let place = place.trim_end();
        let (place, module) = match place.split_once(" [") {
            Some((place, module)) => (place, Some(module.strip_suffix(']')?)),
            None => (place, None),
        };
        let (symbol, offset) = match place.rsplit_once('+') {
            Some((symbol, offset)) => {
                let offset = offset.split('/').next()?.strip_prefix("0x")?;
                (symbol, u64::from_str_radix(offset, 16).ok()?)
            }
            None => (place, 0),
        };
        // `[mod build-id]` in kernels that print it.
        let module = module.and_then(|module| module.split(' ').next());
        Some(Self {
            symbol: symbol.to_string(),
            offset,
            module: module.map(str::to_string),
        })
    }

    fn is_scheduler(&self) -> bool {
        const SCHEDULER: [&str; 14] = [
            "__switch_to",
            "__switch_to_asm",
            "__schedule",
            "__schedule_loop",
            "schedule",
            "schedule_idle",
            "schedule_preempt_disabled",
            "schedule_timeout",
            "preempt_schedule",
            "preempt_schedule_common",
            "preempt_schedule_notrace",
            "preempt_schedule_irq",
            "__cond_resched",
            "io_schedule",
        ];
        self.module.is_none() && SCHEDULER.contains(&self.symbol.as_str())
    }
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Shown::from(self.symbol.as_str()))?;
        if !self.symbol.starts_with("0x") {
            write!(f, "+{:#x}", self.offset)?;
        }
        match &self.module {
            Some(module) => write!(f, " [{}]", Shown::from(module.as_str())),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(symbol: &str, offset: u64, module: Option<&str>) -> Frame {
        Frame {
            symbol: symbol.to_string(),
            offset,
            module: module.map(str::to_string),
        }
    }

    #[test]
    fn parses_frames() {
        let stack = Stack::parse(
            b"[<0>] __switch_to+0xe8/0x150\n[<0>] msleep+0x2c/0x44\n\
              [<0>] busymod_work_func+0x48/0x90 [test_klp_callbacks_busy]\n\
              [<0>] 0xffff800080012345\n[<ffffffff81000000>] old+0x1/0x2\n",
        );
        let busy = Some("test_klp_callbacks_busy");
        let expected = [
            frame("__switch_to", 0xe8, None),
            frame("msleep", 0x2c, None),
            frame("busymod_work_func", 0x48, busy),
            frame("0xffff800080012345", 0, None),
            frame("old", 1, None),
        ];
        assert_eq!(stack.frames, expected);
        assert_eq!(stack.verdict, None);
        assert_eq!(stack.waits_in(), Some(&expected[1]));
    }

    #[test]
    fn parses_verdicts() {
        let verdict = |text: &str| Stack::parse(text.as_bytes()).verdict;
        assert_eq!(verdict("reliable\n"), Some(Verdict::Reliable));
        assert_eq!(
            verdict("[<0>] f+0x1/0x2\nreliable\n"),
            Some(Verdict::Reliable)
        );
        assert_eq!(
            verdict("[<0>] f+0x1/0x2\nunreliable: unproved call frame information at g+0x100/0x200 [m]\n"),
            Some(Verdict::Unreliable {
                reason: "unproved call frame information".into(),
                place: "g+0x100 [m]".into(),
            })
        );
        assert_eq!(
            verdict("unreliable: no function at this address at 0xffff8000\n"),
            Some(Verdict::Unreliable {
                reason: "no function at this address".into(),
                place: "0xffff8000".into(),
            })
        );
        // Not the last line, or not in this form.
        assert_eq!(verdict("reliable\n[<0>] f+0x1/0x2\n"), None);
        assert_eq!(verdict("reliable?\n"), None);
        assert_eq!(verdict(""), None);
    }

    #[test]
    fn never_panics() {
        let text = b"[<0>] a+0x1/0x2 [m]\nunreliable: x at y+0x1/0x2 [m]\n";
        for from in 0..text.len() {
            for to in from..text.len() {
                let _ = Stack::parse(&text[from..to]);
            }
        }
        let huge = "[<0>] f+0xffffffffffffffffff/0x1\n";
        assert!(Stack::parse(huge.as_bytes()).frames.is_empty());
    }
}
