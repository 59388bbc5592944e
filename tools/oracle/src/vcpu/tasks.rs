// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Which task runs, and what text there is.

use super::Vcpu;
use crate::machine::strip_pac;
use crate::registers::Reg;
use crate::shared::shared;
use crate::truth::Returned;

use orc::machine::{StackRange, State};

impl Vcpu {
    /// The task that a CPU starts with.
    pub(super) fn find_task(&mut self) -> bool {
        let task = self.registers.read(Reg::SpEl0);
        if task >> 48 != 0xffff {
            return false;
        }
        self.chain.forget_early();
        self.set_task(task)
    }

    pub(super) fn set_task(&mut self, task: u64) -> bool {
        self.space.set_root(
            self.registers.read(Reg::Ttbr1),
            self.registers.read(Reg::Tcr),
        );
        self.book = shared().book();
        let offsets = &shared().offsets;
        let Some(stack) = self.space.read(task + offsets.stack) else {
            return false;
        };
        let count = self.space.place((task + offsets.preempt) & !7);
        self.preempt_count = count.map_or(std::ptr::null(), |place| place.cast::<u32>());
        self.task = task;
        self.stacks[0] = StackRange {
            low: stack,
            high: stack + self.places.thread_bytes,
        };
        self.stacks[1] = self.irq_stack();
        true
    }

    pub(super) fn irq_stack(&mut self) -> StackRange {
        let offsets = &shared().offsets;
        let per_cpu = self
            .space
            .read(offsets.per_cpu_offset + 8 * u64::from(self.number));
        let pointer =
            per_cpu.and_then(|offset| self.space.read(offset.wrapping_add(offsets.irq_stack_ptr)));
        match pointer {
            Some(low) if low != 0 => StackRange {
                low,
                high: low + self.places.thread_bytes,
            },
            _ => StackRange { low: 0, high: 0 },
        }
    }

    /// The value of a register.
    pub fn register(&mut self, register: Reg) -> u64 {
        self.registers.read(register)
    }

    /// `unwind_orc_module_finalize()` is entered.
    pub fn module_loaded(&mut self) {
        let [header, sections, module] =
            [0, 1, 2].map(|number| self.registers.read(Reg::X(number)));
        if shared()
            .module_loaded(&mut self.space, header, sections, module)
            .is_none()
        {
            *self
                .counts
                .ends
                .entry("modules that could not be read")
                .or_default() += 1;
        }
        self.book = shared().book();
        *self.counts.events.entry("modules loaded").or_default() += 1;
    }

    /// BPF code has been made, or goes.
    pub fn bpf(&mut self, is_new: bool) {
        let ksym = self.registers.read(Reg::X(0));
        self.space.forget();
        let done = match is_new {
            true => shared().bpf_added(&mut self.space, ksym),
            false => shared().bpf_gone(&mut self.space, ksym),
        };
        let name = match done {
            Some(()) => "BPF symbols that came or went",
            None => "BPF symbols that could not be read",
        };
        *self.counts.events.entry(name).or_default() += 1;
        self.book = shared().book();
    }

    /// `cpu_switch_to()` is entered.
    pub fn switch(&mut self) {
        if self.changed != 0 {
            self.read_registers(self.changed);
        }
        let previous = self.registers.read(Reg::X(0));
        let next = self.registers.read(Reg::X(1));
        if self.task == 0 {
            self.set_task(previous);
        }
        if self.task == previous {
            let state = State::switched_out(strip_pac(self.lr), self.sp, self.fp);
            let outcome = self.whole(state, 1);
            *self.counts.switched_out.entry(outcome).or_default() += 1;
        } else {
            *self
                .counts
                .ends
                .entry("switches from another task than was known")
                .or_default() += 1;
        }
        let old = std::mem::take(&mut self.chain);
        self.chain = shared().exchange(previous, old, next);
        self.keep_again();
        self.forget();
        self.next_task = next;
        self.switching = true;
        self.fresh = false;
        *self.counts.events.entry("context switches").or_default() += 1;
    }

    /// `cpu_switch_to()` returns, on the other stack.
    pub(super) fn switched(&mut self, target: u64) {
        self.switching = false;
        self.set_task(self.next_task);
        if target == shared().ret_from_fork {
            self.chain.clear();
        } else if self.chain.ret(target, self.sp, true) == Returned::Jump {
            *self
                .counts
                .ends
                .entry("switches to an unknown place")
                .or_default() += 1;
        }
    }
}
