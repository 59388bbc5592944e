// SPDX-License-Identifier: GPL-2.0

//! The shadow call stack of a walk: a second copy of return addresses.

use crate::bindings;
use core::marker::PhantomData;

/// The entries that belong to the functions on the stack being walked.
///
/// There are none in a kernel that keeps no shadow call stacks.
///
/// # Invariants
///
/// The first `nr_task` words at `raw.task` and `nr_irq` words at `raw.irq` are mapped, and
/// readable as plain memory, for all of `'a`.
pub struct Shadow<'a> {
    raw: bindings::unwind_orc_shadow,
    memory: PhantomData<&'a [u64]>,
}

impl Shadow<'_> {
    /// No entries.
    #[inline(always)]
    pub(super) fn none() -> Self {
        // INVARIANT: Of no words.
        Self {
            raw: bindings::unwind_orc_shadow::default(),
            memory: PhantomData,
        }
    }

    /// The entries for a walk of `task`; `None` if the start is on no shadow call stack that is
    /// known.
    ///
    /// # Safety
    ///
    /// `task` must be a valid task for all of `'a`, and `start` taken from it. If it is the
    /// current one and can't be preempted now, it must not become preemptible within `'a`: the
    /// shadow call stack of the CPU is then included.
    #[inline(always)]
    pub(super) unsafe fn of_task(
        task: *const bindings::task_struct,
        start: &bindings::unwind_orc_start,
    ) -> Option<Self> {
        let mut raw = bindings::unwind_orc_shadow::default();

        // SAFETY: `task` is valid by this function's requirements, and `raw` valid for writes.
        let known = unsafe { bindings::unwind_orc_shadow(task, start, &mut raw) };

        // INVARIANT: The C edge has checked that so many words lie within the shadow call stack
        // of the task, which lives as long as the task does, and of the CPU, which is never freed.
        known.then_some(Self {
            raw,
            memory: PhantomData,
        })
    }

    /// How many entries there are.
    #[inline(always)]
    pub fn entries(&self) -> u32 {
        self.raw.nr_task.saturating_add(self.raw.nr_irq)
    }

    /// The return address in entry `number`, 0 being the outermost function's.
    //
    // Always inlined, as `Stacks::read()` is, and for the same reason.
    #[inline(always)]
    pub fn entry(&self, number: u32) -> Option<u64> {
        let (base, index, entries) = match number.checked_sub(self.raw.nr_task) {
            None => (self.raw.task, number, self.raw.nr_task),
            Some(index) => (self.raw.irq, index, self.raw.nr_irq),
        };
        if index >= entries {
            return None;
        }

        // SAFETY: By the type invariants, `index` is of a word that is mapped for as long as `self`
        // lives. A task that ran meanwhile, although it should not, may be writing to it; as in
        // `Stacks::read()`, any value will do.
        Some(unsafe { base.add(index as usize).read_volatile() } as u64)
    }
}

#[cfg(CONFIG_UNWIND_ORC_KUNIT_TEST)]
#[macros::kunit_tests(rust_unwind_orc_shadow)]
mod tests {
    use super::*;

    #[test]
    fn entries_of_the_task_come_before_those_of_the_irq_stack() {
        let (task, irq) = ([1, 2], [3_usize]);
        // INVARIANT: Both outlive it.
        let shadow = Shadow {
            raw: bindings::unwind_orc_shadow {
                task: task.as_ptr(),
                irq: irq.as_ptr(),
                nr_task: 2,
                nr_irq: 1,
            },
            memory: PhantomData,
        };

        assert_eq!(shadow.entries(), 3);
        assert_eq!(shadow.entry(0), Some(1));
        assert_eq!(shadow.entry(1), Some(2));
        assert_eq!(shadow.entry(2), Some(3));
        assert_eq!(shadow.entry(3), None);
        assert_eq!(shadow.entry(u32::MAX), None);
    }

    #[test]
    fn there_may_be_none() {
        assert_eq!(Shadow::none().entries(), 0);
        assert_eq!(Shadow::none().entry(0), None);
    }
}
