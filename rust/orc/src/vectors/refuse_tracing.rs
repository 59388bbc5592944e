// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Stacks with tracers on them that a walk must refuse.

use super::follow::{BLOCKED, FTRACE_RECORDS, TRACED_SP, TRACER, TRACER_FRAME};
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
            words: &[FINAL, KTHREAD_FRAME, FTRACE_RECORDS, TRACER_FRAME, $words],
            frames: &[$($entry),*],
            verdict: stop(Reason::$reason, $frame, $pc),
            ..TRACER
        }
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
        kept(KRETPROBE, RETURN_TO_HANDLER),
        kept(RETURN_TO_HANDLER, KRETPROBE)
    ],
    RecoveryLoop, KRETPROBE },
    stops_at_return! { "refuses_kept_return_address_of_zero",
    to: KRETPROBE, kept: [kept(KRETPROBE, 0)], NullPc, 0 },
    // What is kept would do at the first instruction, and be one return too far
    // a little later. The whole of it is refused.
    stops_in_trampoline! { "refuses_start_of_return_to_handler",
    pc: RETURN_TO_HANDLER,
    kept: [kept(RETURN_TO_HANDLER, after_call(KTHREAD))],
    entry: RETURN_TO_HANDLER, NoCfi },
    stops_in_trampoline! { "refuses_inside_of_return_to_handler",
    pc: RETURN_TO_HANDLER + 0x40,
    kept: [kept(RETURN_TO_HANDLER, after_call(KTHREAD))],
    entry: RETURN_TO_HANDLER + 0x40, NoCfi },
    Vector {
        name: "refuses_call_from_return_to_handler",
        words: &[
            FINAL,
            KTHREAD_FRAME,
            &record(WORKER_SP, KTHREAD_SP, after_call(RETURN_TO_HANDLER)),
            SWITCH_FRAME,
        ],
        returns: &[kept(RETURN_TO_HANDLER, after_call(KTHREAD))],
        frames: &[
            after_call(SWITCH),
            after_call(WORKER),
            after_call(RETURN_TO_HANDLER),
        ],
        verdict: stop(Reason::NoCfi, 2, after_call(RETURN_TO_HANDLER)),
        ..BLOCKED
    },
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
    stops_at_patch_site! { "refuses_patch_site_in_a_body",
    &[(TRACED_SP - 24, after_call(TRACED))],
    PatchSiteNotEntry at 2: after_call(HANDLER), after_call(FTRACE_CALLER), after_call(TRACED)
        => after_call(TRACED) },
    stops_at_patch_site! { "refuses_patch_site_without_rows",
    &[(TRACED_SP - 24, NO_CFI + 12)],
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
            &[(TRACED_SP - 48, TRACED_SP - 16), (TRACED_SP - 32, 0)],
            &record(
                TRACED_SP - 224,
                TRACED_SP - 32,
                after_call(FTRACE_CALLER_LOOSE),
            ),
        ],
        frames: &[
            after_call(HANDLER),
            after_call(FTRACE_CALLER_LOOSE),
            TRACED + 12,
        ],
        verdict: stop(Reason::FpMismatch, 2, TRACED + 12),
        ..TRACER
    },
];
