// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Stacks at the edge of one check each: what is wrong is wrong by one thing, and
//! what that check has to let pass.

use super::follow::{
    BLOCKED, FTRACE_RECORDS, FTRACE_REGS, FTRACE_REGS_LR, FTRACE_REGS_PC, TRACED_SP, TRACER,
    TRACER_FRAME,
};
use super::text::*;
use super::{Return, Vector};
use crate::machine::State;
use crate::reason::{Reason, Verdict};

/// A walk that stops at an entry.
const fn stop(reason: Reason, frame: u32, pc: u64) -> Verdict {
    Verdict::Unreliable { reason, frame, pc }
}

/// A task in entry code that has called, with this SP and x29.
macro_rules! in_entry_code {
    ($name:literal, sp: $sp:expr, fp: $fp:expr, words: $words:expr, $reason:ident) => {
        Vector {
            name: $name,
            start: State::switched_out(after_call(RET_FROM_FORK), $sp, $fp),
            words: &[FINAL, $words],
            frames: &[after_call(RET_FROM_FORK)],
            verdict: stop(Reason::$reason, 0, after_call(RET_FROM_FORK)),
            ..BLOCKED
        }
    };
}

/// The worker returns to where another branch than a call comes before, or nothing.
macro_rules! after_branch {
    ($name:literal, $pc:expr) => {
        Vector {
            name: $name,
            words: &[
                FINAL,
                KTHREAD_FRAME,
                &record(WORKER_SP, KTHREAD_SP, $pc),
                SWITCH_FRAME,
            ],
            frames: &[after_call(SWITCH), after_call(WORKER), $pc],
            verdict: stop(Reason::NoCall, 2, $pc),
            ..BLOCKED
        }
    };
}

const REGS: u64 = WORKER_SP - REGS_BYTES;
const OVERFLOW_REGS: u64 = OVERFLOW.high - REGS_BYTES;
/// SP in the large `ftrace_caller`.
const LARGE_SP: u64 = TRACED_SP - FTRACE_BYTES - 16;
/// What the function graph tracer has kept for the traced function.
const KEPT: &[Return] = &[Return {
    trampoline: RETURN_TO_HANDLER,
    fp: KTHREAD_SP,
    pc: after_call(KTHREAD),
}];

pub(super) const VECTORS: &[Vector] = &[
    // Metadata records.
    in_entry_code! { "refuses_final_record_at_the_end_but_not_at_x29",
    sp: TASK_REGS, fp: TASK_REGS + 16,
    words: &[(TASK_REGS + 16, 0), (TASK_REGS + 24, 0), (TASK_REGS + 32, 1)], FinalMisplaced },
    in_entry_code! { "refuses_record_of_no_type_away_from_stack_pointer",
    sp: TASK_REGS, fp: TASK_REGS + 16,
    words: &[(TASK_REGS + 16, 0), (TASK_REGS + 24, 0), (TASK_REGS + 32, 7)], EntryText },
    in_entry_code! { "refuses_odd_x29_in_entry_code",
    sp: TASK_REGS, fp: TASK_REGS + 20, words: &[], EntryText },
    in_entry_code! { "refuses_x29_at_the_end_of_the_stack_in_entry_code",
    sp: TASK_REGS, fp: TASK.high - 16,
    words: &[(TASK.high - 16, 0), (TASK.high - 8, 0)], EntryText },
    Vector {
        name: "follows_exception_at_el2",
        start: preempted(WORKER_SP),
        words: &[
            FINAL,
            KTHREAD_FRAME,
            WORKER_FRAME,
            &interrupted(WORKER + 0x30, WORKER_SP, WORKER_SP, 0),
            &preemption(WORKER_SP),
            &[(REGS + 264, 0x8040_0009)],
        ],
        frames: &[
            after_call(SWITCH),
            after_call(HANDLER),
            after_call(EL1_IRQ),
            WORKER + 0x30,
            after_call(KTHREAD),
            after_call(RET_FROM_FORK),
        ],
        verdict: Verdict::Reliable { frames: 6 },
        ..BLOCKED
    },
    // Branches that are no calls.
    after_branch! { "refuses_return_address_after_a_branch", WORKER + 0x48 },
    after_branch! { "refuses_return_address_after_an_indirect_branch", WORKER + 0x4c },
    after_branch! { "refuses_return_address_after_an_authenticated_branch", WORKER + 0x50 },
    after_branch! { "refuses_return_address_after_an_authenticated_branch_with_zero",
    WORKER + 0x54 },
    after_branch! { "refuses_return_address_after_a_return", WORKER + 0x58 },
    after_branch! { "refuses_return_address_after_text_that_is_gone", after_no_call(NO_RECORD) },
    // The ends of stacks.
    Vector {
        name: "refuses_start_at_the_end_of_the_stack",
        start: State::switched_out(after_call(SWITCH), TASK.high, WORKER_SP),
        frames: &[],
        verdict: stop(Reason::SpOffStack, 0, after_call(SWITCH)),
        ..BLOCKED
    },
    Vector {
        name: "refuses_overflow_of_an_empty_stack",
        start: State::switched_out(after_call(HANDLER), OVERFLOW_REGS - 32, OVERFLOW_REGS - 32),
        stacks: &[TASK, IRQ, OVERFLOW],
        words: &[
            &exception(OVERFLOW_REGS, WORKER + 0x30, TASK.high, WORKER_SP, 0),
            &record(
                OVERFLOW_REGS - 32,
                OVERFLOW_REGS + STACKFRAME,
                after_call(EL1_IRQ),
            ),
        ],
        frames: &[after_call(HANDLER), after_call(EL1_IRQ)],
        verdict: stop(Reason::SpOffStack, 1, after_call(EL1_IRQ)),
        ..BLOCKED
    },
    Vector {
        name: "refuses_change_to_the_end_of_another_stack",
        start: State::switched_out(after_call(NO_RECORD), IRQ.high - 32, 0),
        stacks: &[TASK, IRQ, OVERFLOW],
        words: &[&record(
            IRQ.high - 32,
            TASK.high,
            after_call(CALL_ON_IRQ_STACK),
        )],
        frames: &[after_call(NO_RECORD), after_call(CALL_ON_IRQ_STACK)],
        verdict: stop(Reason::CfaOffStack, 1, after_call(CALL_ON_IRQ_STACK)),
        ..BLOCKED
    },
    // ftrace_caller.
    Vector {
        name: "refuses_ftrace_regs_away_from_the_records",
        start: State::switched_out(after_call(HANDLER), LARGE_SP - 32, LARGE_SP - 32),
        words: &[
            FINAL,
            KTHREAD_FRAME,
            FTRACE_RECORDS,
            &ftrace_regs(
                LARGE_SP,
                KTHREAD_SP,
                after_call(KTHREAD),
                TRACED_SP,
                TRACED + 12,
            ),
            &record(
                LARGE_SP - 32,
                TRACED_SP - 32,
                after_call(FTRACE_CALLER_LARGE),
            ),
        ],
        frames: &[after_call(HANDLER), after_call(FTRACE_CALLER_LARGE)],
        verdict: stop(
            Reason::FtraceRegsMismatch,
            1,
            after_call(FTRACE_CALLER_LARGE),
        ),
        ..TRACER
    },
    // Not executed, and its return address was replaced before that was known.
    Vector {
        name: "follows_return_to_handler_in_place_of_the_traced_function",
        words: &[
            FINAL,
            KTHREAD_FRAME,
            FTRACE_RECORDS,
            FTRACE_REGS,
            &[
                (FTRACE_REGS_LR, RETURN_TO_HANDLER),
                (FTRACE_REGS_PC, RETURN_TO_HANDLER),
            ],
            TRACER_FRAME,
        ],
        returns: KEPT,
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
        name: "refuses_to_enter_return_to_handler",
        words: &[
            FINAL,
            KTHREAD_FRAME,
            FTRACE_RECORDS,
            FTRACE_REGS,
            &[(FTRACE_REGS_PC, RETURN_TO_HANDLER)],
            TRACER_FRAME,
        ],
        returns: KEPT,
        frames: &[
            after_call(HANDLER),
            after_call(FTRACE_CALLER),
            RETURN_TO_HANDLER,
        ],
        verdict: stop(Reason::PatchSiteNotEntry, 2, RETURN_TO_HANDLER),
        ..TRACER
    },
];
