// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Stacks with a BPF trampoline on them, which a traced function's entry has called:
//! those that a walk must follow, and those that it must refuse.

use super::follow::{BLOCKED, FTRACE_RECORDS, TRACED_SP};
use super::text::*;
use super::{Return, Vector, Word};
use crate::machine::State;
use crate::reason::{Reason, Verdict};

/// SP in the trampoline, and x29, which is at its own record.
const TRAMPOLINE_SP: u64 = TRACED_SP - 160;
const TRAMPOLINE_FP: u64 = TRACED_SP - 32;
/// SP in what the trampoline has called: a program, or the traced function.
const PROG_SP: u64 = TRAMPOLINE_SP - 96;
const BODY_SP: u64 = TRAMPOLINE_SP - 32;

/// The frame of a program that the trampoline has called.
const PROG_FRAME: &[Word] = &record(
    TRAMPOLINE_SP - 16,
    TRAMPOLINE_FP,
    after_call(BPF_TRAMPOLINE),
);
const PROG_SWITCH: &[Word] = &record(PROG_SP - 32, TRAMPOLINE_SP - 16, after_call(BPF_PROG));
/// The frame of the traced function, which the trampoline has called.
const BODY_FRAME: &[Word] = &record(BODY_SP, TRAMPOLINE_FP, AFTER_BODY);
/// Where that returns to.
const AFTER_BODY: u64 = BPF_TRAMPOLINE + BPF_CALL + 4;
const BODY_SWITCH: &[Word] = &record(BODY_SP - 32, BODY_SP, after_call(TRACED));

/// Asleep in a program that the trampoline has called.
const BELOW: Vector = Vector {
    name: "follows_task_blocked_below_bpf_trampoline",
    start: State::switched_out(after_call(SWITCH), PROG_SP - 32, PROG_SP - 32),
    words: &[
        FINAL,
        KTHREAD_FRAME,
        FTRACE_RECORDS,
        PROG_FRAME,
        PROG_SWITCH,
    ],
    frames: &[
        after_call(SWITCH),
        after_call(BPF_PROG),
        after_call(BPF_TRAMPOLINE),
        TRACED + 12,
        after_call(KTHREAD),
        after_call(RET_FROM_FORK),
    ],
    verdict: Verdict::Reliable { frames: 6 },
    ..BLOCKED
};

/// The same with another return address of the trampoline.
macro_rules! traced {
    ($name:literal, $site:expr) => {
        Vector {
            name: $name,
            words: &[
                FINAL,
                KTHREAD_FRAME,
                FTRACE_RECORDS,
                &[(TRAMPOLINE_FP + 8, $site)],
                PROG_FRAME,
                PROG_SWITCH,
            ],
            frames: &[
                after_call(SWITCH),
                after_call(BPF_PROG),
                after_call(BPF_TRAMPOLINE),
                $site,
                after_call(KTHREAD),
                after_call(RET_FROM_FORK),
            ],
            ..BELOW
        }
    };
}

/// The same, with other words, refused at an entry.
macro_rules! stops_below {
    ($name:literal, [$($words:expr),*], $reason:ident at $frame:literal: $($entry:expr),* => $pc:expr) => {
        Vector {
            name: $name,
            words: &[FINAL, KTHREAD_FRAME, FTRACE_RECORDS, PROG_FRAME, PROG_SWITCH
                $(, $words)*],
            frames: &[$($entry),*],
            verdict: Verdict::Unreliable { reason: Reason::$reason, frame: $frame, pc: $pc },
            ..BELOW
        }
    };
}

/// Interrupted in the trampoline, or in what it has called.
macro_rules! preempted_in {
    ($name:literal, pc: $pc:expr, sp: $sp:expr, fp: $fp:expr, lr: $lr:expr, words: [$($words:expr),*],
     verdict: $verdict:expr, callers: [$($caller:expr),*]) => {
        Vector {
            name: $name,
            start: preempted($sp),
            words: &[FINAL, KTHREAD_FRAME, FTRACE_RECORDS, $($words,)*
                &interrupted($pc, $sp, $fp, $lr), &preemption($sp)],
            frames: &[after_call(SWITCH), after_call(HANDLER), after_call(EL1_IRQ), $pc,
                $($caller),*],
            verdict: $verdict,
            ..BLOCKED
        }
    };
}

/// Refused where it was interrupted.
const fn stop_at(pc: u64) -> Verdict {
    Verdict::Unreliable {
        reason: Reason::BpfOther,
        frame: 3,
        pc,
    }
}

const STALE: u64 = after_call(BPF_PROG);

pub(super) const VECTORS: &[Vector] = &[
    BELOW,
    // The traced function was called from the trampoline, and returns to it.
    Vector {
        name: "follows_task_blocked_in_function_called_by_bpf_trampoline",
        start: State::switched_out(after_call(SWITCH), BODY_SP - 32, BODY_SP - 32),
        words: &[
            FINAL,
            KTHREAD_FRAME,
            FTRACE_RECORDS,
            BODY_FRAME,
            BODY_SWITCH,
        ],
        frames: &[
            after_call(SWITCH),
            after_call(TRACED),
            AFTER_BODY,
            TRACED + 12,
            after_call(KTHREAD),
            after_call(RET_FROM_FORK),
        ],
        ..BELOW
    },
    traced! { "follows_bpf_trampoline_of_bpf_program", BPF_PROG + 12 },
    // ftrace_caller has run, too, and goes to where a livepatch said.
    traced! { "follows_bpf_trampoline_of_livepatched_function", LEAF },
    Vector {
        name: "follows_bpf_trampoline_of_function_graph_traced_function",
        words: &[
            FINAL,
            KTHREAD_FRAME,
            FTRACE_RECORDS,
            &[(TRACED_SP - 8, RETURN_TO_HANDLER)],
            PROG_FRAME,
            PROG_SWITCH,
        ],
        returns: &[Return {
            trampoline: RETURN_TO_HANDLER,
            fp: KTHREAD_SP,
            pc: after_call(KTHREAD),
        }],
        ..BELOW
    },
    // A trampoline of a struct_ops is called like any function.
    Vector {
        name: "follows_bpf_trampoline_of_struct_ops",
        words: &[
            FINAL,
            KTHREAD_FRAME,
            &record(TRACED_SP - 16, KTHREAD_SP, after_call(KTHREAD)),
            &record(TRACED_SP - 112, TRACED_SP - 16, after_call(BPF_PROG)),
            &record(TRACED_SP - 224, TRACED_SP - 112, after_call(BPF_PROG)),
        ],
        start: State::switched_out(after_call(SWITCH), TRACED_SP - 224, TRACED_SP - 224),
        frames: &[
            after_call(SWITCH),
            after_call(BPF_PROG),
            after_call(BPF_PROG),
            after_call(KTHREAD),
            after_call(RET_FROM_FORK),
        ],
        verdict: Verdict::Reliable { frames: 5 },
        ..BELOW
    },
    preempted_in! { "follows_task_preempted_in_bpf_trampoline",
    pc: BPF_TRAMPOLINE + 0x20, sp: TRAMPOLINE_SP, fp: TRAMPOLINE_FP, lr: STALE, words: [],
    verdict: Verdict::Reliable { frames: 7 },
    callers: [TRACED + 12, after_call(KTHREAD), after_call(RET_FROM_FORK)] },
    preempted_in! { "follows_function_just_called_by_bpf_trampoline",
    pc: TRACED + 12, sp: TRAMPOLINE_SP, fp: TRAMPOLINE_FP, lr: AFTER_BODY,
    words: [], verdict: Verdict::Reliable { frames: 8 },
    callers: [AFTER_BODY, TRACED + 12, after_call(KTHREAD), after_call(RET_FROM_FORK)] },
    preempted_in! { "follows_bpf_program_just_called",
    pc: BPF_PROG + 12, sp: TRAMPOLINE_SP, fp: TRAMPOLINE_FP, lr: after_call(BPF_TRAMPOLINE),
    words: [], verdict: Verdict::Reliable { frames: 8 },
    callers: [after_call(BPF_TRAMPOLINE), TRACED + 12, after_call(KTHREAD),
        after_call(RET_FROM_FORK)] },
    // The return address of the traced function is in x9 alone, or again.
    preempted_in! { "refuses_prologue_of_bpf_trampoline",
    pc: BPF_TRAMPOLINE + 0x1c, sp: TRAMPOLINE_SP, fp: TRAMPOLINE_FP, lr: STALE, words: [],
    verdict: stop_at(BPF_TRAMPOLINE + 0x1c), callers: [] },
    preempted_in! { "refuses_epilogue_of_bpf_trampoline",
    pc: BPF_TRAMPOLINE + 0x80, sp: TRAMPOLINE_SP, fp: TRAMPOLINE_FP, lr: STALE, words: [],
    verdict: stop_at(BPF_TRAMPOLINE + 0x80), callers: [] },
    preempted_in! { "refuses_bpf_trampoline_of_unknown_size",
    pc: BPF_TRAMPOLINE_NO_SIZE + 0x20, sp: TRAMPOLINE_SP, fp: TRAMPOLINE_FP, lr: STALE,
    words: [], verdict: stop_at(BPF_TRAMPOLINE_NO_SIZE + 0x20), callers: [] },
    preempted_in! { "refuses_bpf_trampoline_smaller_than_its_records",
    pc: BPF_TRAMPOLINE_SMALL + 0x20, sp: TRAMPOLINE_SP, fp: TRAMPOLINE_FP, lr: STALE,
    words: [], verdict: stop_at(BPF_TRAMPOLINE_SMALL + 0x20), callers: [] },
    stops_below! { "refuses_return_to_bpf_trampoline_that_calls_nothing",
    [&[(TRAMPOLINE_SP - 8, BPF_TRAMPOLINE + BPF_NO_CALL + 4)]],
    NoCall at 2: after_call(SWITCH), after_call(BPF_PROG), BPF_TRAMPOLINE + BPF_NO_CALL + 4
        => BPF_TRAMPOLINE + BPF_NO_CALL + 4 },
    stops_below! { "refuses_call_of_bpf_trampoline_in_other_code",
    [&[(TRAMPOLINE_SP - 8, BPF_PROG + BPF_CALL + 4)]],
    NoCall at 2: after_call(SWITCH), after_call(BPF_PROG), BPF_PROG + BPF_CALL + 4
        => BPF_PROG + BPF_CALL + 4 },
    stops_below! { "refuses_x29_that_is_not_the_record_of_bpf_trampoline",
    [&[(TRAMPOLINE_SP - 16, TRACED_SP - 16)]],
    FpMismatch at 2: after_call(SWITCH), after_call(BPF_PROG), after_call(BPF_TRAMPOLINE)
        => after_call(BPF_TRAMPOLINE) },
    stops_below! { "refuses_records_of_bpf_trampoline_that_are_no_chain",
    [&[(TRAMPOLINE_FP, KTHREAD_SP)]],
    FpMismatch at 2: after_call(SWITCH), after_call(BPF_PROG), after_call(BPF_TRAMPOLINE)
        => after_call(BPF_TRAMPOLINE) },
    stops_below! { "refuses_bpf_trampoline_that_no_entry_called",
    [&[(TRAMPOLINE_FP + 8, after_call(WORKER))]],
    PatchSiteNotEntry at 3: after_call(SWITCH), after_call(BPF_PROG),
        after_call(BPF_TRAMPOLINE), after_call(WORKER) => after_call(WORKER) },
];
