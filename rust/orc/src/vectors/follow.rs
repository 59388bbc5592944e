// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Stacks that a walk must follow to their end.

use super::text::*;
use super::{Return, Vector, Word, MAX_FRAMES};
use crate::machine::State;
use crate::reason::Verdict;

/// A kernel thread that sleeps: the stack that the others vary.
pub(super) const BLOCKED: Vector = Vector {
    name: "follows_blocked_task",
    start: State::switched_out(after_call(SWITCH), SWITCH_SP, SWITCH_SP),
    stacks: &[TASK],
    words: &[FINAL, KTHREAD_FRAME, WORKER_FRAME, SWITCH_FRAME],
    unreadable: None,
    returns: &[],
    shadow: &[],
    capacity: MAX_FRAMES,
    frames: &[
        after_call(SWITCH),
        after_call(WORKER),
        after_call(KTHREAD),
        after_call(RET_FROM_FORK),
    ],
    verdict: Verdict::Reliable { frames: 4 },
};

/// A task that was preempted at an instruction, and its callers.
macro_rules! preempted_at {
    ($name:literal, pc: $pc:expr, sp: $sp:expr, fp: $fp:expr, lr: $lr:expr,
     words: [$($words:expr),*], callers: $count:literal [$($caller:expr),*]) => {
        Vector {
            name: $name,
            start: preempted($sp),
            words: &[FINAL, KTHREAD_FRAME, $($words,)*
                &interrupted($pc, $sp, $fp, $lr), &preemption($sp)],
            frames: &[after_call(SWITCH), after_call(HANDLER), after_call(EL1_IRQ), $pc,
                $($caller),*],
            verdict: Verdict::Reliable { frames: 4 + $count },
            ..BLOCKED
        }
    };
}
/// Interrupted in a function that the worker has called, before it has a frame.
macro_rules! in_callee {
    ($name:literal, pc: $pc:expr, sp: $sp:expr, lr: $lr:expr, words: [$($words:expr),*]) => {
        preempted_at! { $name, pc: $pc, sp: $sp, fp: WORKER_SP, lr: $lr,
            words: [WORKER_FRAME $(, $words)*],
            callers: 3 [after_call(WORKER), after_call(KTHREAD), after_call(RET_FROM_FORK)] }
    };
}
/// Blocked in a call from a BPF program, which the worker has called.
macro_rules! below_bpf {
    ($name:literal, $program:expr) => {
        Vector {
            name: $name,
            start: State::switched_out(after_call(SWITCH), BPF_SP - 32, BPF_SP - 32),
            words: &[
                FINAL,
                KTHREAD_FRAME,
                WORKER_FRAME,
                BPF_FRAME,
                &record(BPF_SP - 32, BPF_RECORD, after_call($program)),
            ],
            frames: &[
                after_call(SWITCH),
                after_call($program),
                after_call(WORKER),
                after_call(KTHREAD),
                after_call(RET_FROM_FORK),
            ],
            verdict: Verdict::Reliable { frames: 5 },
            ..BLOCKED
        }
    };
}

/// The same tracer, with other words saved, and where the task will go on.
macro_rules! with_ftrace_regs {
    ($name:literal, $words:expr, returns: [$($kept:expr),*], $entered:expr) => {
        Vector {
            name: $name,
            words: &[FINAL, KTHREAD_FRAME, FTRACE_RECORDS, FTRACE_REGS, $words, TRACER_FRAME],
            returns: &[$($kept),*],
            frames: &[
                after_call(HANDLER),
                after_call(FTRACE_CALLER),
                $entered,
                after_call(KTHREAD),
                after_call(RET_FROM_FORK),
            ],
            ..TRACER
        }
    };
}

/// Blocked in a system call, with this SP in `invoke_syscall`.
macro_rules! system_call {
    ($name:literal, $sp:expr) => {
        Vector {
            name: $name,
            start: State::switched_out(after_call(SWITCH), $sp - 32, $sp - 32),
            words: &[
                FINAL,
                &record(SYSCALL_FP, TASK_REGS + STACKFRAME, after_call(EL0_SYNC)),
                &record($sp - 32, SYSCALL_FP, after_call(INVOKE_SYSCALL)),
            ],
            frames: &[
                after_call(SWITCH),
                after_call(INVOKE_SYSCALL),
                after_call(EL0_SYNC),
            ],
            verdict: Verdict::Reliable { frames: 3 },
            ..BLOCKED
        }
    };
}

/// What the function graph tracer has kept for a return to the thread's function.
pub(super) const GRAPH_KEPT: Return = Return {
    trampoline: RETURN_TO_HANDLER,
    fp: KTHREAD_SP,
    pc: after_call(KTHREAD),
};
/// x30 in a function that the worker has called.
const LR: u64 = after_call(WORKER);
/// An x30 that was used for something else since.
const STALE: u64 = NOT_TEXT;
/// SP in a function with a frame of 32 bytes that the worker has called.
const CALLEE_SP: u64 = WORKER_SP - 32;

/// The stack that `call_on_irq_stack` leaves for the IRQ stack: the worker is
/// interrupted, and the handler has called it.
const IRQ_REGS: u64 = WORKER_SP - REGS_BYTES;
const IRQ_HANDLER_SP: u64 = IRQ_REGS - 32;
const IRQ_RECORD: u64 = IRQ_HANDLER_SP - 16;
/// SP in the first function on the IRQ stack.
const ON_IRQ_SP: u64 = IRQ.high - 32;
/// The registers that an overflow saves.
const OVERFLOW_REGS: u64 = OVERFLOW.high - REGS_BYTES;
/// The traced function is called by the thread's: SP at its entry, and SP in
/// `ftrace_caller` and in the tracer.
pub(super) const TRACED_SP: u64 = KTHREAD_SP;
pub(super) const FTRACE_SP: u64 = TRACED_SP - FTRACE_BYTES;
pub(super) const TRACER_SP: u64 = FTRACE_SP - 32;
/// x29 above a system call's random offset.
const SYSCALL_FP: u64 = TASK_REGS - 32;

/// The records that `ftrace_caller` makes.
pub(super) const FTRACE_RECORDS: &[Word] = &[
    (TRACED_SP - 16, KTHREAD_SP),
    (TRACED_SP - 8, after_call(KTHREAD)),
    (TRACED_SP - 32, TRACED_SP - 16),
    (TRACED_SP - 24, TRACED + 12),
];
pub(super) const FTRACE_REGS: &[Word] = &ftrace_regs(
    FTRACE_SP,
    KTHREAD_SP,
    after_call(KTHREAD),
    TRACED_SP,
    TRACED + 12,
);
/// The words of `struct __arch_ftrace_regs` that a callback may change.
pub(super) const FTRACE_REGS_LR: u64 = FTRACE_SP + 88;
pub(super) const FTRACE_REGS_PC: u64 = FTRACE_SP + 104;
pub(super) const TRACER_FRAME: &[Word] =
    &record(TRACER_SP, TRACED_SP - 32, after_call(FTRACE_CALLER));

/// A tracer that sleeps, called by `ftrace_caller` from a function's entry.
pub(super) const TRACER: Vector = Vector {
    name: "follows_patch_site_below_ftrace_caller",
    start: State::switched_out(after_call(HANDLER), TRACER_SP, TRACER_SP),
    words: &[
        FINAL,
        KTHREAD_FRAME,
        FTRACE_RECORDS,
        FTRACE_REGS,
        TRACER_FRAME,
    ],
    frames: &[
        after_call(HANDLER),
        after_call(FTRACE_CALLER),
        TRACED + 12,
        after_call(KTHREAD),
        after_call(RET_FROM_FORK),
    ],
    verdict: Verdict::Reliable { frames: 5 },
    ..BLOCKED
};

pub(super) const VECTORS: &[Vector] = &[
    BLOCKED,
    Vector {
        name: "follows_signed_return_addresses",
        words: &[
            FINAL,
            &record(
                KTHREAD_SP,
                TASK_REGS + STACKFRAME,
                signed(after_call(RET_FROM_FORK)),
            ),
            &record(WORKER_SP, KTHREAD_SP, signed(after_call(KTHREAD))),
            &record(SWITCH_SP, WORKER_SP, signed(after_call(WORKER))),
        ],
        ..BLOCKED
    },
    Vector {
        name: "follows_task_that_never_ran",
        start: State::switched_out(RET_FROM_FORK, TASK_REGS, TASK_REGS + STACKFRAME),
        words: &[FINAL],
        frames: &[RET_FROM_FORK],
        verdict: Verdict::Reliable { frames: 1 },
        ..BLOCKED
    },
    Vector {
        name: "follows_exactly_full_buffer",
        capacity: 4,
        ..BLOCKED
    },
    Vector {
        name: "follows_current_at_its_entry",
        start: State::interrupted(LEAF, WORKER_SP, WORKER_SP, after_call(WORKER)),
        words: &[FINAL, KTHREAD_FRAME, WORKER_FRAME],
        frames: &[
            LEAF,
            after_call(WORKER),
            after_call(KTHREAD),
            after_call(RET_FROM_FORK),
        ],
        ..BLOCKED
    },
    system_call! { "follows_system_call_with_random_stack_offset", SYSCALL_FP - 0x170 },
    system_call! { "follows_system_call_with_least_stack_offset", SYSCALL_FP },
    system_call! { "follows_system_call_with_most_stack_offset",
    SYSCALL_FP - 0x3f0 },
    Vector {
        name: "follows_frame_whose_x29_is_in_use",
        start: State::switched_out(after_call(NO_RECORD), SWITCH_SP, 0x1234),
        frames: &[
            after_call(NO_RECORD),
            after_call(WORKER),
            after_call(KTHREAD),
            after_call(RET_FROM_FORK),
        ],
        ..BLOCKED
    },
    Vector {
        name: "follows_noreturn_call_at_function_end",
        words: &[
            FINAL,
            KTHREAD_FRAME,
            // The function that ends with the call has 32 bytes; the one that
            // the return address is in would have 48.
            &record(KTHREAD_SP - 32, KTHREAD_SP, after_call(KTHREAD)),
            &record(KTHREAD_SP - 64, KTHREAD_SP - 32, FOLLOWING),
        ],
        start: State::switched_out(after_call(SWITCH), KTHREAD_SP - 64, KTHREAD_SP - 64),
        frames: &[
            after_call(SWITCH),
            FOLLOWING,
            after_call(KTHREAD),
            after_call(RET_FROM_FORK),
        ],
        ..BLOCKED
    },
    preempted_at! { "follows_task_preempted_in_body",
    pc: WORKER + 0x30, sp: WORKER_SP, fp: WORKER_SP, lr: STALE,
    words: [WORKER_FRAME],
    callers: 2 [after_call(KTHREAD), after_call(RET_FROM_FORK)] },
    Vector {
        name: "follows_exception_within_an_exception",
        start: preempted(IRQ_HANDLER_SP),
        words: &[
            FINAL,
            KTHREAD_FRAME,
            WORKER_FRAME,
            &interrupted(WORKER + 0x30, WORKER_SP, WORKER_SP, STALE),
            &record(IRQ_HANDLER_SP, IRQ_REGS + STACKFRAME, after_call(EL1_IRQ)),
            &interrupted(HANDLER + 0x30, IRQ_HANDLER_SP, IRQ_HANDLER_SP, STALE),
            &preemption(IRQ_HANDLER_SP),
        ],
        frames: &[
            after_call(SWITCH),
            after_call(HANDLER),
            after_call(EL1_IRQ),
            HANDLER + 0x30,
            after_call(EL1_IRQ),
            WORKER + 0x30,
            after_call(KTHREAD),
            after_call(RET_FROM_FORK),
        ],
        verdict: Verdict::Reliable { frames: 8 },
        ..BLOCKED
    },
    in_callee! { "follows_task_preempted_before_stp",
    pc: SWITCH, sp: WORKER_SP, lr: LR, words: [] },
    in_callee! { "follows_task_preempted_with_signed_x30",
    pc: SWITCH, sp: WORKER_SP, lr: signed(LR), words: [] },
    in_callee! { "follows_task_preempted_before_mov_x29",
    pc: SWITCH + 4, sp: CALLEE_SP, lr: STALE,
    words: [&record(CALLEE_SP, WORKER_SP, LR)] },
    in_callee! { "follows_task_preempted_before_ret",
    pc: SWITCH + 0x80, sp: WORKER_SP, lr: LR, words: [] },
    in_callee! { "follows_leaf_with_return_address_in_x30",
    pc: LEAF + 0x40, sp: WORKER_SP, lr: LR, words: [] },
    in_callee! { "follows_frame_with_nothing_saved_yet",
    pc: SLOW_PROLOGUE + 4, sp: CALLEE_SP, lr: LR, words: [] },
    in_callee! { "follows_half_built_record",
    pc: SLOW_PROLOGUE + 8, sp: CALLEE_SP, lr: LR,
    words: [&[(CALLEE_SP, WORKER_SP)]] },
    in_callee! { "follows_record_before_x29_points_at_it",
    pc: SLOW_PROLOGUE + 12, sp: CALLEE_SP, lr: STALE,
    words: [&record(CALLEE_SP, WORKER_SP, LR)] },
    below_bpf! { "follows_task_blocked_below_bpf_program", BPF_PROG },
    below_bpf! { "follows_task_blocked_below_bpf_program_with_tail_call", BPF_TAIL_CALLER },
    preempted_at! { "follows_task_preempted_in_bpf_program",
    pc: BPF_PROG + 0x20, sp: BPF_SP, fp: BPF_RECORD, lr: STALE,
    words: [WORKER_FRAME, BPF_FRAME],
    callers: 3 [after_call(WORKER), after_call(KTHREAD), after_call(RET_FROM_FORK)] },
    preempted_at! { "follows_bpf_program_amid_its_tail_call",
    pc: BPF_TAIL_CALLER + 0x40, sp: BPF_RECORD - 16, fp: BPF_RECORD, lr: STALE,
    words: [WORKER_FRAME, BPF_FRAME],
    callers: 3 [after_call(WORKER), after_call(KTHREAD), after_call(RET_FROM_FORK)] },
    preempted_at! { "follows_function_interrupted_at_its_stack_switch",
    pc: CALL_ON_IRQ_STACK + 0x14, sp: WORKER_SP - 16, fp: WORKER_SP - 16, lr: STALE,
    words: [WORKER_FRAME, &record(WORKER_SP - 16, WORKER_SP, LR)],
    callers: 3 [after_call(WORKER), after_call(KTHREAD), after_call(RET_FROM_FORK)] },
    Vector {
        name: "follows_irq_stack_to_task",
        start: State::interrupted(WORKER + 0x30, ON_IRQ_SP - 48, ON_IRQ_SP - 48, STALE),
        stacks: &[TASK, IRQ, OVERFLOW],
        words: &[
            FINAL,
            KTHREAD_FRAME,
            WORKER_FRAME,
            &interrupted(WORKER + 0x30, WORKER_SP, WORKER_SP, STALE),
            &record(IRQ_HANDLER_SP, IRQ_REGS + STACKFRAME, after_call(EL1_IRQ)),
            &record(IRQ_RECORD, IRQ_HANDLER_SP, after_call(HANDLER)),
            &record(ON_IRQ_SP, IRQ_RECORD, after_call(CALL_ON_IRQ_STACK)),
            &record(ON_IRQ_SP - 48, ON_IRQ_SP, after_call(HANDLER)),
        ],
        frames: &[
            WORKER + 0x30,
            after_call(HANDLER),
            after_call(CALL_ON_IRQ_STACK),
            after_call(HANDLER),
            after_call(EL1_IRQ),
            WORKER + 0x30,
            after_call(KTHREAD),
            after_call(RET_FROM_FORK),
        ],
        verdict: Verdict::Reliable { frames: 8 },
        ..BLOCKED
    },
    Vector {
        name: "follows_exception_on_empty_irq_stack",
        start: preempted(IRQ.high),
        stacks: &[TASK, IRQ, OVERFLOW],
        words: &[
            FINAL,
            KTHREAD_FRAME,
            WORKER_FRAME,
            &record(WORKER_SP - 16, WORKER_SP, LR),
            &interrupted(CALL_ON_IRQ_STACK + 0x20, IRQ.high, WORKER_SP - 16, STALE),
            &preemption(IRQ.high),
        ],
        frames: &[
            after_call(SWITCH),
            after_call(HANDLER),
            after_call(EL1_IRQ),
            CALL_ON_IRQ_STACK + 0x20,
            after_call(WORKER),
            after_call(KTHREAD),
            after_call(RET_FROM_FORK),
        ],
        verdict: Verdict::Reliable { frames: 7 },
        ..BLOCKED
    },
    Vector {
        name: "follows_overflow_to_task",
        start: State::switched_out(after_call(HANDLER), OVERFLOW_REGS - 32, OVERFLOW_REGS - 32),
        stacks: &[TASK, IRQ, OVERFLOW],
        words: &[
            FINAL,
            KTHREAD_FRAME,
            WORKER_FRAME,
            &exception(OVERFLOW_REGS, SWITCH, WORKER_SP, WORKER_SP, LR),
            &record(
                OVERFLOW_REGS - 32,
                OVERFLOW_REGS + STACKFRAME,
                after_call(EL1_IRQ),
            ),
        ],
        frames: &[
            after_call(HANDLER),
            after_call(EL1_IRQ),
            SWITCH,
            after_call(WORKER),
            after_call(KTHREAD),
            after_call(RET_FROM_FORK),
        ],
        verdict: Verdict::Reliable { frames: 6 },
        ..BLOCKED
    },
    Vector {
        name: "follows_pending_function_graph_return",
        words: &[
            FINAL,
            KTHREAD_FRAME,
            // Replaced before PACIASP.
            &record(WORKER_SP, KTHREAD_SP, signed(RETURN_TO_HANDLER)),
            SWITCH_FRAME,
        ],
        returns: &[GRAPH_KEPT],
        ..BLOCKED
    },
    // Both were probed and traced, and the first has jumped to the second.
    Vector {
        name: "follows_kretprobes_of_two_traced_functions_in_one_frame",
        words: &[
            FINAL,
            KTHREAD_FRAME,
            &record(WORKER_SP, KTHREAD_SP, RETURN_TO_HANDLER),
            SWITCH_FRAME,
        ],
        returns: &[
            Return {
                pc: KRETPROBE,
                ..GRAPH_KEPT
            },
            Return {
                trampoline: KRETPROBE,
                fp: KTHREAD_SP,
                pc: RETURN_TO_HANDLER,
            },
            Return {
                pc: KRETPROBE,
                ..GRAPH_KEPT
            },
            Return {
                trampoline: KRETPROBE,
                fp: KTHREAD_SP,
                pc: after_call(KTHREAD),
            },
        ],
        ..BLOCKED
    },
    Vector {
        name: "follows_kretprobe_of_traced_function",
        words: &[
            FINAL,
            KTHREAD_FRAME,
            &record(WORKER_SP, KTHREAD_SP, KRETPROBE),
            SWITCH_FRAME,
        ],
        returns: &[
            Return {
                trampoline: KRETPROBE,
                fp: KTHREAD_SP,
                pc: RETURN_TO_HANDLER,
            },
            Return {
                trampoline: RETURN_TO_HANDLER,
                fp: KTHREAD_SP,
                pc: after_call(KTHREAD),
            },
        ],
        ..BLOCKED
    },
    Vector {
        name: "follows_interrupted_kretprobe_trampoline_exactly",
        start: preempted(KTHREAD_SP),
        // The row at the recovered PC differs from the one before: x29 was set.
        words: &[
            FINAL,
            KTHREAD_FRAME,
            &interrupted(KRETPROBE, KTHREAD_SP, KTHREAD_SP, STALE),
            &preemption(KTHREAD_SP),
        ],
        returns: &[Return {
            trampoline: KRETPROBE,
            fp: KTHREAD_SP,
            pc: KTHREAD + 8,
        }],
        frames: &[
            after_call(SWITCH),
            after_call(HANDLER),
            after_call(EL1_IRQ),
            KTHREAD + 8,
            after_call(RET_FROM_FORK),
        ],
        verdict: Verdict::Reliable { frames: 5 },
        ..BLOCKED
    },
    TRACER,
    Vector {
        name: "follows_patch_site_through_the_chain_of_records",
        words: &[
            FINAL,
            KTHREAD_FRAME,
            FTRACE_RECORDS,
            FTRACE_REGS,
            &record(TRACER_SP, TRACED_SP - 32, after_call(FTRACE_CALLER_CHAIN)),
        ],
        frames: &[
            after_call(HANDLER),
            after_call(FTRACE_CALLER_CHAIN),
            TRACED + 12,
            after_call(KTHREAD),
            after_call(RET_FROM_FORK),
        ],
        ..TRACER
    },
    Vector {
        name: "follows_patch_site_of_function_graph_traced_caller",
        words: &[
            FINAL,
            KTHREAD_FRAME,
            FTRACE_RECORDS,
            FTRACE_REGS,
            &[
                (TRACED_SP - 8, RETURN_TO_HANDLER),
                (FTRACE_REGS_LR, RETURN_TO_HANDLER),
            ],
            TRACER_FRAME,
        ],
        returns: &[GRAPH_KEPT],
        ..TRACER
    },
    with_ftrace_regs! { "follows_function_graph_return_about_to_be_replaced",
    &[], returns: [GRAPH_KEPT], TRACED + 12 },
    with_ftrace_regs! { "follows_function_graph_return_that_was_replaced",
    &[(FTRACE_REGS_LR, RETURN_TO_HANDLER)], returns: [GRAPH_KEPT], TRACED + 12 },
    // A live patch: what will run is on the trace, and what will not is not.
    with_ftrace_regs! { "follows_function_that_replaces_the_traced_one",
    &[(FTRACE_REGS_PC, LEAF)], returns: [], LEAF },
    with_ftrace_regs! { "follows_function_that_replaces_a_graph_traced_one",
    &[(FTRACE_REGS_PC, LEAF), (FTRACE_REGS_LR, RETURN_TO_HANDLER)], returns: [GRAPH_KEPT], LEAF },
    Vector {
        name: "follows_return_in_place_of_the_traced_function",
        words: &[
            FINAL,
            KTHREAD_FRAME,
            FTRACE_RECORDS,
            FTRACE_REGS,
            &[(FTRACE_REGS_PC, after_call(KTHREAD))],
            TRACER_FRAME,
        ],
        frames: &[
            after_call(HANDLER),
            after_call(FTRACE_CALLER),
            after_call(KTHREAD),
            after_call(RET_FROM_FORK),
        ],
        verdict: Verdict::Reliable { frames: 4 },
        ..TRACER
    },
    Vector {
        name: "follows_idle_task_of_boot_cpu",
        words: &[
            FINAL,
            &record(KTHREAD_SP, TASK_REGS + STACKFRAME, after_call(BOOT_ENTRY)),
            WORKER_FRAME,
            SWITCH_FRAME,
        ],
        frames: &[
            after_call(SWITCH),
            after_call(WORKER),
            after_call(KTHREAD),
            after_call(BOOT_ENTRY),
        ],
        ..BLOCKED
    },
];
