// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Stacks with tracers on them that a walk must refuse.

use super::follow::{
    BLOCKED, FTRACE_RECORDS, FTRACE_REGS, FTRACE_REGS_LR, FTRACE_REGS_PC, FTRACE_SP, TRACED_SP,
    TRACER, TRACER_FRAME, TRACER_SP,
};
use super::text::*;
use super::{Return, Vector};
use crate::reason::{Reason, Verdict};

/// A walk that stops at an entry.
const fn stop(reason: Reason, frame: u32, pc: u64) -> Verdict {
    Verdict::Unreliable { reason, frame, pc }
}

/// What a tracer has kept for the worker's return.
const fn kept(trampoline: u64, pc: u64) -> Return {
    Return {
        trampoline,
        fp: KTHREAD_SP,
        pc,
    }
}

/// The function graph tracer and a kretprobe that have kept each other's trampoline.
const GRAPHS: Return = kept(RETURN_TO_HANDLER, KRETPROBE);
const PROBES: Return = kept(KRETPROBE, RETURN_TO_HANDLER);

/// Preempted in a tracer's trampoline to which the worker has returned.
macro_rules! stops_in_trampoline {
    ($name:literal, pc: $pc:expr, kept: [$($kept:expr),*], entry: $entry:expr, $reason:ident) => {
        Vector {
            name: $name,
            start: preempted(KTHREAD_SP),
            words: &[FINAL, KTHREAD_FRAME,
                &interrupted($pc, KTHREAD_SP, KTHREAD_SP, after_call(KTHREAD)),
                &preemption(KTHREAD_SP)],
            returns: &[$($kept),*],
            frames: &[after_call(SWITCH), after_call(HANDLER), after_call(EL1_IRQ), $entry],
            verdict: stop(Reason::$reason, 3, $entry),
            ..BLOCKED
        }
    };
}

/// The worker's return address is replaced, and a walk stops there.
macro_rules! stops_at_return {
    ($name:literal, to: $trampoline:expr, kept: [$($kept:expr),*], $reason:ident, $pc:expr) => {
        Vector {
            name: $name,
            words: &[FINAL, KTHREAD_FRAME, WORKER_FRAME, SWITCH_FRAME,
                &[(WORKER_SP + 8, $trampoline)]],
            returns: &[$($kept),*],
            frames: &[after_call(SWITCH), after_call(WORKER)],
            verdict: stop(Reason::$reason, 2, $pc),
            ..BLOCKED
        }
    };
}

/// The tracer's stack with other records.
macro_rules! stops_at_patch_site {
    ($name:literal, $words:expr, $reason:ident at $frame:literal: $($entry:expr),* => $pc:expr) => {
        Vector {
            name: $name,
            words: &[FINAL, KTHREAD_FRAME, FTRACE_RECORDS, FTRACE_REGS, TRACER_FRAME, $words],
            frames: &[$($entry),*],
            verdict: stop(Reason::$reason, $frame, $pc),
            ..TRACER
        }
    };
}

/// The tracer's stack with one word changed, by which registers and records differ.
macro_rules! stops_at_ftrace_regs {
    ($name:literal, $word:expr) => {
        stops_at_patch_site! { $name, &[$word],
        FtraceRegsMismatch at 1: after_call(HANDLER), after_call(FTRACE_CALLER)
            => after_call(FTRACE_CALLER) }
    };
}

pub(super) const VECTORS: &[Vector] = &[
    stops_at_return! { "refuses_function_graph_return_not_kept",
    to: RETURN_TO_HANDLER, kept: [], FgraphLost, RETURN_TO_HANDLER },
    stops_at_return! { "refuses_kretprobe_return_not_kept",
    to: KRETPROBE, kept: [], KretprobeLost, KRETPROBE },
    stops_at_return! { "refuses_kept_returns_that_do_not_end",
    to: KRETPROBE,
    kept: [
        PROBES, GRAPHS, PROBES, GRAPHS, PROBES, GRAPHS, PROBES, GRAPHS,
        PROBES, GRAPHS, PROBES, GRAPHS, PROBES, GRAPHS, PROBES, GRAPHS
    ],
    RecoveryLoop, KRETPROBE },
    stops_at_return! { "refuses_kept_return_address_of_zero",
    to: KRETPROBE, kept: [kept(KRETPROBE, 0)], NullPc, 0 },
    stops_in_trampoline! { "refuses_x30_after_interrupted_kretprobe_trampoline",
    pc: KRETPROBE, kept: [kept(KRETPROBE, LEAF)], entry: LEAF, ReturnAddressLost },
    Vector {
        name: "refuses_interrupted_kretprobe_trampoline_not_kept",
        start: preempted(KTHREAD_SP),
        words: &[
            FINAL,
            KTHREAD_FRAME,
            &interrupted(KRETPROBE, KTHREAD_SP, KTHREAD_SP, 0),
            &preemption(KTHREAD_SP),
        ],
        frames: &[after_call(SWITCH), after_call(HANDLER), after_call(EL1_IRQ)],
        verdict: stop(Reason::KretprobeLost, 3, KRETPROBE),
        ..BLOCKED
    },
    stops_at_return! { "refuses_kept_return_of_another_frame",
    to: RETURN_TO_HANDLER,
    kept: [
        Return { fp: SWITCH_SP, ..kept(RETURN_TO_HANDLER, after_call(KTHREAD)) },
        kept(RETURN_TO_HANDLER, after_call(KTHREAD))
    ],
    FgraphLost, RETURN_TO_HANDLER },
    // The first was made visible before all of it was written: it has the place of the
    // second, and names another caller, whose frame has the same shape.
    Vector {
        name: "refuses_kept_return_that_is_left_over",
        words: &[
            FINAL,
            KTHREAD_FRAME,
            &record(WORKER_SP, KTHREAD_SP, RETURN_TO_HANDLER),
            SWITCH_FRAME,
        ],
        returns: &[
            kept(RETURN_TO_HANDLER, after_call(SWITCH)),
            kept(RETURN_TO_HANDLER, after_call(KTHREAD)),
        ],
        frames: &[
            after_call(SWITCH),
            after_call(WORKER),
            after_call(SWITCH),
            after_call(RET_FROM_FORK),
        ],
        verdict: stop(Reason::KeptReturnLeft, 3, after_call(RET_FROM_FORK)),
        ..BLOCKED
    },
    stops_at_patch_site! { "refuses_pending_direct_call",
    &[(FTRACE_SP + 72, NOT_TEXT)],
    DirectCall at 1: after_call(HANDLER), after_call(FTRACE_CALLER)
        => after_call(FTRACE_CALLER) },
    stops_at_ftrace_regs! { "refuses_ftrace_regs_of_another_x29", (FTRACE_SP + 80, WORKER_SP) },
    stops_at_ftrace_regs! { "refuses_ftrace_regs_of_another_return_address",
    (FTRACE_REGS_LR, after_call(WORKER)) },
    stops_at_ftrace_regs! { "refuses_ftrace_regs_of_another_stack_pointer",
    (FTRACE_SP + 96, TRACED_SP - 16) },
    stops_at_ftrace_regs! { "refuses_record_of_another_return_address_than_ftrace_regs",
    (TRACED_SP - 8, after_call(WORKER)) },
    Vector {
        returns: &[kept(RETURN_TO_HANDLER, after_call(WORKER))],
        ..stops_at_ftrace_regs! { "refuses_kept_return_that_is_not_the_traced_functions",
        (FTRACE_REGS_LR, RETURN_TO_HANDLER) }
    },
    stops_at_patch_site! { "refuses_to_enter_a_function_in_its_body",
    &[(FTRACE_REGS_PC, WORKER + 8)],
    PatchSiteNotEntry at 2: after_call(HANDLER), after_call(FTRACE_CALLER), WORKER + 8
        => WORKER + 8 },
    stops_at_patch_site! { "refuses_to_enter_a_function_that_is_gone",
    &[(FTRACE_REGS_PC, NOT_TEXT)],
    NotText at 2: after_call(HANDLER), after_call(FTRACE_CALLER), NOT_TEXT => NOT_TEXT },
    stops_at_patch_site! { "refuses_to_enter_a_null_pointer",
    &[(FTRACE_REGS_PC, 0)],
    NullPc at 2: after_call(HANDLER), after_call(FTRACE_CALLER) => 0 },
    stops_at_patch_site! { "refuses_patch_site_in_a_body",
    &[(TRACED_SP - 24, after_call(TRACED)), (FTRACE_REGS_PC, after_call(TRACED))],
    PatchSiteNotEntry at 2: after_call(HANDLER), after_call(FTRACE_CALLER), after_call(TRACED)
        => after_call(TRACED) },
    stops_at_patch_site! { "refuses_patch_site_without_rows",
    &[(TRACED_SP - 24, NO_CFI + 12), (FTRACE_REGS_PC, NO_CFI + 12)],
    NoCfi at 2: after_call(HANDLER), after_call(FTRACE_CALLER), NO_CFI + 12 => NO_CFI + 12 },
    stops_at_patch_site! { "refuses_records_of_ftrace_that_are_no_chain",
    &[(TRACED_SP - 32, TRACED_SP - 64)],
    FpMismatch at 1: after_call(HANDLER), after_call(FTRACE_CALLER)
        => after_call(FTRACE_CALLER) },
    Vector {
        name: "refuses_x29_at_patch_site_that_is_not_the_record",
        words: &[
            FINAL,
            KTHREAD_FRAME,
            FTRACE_RECORDS,
            FTRACE_REGS,
            &[(TRACED_SP - 32, 0)],
            &record(TRACER_SP, TRACED_SP - 32, after_call(FTRACE_CALLER_LOOSE)),
        ],
        frames: &[after_call(HANDLER), after_call(FTRACE_CALLER_LOOSE)],
        verdict: stop(Reason::FpMismatch, 1, after_call(FTRACE_CALLER_LOOSE)),
        ..TRACER
    },
];
