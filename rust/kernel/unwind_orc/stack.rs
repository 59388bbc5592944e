// SPDX-License-Identifier: GPL-2.0

//! The stacks a walk may look at, and the one place that reads them.
//!
//! The C edge says where the stacks are; a walker asks for single words by address. An address
//! comes from the stack being walked and is not to be trusted, so each read is checked.

use crate::{
    bindings,
    prelude::*, //
};
use core::{
    marker::PhantomData,
    mem::offset_of,
    ptr, //
};

/// The most stacks a walk can know: task, IRQ and overflow.
pub const MAX_STACKS: usize = bindings::UNWIND_ORC_MAX_STACKS as usize;

/// The size of a word, in bytes.
const SIZE: u64 = size_of::<u64>() as u64;

/// The addresses of one stack, from `low` up to, but not including, `high`.
///
/// Both are 0 for a stack that is not there or may not be looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct StackRange {
    /// The lowest address of the stack.
    pub low: u64,
    /// The address just above the stack.
    pub high: u64,
}

// It is filled in by C.
const _: () = assert!(
    size_of::<StackRange>() == size_of::<bindings::stack_info>()
        && offset_of!(StackRange, low) == offset_of!(bindings::stack_info, low)
        && offset_of!(StackRange, high) == offset_of!(bindings::stack_info, high)
);

impl StackRange {
    /// Whether `size` bytes at `address` lie on this stack.
    #[inline(always)]
    fn contains(&self, address: u64, size: u64) -> bool {
        match address.checked_add(size) {
            Some(end) => self.low <= address && end <= self.high,
            None => false,
        }
    }
}

/// The stacks of one walk, the task's own first.
///
/// # Invariants
///
/// All memory of each of `ranges` is mapped, and readable as plain memory, for all of `'a`.
pub struct Stacks<'a> {
    ranges: [StackRange; MAX_STACKS],
    memory: PhantomData<&'a [u64]>,
}

impl Stacks<'_> {
    /// No stack at all.
    #[inline(always)]
    pub(super) fn none() -> Self {
        // INVARIANT: Empty ranges have no memory.
        Self {
            ranges: [StackRange::default(); MAX_STACKS],
            memory: PhantomData,
        }
    }

    /// Makes these the stacks that the current context may walk for `task`.
    ///
    /// # Safety
    ///
    /// `task` must be a valid task that owns a stack for all of `'a`. If it is the current one and
    /// can't be preempted now, it must not become preemptible within `'a`: the stacks of the CPU
    /// are then included.
    #[inline(always)]
    pub(super) unsafe fn fill(&mut self, task: *const bindings::task_struct) {
        // INVARIANT: The C edge names the stack of the task, which by this function's requirements
        // is there for all of `'a`, and stacks of the CPU, which are never freed.
        //
        // SAFETY: `task` is valid by this function's requirements, and `ranges` has as many elements
        // as the function may fill in. Its elements have the layout of `struct stack_info`, and
        // there is no value that they can't have.
        let found = unsafe { bindings::unwind_orc_stacks(task, self.ranges.as_mut_ptr().cast()) };

        for (number, range) in self.ranges.iter_mut().enumerate() {
            // `stackinfo_get_unknown()` has no lower end.
            if number >= found as usize || range.low == 0 {
                *range = StackRange::default();
            }
        }
    }

    /// The stacks, the task's own first.
    #[inline(always)]
    pub fn ranges(&self) -> &[StackRange; MAX_STACKS] {
        &self.ranges
    }

    /// Whether all of so many words at `address` may be read: it is aligned, and they lie on one of
    /// the stacks.
    #[inline(always)]
    fn is_readable(&self, address: u64, words: u64) -> bool {
        let [task, irq, overflow] = &self.ranges;
        let bytes = words * SIZE;

        // Most are on the first. Not by an iterator, which would be a call.
        address % SIZE == 0
            && (task.contains(address, bytes)
                || irq.contains(address, bytes)
                || overflow.contains(address, bytes))
    }

    /// Reads the words at `address` and above it, as [`Stacks::read`] does one.
    #[inline(always)]
    pub fn read_two(&self, address: u64) -> Option<[u64; 2]> {
        if !self.is_readable(address, 2) {
            return None;
        }
        let word: *const u64 = ptr::with_exposed_provenance(address as usize);

        // SAFETY: Both words are aligned and lie within one of `ranges`; as in `read()`.
        Some(unsafe { [word.read_volatile(), word.add(1).read_volatile()] })
    }

    /// Reads the word at `address`, if it is aligned and all of it lies on one of the stacks.
    ///
    /// A task that ran meanwhile, although it should not, may write to its stack: any word that
    /// was there is then returned. What a walker makes of it is wrong, but harmless.
    //
    // Always inlined, so that it is compiled as part of the walker, which is not instrumented:
    // KASAN would take reads of the redzones between other functions' variables for faults.
    #[inline(always)]
    pub fn read(&self, address: u64) -> Option<u64> {
        if !self.is_readable(address, 1) {
            return None;
        }
        let word: *const u64 = ptr::with_exposed_provenance(address as usize);

        // SAFETY: `word` is aligned and lies within one of `ranges`, which by the type invariants
        // are mapped for as long as `self` lives. Every bit pattern is a valid `u64`. The owner of
        // the stack may be writing to it; a volatile read of an aligned word is `READ_ONCE()`,
        // which the kernel's memory model allows to race, and nothing is assumed of its value.
        Some(unsafe { word.read_volatile() })
    }
}

#[cfg(CONFIG_UNWIND_ORC_KUNIT_TEST)]
#[macros::kunit_tests(rust_unwind_orc_stack)]
mod tests {
    use super::*;
    use crate::task::Task;

    #[test]
    fn reads_whole_words_of_the_stack_and_nothing_else() {
        let mut stacks = Stacks::none();
        // SAFETY: The current task owns a stack, at least until the end of this test. A test can be
        // preempted, so no stack of the CPU is included.
        unsafe { stacks.fill(Task::current_raw()) };
        let StackRange { low, high } = stacks.ranges()[0];

        assert!(low != 0);
        assert!(stacks.read(low).is_some());
        assert!(stacks.read(high - 8).is_some());

        assert!(stacks.read_two(low).is_some());
        assert!(stacks.read_two(high - 16).is_some());
        assert!(stacks.read_two(high - 8).is_none());
        assert!(stacks.read_two(low - 8).is_none());

        assert!(stacks.read(low - 8).is_none());
        assert!(stacks.read(high).is_none());
        assert!(stacks.read(low + 4).is_none());
        assert!(stacks.read(high - 4).is_none());
        assert!(stacks.read(0).is_none());
        assert!(stacks.read(u64::MAX - 7).is_none());
    }

    #[test]
    fn reads_what_is_there() {
        let word = 0x0123_4567_89ab_cdef_u64;
        let address = ptr::from_ref(core::hint::black_box(&word)).expose_provenance() as u64;
        let mut stacks = Stacks::none();
        // SAFETY: As above.
        unsafe { stacks.fill(Task::current_raw()) };

        assert_eq!(stacks.read(address), Some(word));
    }

    #[test]
    fn reads_nothing_where_there_is_no_stack() {
        let stacks = Stacks::none();

        assert!(stacks.read(0).is_none());
        assert!(stacks.read(8).is_none());
        assert!(stacks.read_two(8).is_none());
    }
}
