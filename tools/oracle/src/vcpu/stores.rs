// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Stores: to words that walks have read, and to where frames go on.

use super::Vcpu;
use crate::shared::shared;
use crate::truth::Kind;

impl Vcpu {
    /// A store: if a walk has read what it writes, it is to be made again.
    #[inline]
    pub fn stored(&mut self, address: u64, bytes: u64) {
        if self.stacks.iter().any(|stack| stack.contains(address, 1)) {
            self.stored_on_stack(address);
            if bytes > 8 {
                self.stored_on_stack(address + 8);
            }
        }
    }

    fn stored_on_stack(&mut self, address: u64) {
        if self.reads.first_has(address) {
            self.fresh = false;
        }
        // Callers are above the frame of this function.
        let own = self.chain.top().map_or(0, |frame| frame.sp);
        if (self.sp..own).contains(&address) && own - self.sp < self.places.thread_bytes {
            return;
        }
        if self.reads.others_have(address) {
            self.forget();
        }
    }

    /// Forgets what walks have said of callers.
    pub(super) fn forget(&mut self) {
        self.memos.clear();
        self.reads.forget_others();
        self.fresh = false;
    }

    /// Whether a store may tell where a frame goes on.
    #[inline]
    pub fn is_kept(&self, address: u64) -> bool {
        self.kept
            .iter()
            .any(|(at, _)| at.wrapping_sub(address).wrapping_add(16) <= 32)
    }

    /// A store to such a place.
    pub fn divert(&mut self, address: u64, value: u64) {
        let places = &self.kept;
        for (at, number) in places {
            let Some(frame) = self.chain.frames_mut().get_mut(*number) else {
                continue;
            };
            if frame.at != *at {
                continue;
            }
            if address == *at {
                frame.diverted = Some(value);
                self.fresh = false;
            } else if address + 16 == *at && frame.kind == Kind::Exception {
                frame.linked = Some(value);
                self.fresh = false;
            }
        }
    }

    /// The innermost frame goes on at what is kept at this address.
    pub(super) fn keep(&mut self, at: u64) {
        let number = self.chain.frames().len().wrapping_sub(1);
        if let Some(frame) = self.chain.frames_mut().last_mut() {
            frame.at = at;
        }
        self.kept.retain(|(_, other)| *other < number);
        self.kept.push((at, number));
    }

    /// Another call stack is this CPU's.
    pub(super) fn keep_again(&mut self) {
        self.kept.clear();
        for (number, frame) in self.chain.frames().iter().enumerate() {
            if frame.at != 0 {
                self.kept.push((frame.at, number));
            }
        }
    }

    /// `ftrace_caller` is entered: what it calls may send the task elsewhere.
    pub fn ftrace_caller(&mut self) {
        let (size, pc) = shared().offsets.ftrace_regs;
        self.keep(self.sp.wrapping_sub(size + 32).wrapping_add(pc));
    }
}
