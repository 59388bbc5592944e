// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Preempted in `ftrace_caller` or in `return_to_handler`, or below the latter.

use super::follow::{
    BLOCKED, FTRACE_RECORDS, FTRACE_REGS, FTRACE_REGS_LR, FTRACE_REGS_PC, FTRACE_SP, GRAPH_KEPT,
    TRACED_SP,
};
use super::text::*;
use super::{Return, Vector, Word};
use crate::machine::State;
use crate::reason::{Reason, Verdict};

/// Preempted in `ftrace_caller`, with x29 that of the traced function's caller: at first
/// x30 is where the callsite goes on, and x9 its return address; at last it is the other
/// way round.
macro_rules! in_ftrace_caller {
    ($name:literal, $pc:expr, $sp:expr, x9: $x9:expr, [$($words:expr),*],
     [$($entry:expr),*], $verdict:expr) => {
        in_ftrace_caller! { $name, $pc, $sp, x9: $x9, lr: TRACED + 12, returns: &[],
            [$($words),*], [$($entry),*], $verdict }
    };
    ($name:literal, $pc:expr, $sp:expr, x9: $x9:expr, lr: $lr:expr, returns: $returns:expr,
     [$($words:expr),*], [$($entry:expr),*], $verdict:expr) => {
        Vector {
            name: $name,
            start: preempted($sp),
            words: &[FINAL, KTHREAD_FRAME, $($words,)*
                &interrupted($pc, $sp, KTHREAD_SP, $lr),
                &saved_x9($sp - REGS_BYTES, $x9), &preemption($sp)],
            frames: &[after_call(SWITCH), after_call(HANDLER), after_call(EL1_IRQ), $pc
                $(, $entry)*],
            returns: $returns,
            verdict: $verdict,
            ..BLOCKED
        }
    };
}

/// Preempted in `return_to_handler`, or in what it has called.
macro_rules! in_return_to_handler {
    ($name:literal, $pc:expr, lr: $lr:expr, saved: $saved:expr, kept: [$($kept:expr),*],
     [$($entry:expr),*], $verdict:expr) => {
        Vector {
            name: $name,
            start: preempted(GRAPH_SP),
            words: &[FINAL, KTHREAD_FRAME, &[(KTHREAD_SP - 8, $saved)],
                &interrupted($pc, GRAPH_SP, KTHREAD_SP, $lr), &preemption(GRAPH_SP)],
            returns: &[$($kept),*],
            frames: &[after_call(SWITCH), after_call(HANDLER), after_call(EL1_IRQ), $pc
                $(, $entry)*],
            verdict: $verdict,
            ..BLOCKED
        }
    };
}

/// A tracer that sleeps when the traced function has returned.
macro_rules! below_return_to_handler {
    ($name:literal, saved: $saved:expr, kept: [$($kept:expr),*],
     [$($entry:expr),*], $verdict:expr) => {
        Vector {
            name: $name,
            start: State::switched_out(after_call(HANDLER), GRAPH_SP - 32, GRAPH_SP - 32),
            words: &[FINAL, KTHREAD_FRAME, &[(KTHREAD_SP - 8, $saved)],
                &record(GRAPH_SP - 32, KTHREAD_SP, after_call(RETURN_TO_HANDLER))],
            returns: &[$($kept),*],
            frames: &[after_call(HANDLER), after_call(RETURN_TO_HANDLER) $(, $entry)*],
            verdict: $verdict,
            ..BLOCKED
        }
    };
}

const fn stop(reason: Reason, frame: u32, pc: u64) -> Verdict {
    Verdict::Unreliable { reason, frame, pc }
}

/// SP in `return_to_handler`: below it is `struct __arch_ftrace_regs`.
const GRAPH_SP: u64 = KTHREAD_SP - 112;
/// An x30 that was used for something else since.
const STALE: u64 = NOT_TEXT;
/// Where a direct call is tested for, and after SP went down.
const DECIDES: u64 = FTRACE_CALLER_START + 4;
const STARTED: u64 = FTRACE_CALLER_START + 12;
/// With x29 that of the callsite again.
const TAIL: u64 = FTRACE_CALLER_TAIL;
const CALLER: Verdict = Verdict::Reliable { frames: 7 };
/// The tracer has kept another function's address, too.
const OTHER: Return = Return {
    fp: TASK_REGS + STACKFRAME,
    ..GRAPH_KEPT
};
const REPLACED: &[Word] = &[
    (FTRACE_REGS_PC, LEAF),
    (FTRACE_REGS_LR, after_call(KTHREAD)),
];

pub(super) const VECTORS: &[Vector] = &[
    in_ftrace_caller! { "follows_start_of_ftrace_caller",
    FTRACE_CALLER_START, TRACED_SP, x9: after_call(KTHREAD), [],
    [TRACED + 12, after_call(KTHREAD), after_call(RET_FROM_FORK)], CALLER },
    in_ftrace_caller! { "refuses_ftrace_caller_where_it_may_leave_for_a_direct_call",
    DECIDES, TRACED_SP, x9: after_call(KTHREAD), [], [], stop(Reason::DirectCall, 3, DECIDES) },
    in_ftrace_caller! { "follows_ftrace_caller_without_a_direct_call",
    DECIDES + 4, TRACED_SP, x9: after_call(KTHREAD), [],
    [TRACED + 12, after_call(KTHREAD), after_call(RET_FROM_FORK)], CALLER },
    in_ftrace_caller! { "follows_ftrace_caller_before_its_records",
    STARTED, FTRACE_SP, x9: after_call(KTHREAD), [],
    [TRACED + 12, after_call(KTHREAD), after_call(RET_FROM_FORK)], CALLER },
    in_ftrace_caller! { "refuses_x9_that_is_no_return_address",
    STARTED, FTRACE_SP, x9: after_no_call(KTHREAD), [],
    [TRACED + 12, after_no_call(KTHREAD)],
    stop(Reason::NoCall, 5, after_no_call(KTHREAD)) },
    in_ftrace_caller! { "follows_end_of_ftrace_caller",
    TAIL, FTRACE_SP, x9: STALE, [FTRACE_RECORDS, FTRACE_REGS],
    [TRACED + 12, after_call(KTHREAD), after_call(RET_FROM_FORK)], CALLER },
    in_ftrace_caller! { "follows_end_of_ftrace_caller_to_another_function",
    TAIL, FTRACE_SP, x9: STALE, [FTRACE_RECORDS, FTRACE_REGS, REPLACED],
    [LEAF, after_call(KTHREAD), after_call(RET_FROM_FORK)], CALLER },
    in_ftrace_caller! { "refuses_end_of_ftrace_caller_with_direct_call",
    TAIL, FTRACE_SP, x9: STALE, [FTRACE_RECORDS, FTRACE_REGS, &[(FTRACE_SP + 72, NOT_TEXT)]],
    [], stop(Reason::DirectCall, 3, TAIL) },
    in_ftrace_caller! { "refuses_end_of_ftrace_caller_with_another_x29",
    TAIL, FTRACE_SP, x9: STALE,
    [FTRACE_RECORDS, FTRACE_REGS, &[(TRACED_SP - 16, WORKER_SP), (FTRACE_SP + 80, WORKER_SP)]],
    [], stop(Reason::FpMismatch, 3, TAIL) },
    in_ftrace_caller! { "follows_return_of_ftrace_caller",
    FTRACE_RETURN, TRACED_SP, x9: TRACED + 12, lr: after_call(KTHREAD), returns: &[], [],
    [TRACED + 12, after_call(KTHREAD), after_call(RET_FROM_FORK)], CALLER },
    in_ftrace_caller! { "follows_return_of_ftrace_caller_to_another_function",
    FTRACE_RETURN, TRACED_SP, x9: LEAF, lr: after_call(KTHREAD), returns: &[], [],
    [LEAF, after_call(KTHREAD), after_call(RET_FROM_FORK)], CALLER },
    in_ftrace_caller! { "follows_return_of_ftrace_caller_with_a_return_address_kept",
    FTRACE_RETURN, TRACED_SP, x9: LEAF, lr: RETURN_TO_HANDLER, returns: &[GRAPH_KEPT], [],
    [LEAF, after_call(KTHREAD), after_call(RET_FROM_FORK)], CALLER },
    // ftrace_override_function_with_return()
    in_ftrace_caller! { "follows_return_of_ftrace_caller_in_place_of_the_function",
    FTRACE_RETURN, TRACED_SP, x9: after_call(KTHREAD), lr: after_call(KTHREAD), returns: &[],
    [], [after_call(KTHREAD), after_call(RET_FROM_FORK)], Verdict::Reliable { frames: 6 } },
    in_ftrace_caller! { "refuses_return_of_ftrace_caller_to_no_entry",
    FTRACE_RETURN, TRACED_SP, x9: after_no_call(KTHREAD), lr: after_call(KTHREAD),
    returns: &[], [], [after_no_call(KTHREAD)],
    stop(Reason::PatchSiteNotEntry, 4, after_no_call(KTHREAD)) },
    Vector {
        name: "refuses_call_from_return_of_ftrace_caller",
        start: State::switched_out(after_call(HANDLER), TRACED_SP - 32, TRACED_SP - 32),
        words: &[
            FINAL,
            KTHREAD_FRAME,
            &record(TRACED_SP - 32, KTHREAD_SP, after_call(FTRACE_RETURN)),
        ],
        frames: &[after_call(HANDLER), after_call(FTRACE_RETURN)],
        verdict: stop(Reason::NoCfi, 1, after_call(FTRACE_RETURN)),
        ..BLOCKED
    },
    Vector {
        name: "refuses_call_from_start_of_ftrace_caller",
        start: State::switched_out(after_call(HANDLER), FTRACE_SP - 32, FTRACE_SP - 32),
        words: &[
            FINAL,
            KTHREAD_FRAME,
            &record(FTRACE_SP - 32, KTHREAD_SP, after_call(FTRACE_CALLER_START)),
        ],
        frames: &[after_call(HANDLER), after_call(FTRACE_CALLER_START)],
        verdict: stop(
            Reason::ReturnAddressLost,
            1,
            after_call(FTRACE_CALLER_START),
        ),
        ..BLOCKED
    },
    Vector {
        name: "follows_start_of_return_to_handler",
        start: preempted(KTHREAD_SP),
        words: &[
            FINAL,
            KTHREAD_FRAME,
            &interrupted(RETURN_TO_HANDLER, KTHREAD_SP, KTHREAD_SP, RETURN_TO_HANDLER),
            &preemption(KTHREAD_SP),
        ],
        returns: &[GRAPH_KEPT],
        frames: &[
            after_call(SWITCH),
            after_call(HANDLER),
            after_call(EL1_IRQ),
            RETURN_TO_HANDLER,
            after_call(KTHREAD),
            after_call(RET_FROM_FORK),
        ],
        verdict: Verdict::Reliable { frames: 6 },
        ..BLOCKED
    },
    in_return_to_handler! { "follows_return_to_handler_before_it_has_saved",
    RETURN_TO_HANDLER + 0x10, lr: RETURN_TO_HANDLER, saved: NOT_TEXT, kept: [GRAPH_KEPT],
    [after_call(KTHREAD), after_call(RET_FROM_FORK)], Verdict::Reliable { frames: 6 } },
    // The function has not returned by x30: what is kept is not what x30 says.
    in_return_to_handler! { "refuses_return_to_handler_with_another_x30",
    RETURN_TO_HANDLER + 0x10, lr: after_call(KTHREAD), saved: NOT_TEXT,
    kept: [GRAPH_KEPT, OTHER],
    [after_call(KTHREAD), after_call(RET_FROM_FORK)],
    stop(Reason::KeptReturnLeft, 5, after_call(RET_FROM_FORK)) },
    in_return_to_handler! { "follows_return_to_handler_after_its_call",
    RETURN_TO_HANDLER + 0x30, lr: STALE, saved: after_call(KTHREAD), kept: [],
    [after_call(KTHREAD), after_call(RET_FROM_FORK)], Verdict::Reliable { frames: 6 } },
    in_return_to_handler! { "refuses_end_of_return_to_handler",
    RETURN_TO_HANDLER + 0x80, lr: after_call(KTHREAD), saved: after_call(KTHREAD), kept: [],
    [], stop(Reason::NoCfi, 3, RETURN_TO_HANDLER + 0x80) },
    Vector {
        name: "follows_return_of_return_to_handler",
        start: preempted(KTHREAD_SP),
        words: &[
            FINAL,
            KTHREAD_FRAME,
            &interrupted(GRAPH_RETURN, KTHREAD_SP, KTHREAD_SP, after_call(KTHREAD)),
            &preemption(KTHREAD_SP),
        ],
        frames: &[
            after_call(SWITCH),
            after_call(HANDLER),
            after_call(EL1_IRQ),
            GRAPH_RETURN,
            after_call(KTHREAD),
            after_call(RET_FROM_FORK),
        ],
        verdict: Verdict::Reliable { frames: 6 },
        ..BLOCKED
    },
    below_return_to_handler! { "follows_function_graph_return_that_is_kept",
    saved: RETURN_TO_HANDLER, kept: [GRAPH_KEPT],
    [after_call(KTHREAD), after_call(RET_FROM_FORK)], Verdict::Reliable { frames: 4 } },
    below_return_to_handler! { "follows_function_graph_return_that_is_known_and_kept",
    saved: after_call(KTHREAD), kept: [GRAPH_KEPT],
    [after_call(KTHREAD), after_call(RET_FROM_FORK)], Verdict::Reliable { frames: 4 } },
    below_return_to_handler! { "follows_function_graph_return_that_is_known",
    saved: after_call(KTHREAD), kept: [],
    [after_call(KTHREAD), after_call(RET_FROM_FORK)], Verdict::Reliable { frames: 4 } },
    // What CALLS has called was another function, and has returned.
    below_return_to_handler! { "follows_function_graph_return_of_function_that_was_called",
    saved: after_call(CALLS), kept: [],
    [after_call(CALLS), after_call(RET_FROM_FORK)], Verdict::Reliable { frames: 4 } },
    below_return_to_handler! { "refuses_function_graph_return_that_is_lost",
    saved: RETURN_TO_HANDLER, kept: [],
    [], stop(Reason::FgraphLost, 2, RETURN_TO_HANDLER) },
    below_return_to_handler! { "refuses_function_graph_return_of_another_function",
    saved: RETURN_TO_HANDLER, kept: [OTHER],
    [], stop(Reason::FgraphLost, 2, RETURN_TO_HANDLER) },
    below_return_to_handler! { "refuses_function_graph_return_to_elsewhere",
    saved: after_call(SWITCH), kept: [GRAPH_KEPT],
    [after_call(SWITCH), after_call(RET_FROM_FORK)],
    stop(Reason::KeptReturnLeft, 3, after_call(RET_FROM_FORK)) },
];
