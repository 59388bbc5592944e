// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The true call stack of one task, from what was executed and nothing else.
//!
//! A call adds a frame, with the address it returns to and SP at the call. A frame
//! ends when control arrives at that address with that SP. An exception adds a
//! frame, too, with the address it interrupted; `eret` ends it. A jump changes
//! nothing: a tail call is entered with the return address of its caller.

/// What made a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A call.
    Call,
    /// An exception out of kernel code.
    Exception,
}

/// One frame of a task: what waits below the function that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What made it.
    pub kind: Kind,
    /// Where it goes on: after the call, or where it was interrupted.
    pub pc: u64,
    /// SP then.
    pub sp: u64,
    /// x29 at the call or the exception.
    pub fp: u64,
    /// x30 at the exception; the address called, after a call, is not known here.
    pub lr: u64,
    /// Where the address is kept that this frame will go on at, if it is known: the
    /// registers of an exception, or those of a function that ftrace holds up.
    pub at: u64,
    /// What was written there, if anything was.
    pub diverted: Option<u64>,
    /// What was written to the place of x30 beside it.
    pub linked: Option<u64>,
    /// How many points had been called reliable when this frame was made.
    pub judged: u64,
}

/// How a frame that did not go on as it should has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abnormal {
    /// The frame.
    pub frame: Frame,
    /// Where control went instead.
    pub target: u64,
}

/// What a return has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Returned {
    /// Ended the innermost frame.
    Frame,
    /// Was a jump: nothing has ended.
    Jump,
    /// Ended the innermost frame, and control went elsewhere.
    Diverted(Abnormal),
    /// Ended frames that never go on, and the one that they were called from.
    Skipped(Abnormal),
}

/// The frames of one task, the innermost last.
#[derive(Clone, Debug, Default)]
pub struct Chain {
    frames: Vec<Frame>,
}

/// More frames than a stack of 64 KiB can hold: truth is lost.
const MOST: usize = 4096;

impl Chain {
    /// The frames, the innermost last.
    #[must_use]
    pub fn frames(&self) -> &[Frame] {
        &self.frames
    }

    /// The innermost.
    #[must_use]
    pub fn top(&self) -> Option<&Frame> {
        self.frames.last()
    }

    /// The same, to note what was written for one.
    pub fn frames_mut(&mut self) -> &mut [Frame] {
        &mut self.frames
    }

    /// Nothing is on the stack: the task comes from user space, or has never run.
    pub fn clear(&mut self) {
        self.frames.clear();
    }

    /// Forgets the frames of the time before the kernel ran at its own addresses.
    pub fn forget_early(&mut self) {
        self.frames.retain(|frame| frame.sp >> 55 & 1 == 1);
    }

    /// Whether there are more frames than there can be.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.frames.len() > MOST
    }

    /// A call that will return to `pc`.
    pub fn call(&mut self, pc: u64, sp: u64, fp: u64, judged: u64) {
        self.frames.push(Frame {
            kind: Kind::Call,
            pc,
            sp,
            fp,
            lr: 0,
            at: 0,
            diverted: None,
            linked: None,
            judged,
        });
    }

    /// An exception that interrupted `pc`.
    pub fn exception(&mut self, pc: u64, sp: u64, fp: u64, lr: u64, judged: u64) {
        self.frames.push(Frame {
            kind: Kind::Exception,
            pc,
            sp,
            fp,
            lr,
            at: 0,
            diverted: None,
            linked: None,
            judged,
        });
    }

    /// A `ret` to `target` with this SP; `by_lr` when it goes by x30.
    ///
    /// Frames entered with one SP can be several: a call patched into a function's
    /// entry is one frame, its function the next. What returns for both (a BPF
    /// trampoline, a function put in place of another) ends both.
    pub fn ret(&mut self, target: u64, sp: u64, by_lr: bool) -> Returned {
        let same = self
            .frames
            .iter()
            .rev()
            .take_while(|frame| frame.kind == Kind::Call && frame.sp == sp);
        let mut seen = 0;
        for frame in same {
            seen += 1;
            if frame.pc == target {
                return self.end(seen, target);
            }
        }
        // ftrace_caller goes to another function, which returns for both.
        match !by_lr && seen >= 2 {
            true => {
                let frame = self.frames.pop();
                frame.map_or(Returned::Jump, |frame| {
                    Returned::Diverted(Abnormal { frame, target })
                })
            }
            false => Returned::Jump,
        }
    }

    fn end(&mut self, count: usize, target: u64) -> Returned {
        let innermost = self.frames.last().copied();
        self.frames.truncate(self.frames.len() - count);
        match innermost {
            Some(frame) if count > 1 => Returned::Skipped(Abnormal { frame, target }),
            _ => Returned::Frame,
        }
    }

    /// An `eret` to `target` in the kernel. Gives the frame of the exception, and
    /// how many calls inside it had not returned.
    pub fn eret(&mut self) -> Option<(Frame, usize)> {
        let at = self
            .frames
            .iter()
            .rposition(|frame| frame.kind == Kind::Exception)?;
        let frame = *self.frames.get(at)?;
        let unfinished = self.frames.len() - at - 1;
        self.frames.truncate(at);
        Some((frame, unfinished))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn call_and_return() {
        let mut chain = Chain::default();
        chain.call(0x104, 0x1000, 0x1010, 0);
        chain.call(0x204, 0xf00, 0xf10, 0);
        assert_eq!(chain.ret(0x204, 0xf00, true), Returned::Frame);
        assert_eq!(chain.top().map(|frame| frame.pc), Some(0x104));
    }

    #[test]
    fn return_to_a_tracer_is_a_jump() {
        let mut chain = Chain::default();
        chain.call(0x104, 0x1000, 0x1010, 0);
        assert_eq!(chain.ret(0x900, 0x1000, true), Returned::Jump);
        assert_eq!(chain.ret(0x104, 0x1000, true), Returned::Frame);
        assert!(chain.frames().is_empty());
    }

    #[test]
    fn same_address_at_another_depth_is_no_return() {
        let mut chain = Chain::default();
        chain.call(0x104, 0x1000, 0x1010, 0);
        chain.call(0x104, 0xf00, 0xf10, 0);
        assert_eq!(chain.ret(0x104, 0x1000, true), Returned::Jump);
        assert_eq!(chain.ret(0x104, 0xf00, true), Returned::Frame);
        assert_eq!(chain.frames().len(), 1);
    }

    /// A livepatch: ftrace_caller leaves by `ret x9` for the new function.
    #[test]
    fn diverted_call_ends_at_the_new_function() {
        let mut chain = Chain::default();
        chain.call(0x104, 0x1000, 0x1010, 0);
        chain.call(0x208, 0x1000, 0x1010, 0);
        let ended = chain.ret(0x900, 0x1000, false);
        assert!(
            matches!(ended, Returned::Diverted(Abnormal { frame, target: 0x900 }) if frame.pc == 0x208)
        );
        assert_eq!(chain.ret(0x104, 0x1000, true), Returned::Frame);
        assert!(chain.frames().is_empty());
    }

    /// A BPF trampoline that called the function itself returns for it.
    #[test]
    fn trampoline_returns_for_its_function() {
        let mut chain = Chain::default();
        chain.call(0x104, 0x1000, 0x1010, 0);
        chain.call(0x208, 0x1000, 0x1010, 0);
        assert!(matches!(
            chain.ret(0x104, 0x1000, true),
            Returned::Skipped(_)
        ));
        assert!(chain.frames().is_empty());
    }

    #[test]
    fn exception_is_a_border() {
        let mut chain = Chain::default();
        chain.call(0x104, 0x1000, 0x1010, 0);
        chain.exception(0x300, 0x1000, 0x1010, 0x104, 0);
        assert_eq!(chain.ret(0x104, 0x1000, true), Returned::Jump);
        chain.call(0x404, 0xe00, 0xe10, 0);
        let (frame, unfinished) = chain.eret().expect("an exception");
        assert_eq!((frame.pc, unfinished), (0x300, 1));
        assert_eq!(chain.ret(0x104, 0x1000, true), Returned::Frame);
    }
}
