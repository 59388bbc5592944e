// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Return addresses that tracers have replaced, read from where the guest keeps them.
//!
//! This is the oracle's own: the kernel has its in `recover.c`, which does not run
//! here. It follows the same rule (each kept address in order, once), but shares no
//! line of code.

use crate::memory::Space;

use orc::reason::Reason;

/// Where things are in the guest's structures. Zero where the guest has none.
#[derive(Clone, Copy, Debug, Default)]
pub struct Layout {
    /// `ret_stack` in `struct task_struct`.
    pub ret_stack: u64,
    /// `curr_ret_stack` there.
    pub curr_ret_stack: u64,
    /// `ret` in `struct ftrace_ret_stack`.
    pub graph_ret: u64,
    /// `retp` there.
    pub graph_retp: u64,
    /// `kretprobe_instances` in `struct task_struct`.
    pub kretprobes: u64,
    /// `llist` in `struct kretprobe_instance`.
    pub kretprobe_next: u64,
    /// `ret_addr` there.
    pub kretprobe_ret: u64,
    /// `fp` there.
    pub kretprobe_fp: u64,
    /// `ftrace_caller_return`, or zero.
    pub ftrace_return: u64,
    /// `return_to_handler`, or zero.
    pub return_to_handler: u64,
    /// Its end.
    pub return_to_handler_end: u64,
    /// `__kretprobe_trampoline`, or zero.
    pub trampoline: u64,
}

/// Bits of a word of the graph tracer's stack that say how far back its entry is.
const FRAME_OFFSET: u64 = 0x3ff;

/// What a walk has used of the kept addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// The word before which the graph tracer's next entry ends.
    graph: Option<u64>,
    /// The last kretprobe instance used.
    kretprobe: Option<u64>,
}

struct Entry {
    ret: u64,
    fp: u64,
    rest: u64,
}

impl Kept {
    /// The address that was replaced by `pc`, or `pc`.
    pub fn recover(
        &mut self,
        space: &mut Space,
        layout: &Layout,
        task: u64,
        pc: u64,
        fp: u64,
    ) -> Result<u64, Reason> {
        if pc == layout.return_to_handler && pc != 0 {
            return self
                .graph(space, layout, task, fp)
                .ok_or(Reason::FgraphLost);
        }
        if pc == layout.trampoline && pc != 0 {
            return self
                .kretprobe(space, layout, task, fp)
                .ok_or(Reason::KretprobeLost);
        }
        Ok(pc)
    }

    fn graph(&mut self, space: &mut Space, layout: &Layout, task: u64, fp: u64) -> Option<u64> {
        loop {
            let entry = self.next_graph(space, layout, task)?;
            if !SEARCH && entry.fp != fp {
                return None;
            }
            self.graph = Some(entry.rest);
            if entry.fp == fp && entry.ret != layout.return_to_handler {
                return Some(entry.ret);
            }
        }
    }

    fn next_graph(&self, space: &mut Space, layout: &Layout, task: u64) -> Option<Entry> {
        let stack = space.read(task + layout.ret_stack)?;
        if stack == 0 {
            return None;
        }
        let at = match self.graph {
            Some(at) => at,
            None => u64::from(space.read32(task + layout.curr_ret_stack)?),
        };
        let word = at.checked_sub(1).filter(|word| *word < 512)?;
        let back = space.read(stack + 8 * word)? & FRAME_OFFSET;
        let rest = word.checked_sub(back).filter(|rest| *rest != word)?;
        let entry = stack + 8 * rest;
        Some(Entry {
            ret: space.read(entry + layout.graph_ret)?,
            fp: space.read(entry + layout.graph_retp)?,
            rest,
        })
    }

    fn kretprobe(&mut self, space: &mut Space, layout: &Layout, task: u64, fp: u64) -> Option<u64> {
        loop {
            let node = self.next_kretprobe(space, layout, task)?;
            let instance = node.wrapping_sub(layout.kretprobe_next);
            let ret = space.read(instance + layout.kretprobe_ret)?;
            let same = space.read(instance + layout.kretprobe_fp)? == fp;
            if !SEARCH && !same {
                return None;
            }
            self.kretprobe = Some(node);
            if same && ret != layout.trampoline {
                return Some(ret);
            }
        }
    }

    fn next_kretprobe(&self, space: &mut Space, layout: &Layout, task: u64) -> Option<u64> {
        let node = space.read(self.kretprobe.unwrap_or(task + layout.kretprobes))?;
        (node != 0).then_some(node)
    }

    /// Whether tracers keep no address of this task at all.
    pub fn is_empty(space: &mut Space, layout: &Layout, task: u64) -> bool {
        Self::default().all_used(space, layout, task)
    }

    /// A function is held up by ftrace: its own entry may be there already.
    pub fn pass_entered(
        &mut self,
        space: &mut Space,
        layout: &Layout,
        task: u64,
        lr: u64,
        fp: u64,
    ) {
        if let Some(entry) = self.next_graph(space, layout, task) {
            if entry.ret == lr && entry.fp == fp {
                self.graph = Some(entry.rest);
            }
        }
    }

    /// Whether all were used.
    pub fn all_used(&self, space: &mut Space, layout: &Layout, task: u64) -> bool {
        self.next_graph(space, layout, task).is_none()
            && self.next_kretprobe(space, layout, task).is_none()
    }
}

/// Whether an entry that fits is searched for, as the kernel's own unwinder does.
const SEARCH: bool = cfg!(feature = "before");
