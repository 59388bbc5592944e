// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Stacks with other witnesses for their return addresses: a shadow call stack beside
//! them, or signatures.

use super::follow::BLOCKED;
use super::text::*;
use super::{Return, Vector};
use crate::reason::{Reason, Verdict};

/// What the three functions of the blocked task have pushed.
const PUSHED: &[u64] = &[
    after_call(RET_FROM_FORK),
    after_call(KTHREAD),
    after_call(WORKER),
];

/// The blocked task, with a shadow call stack that a walk refuses at the end.
macro_rules! refuses {
    ($name:literal, [$($entry:expr),*]) => {
        Vector {
            name: $name,
            shadow: &[$($entry),*],
            verdict: Verdict::Unreliable {
                reason: Reason::ShadowLeft,
                frame: 3,
                pc: after_call(RET_FROM_FORK),
            },
            ..BLOCKED
        }
    };
}

/// A function with such a return address.
macro_rules! forged {
    ($name:literal, $function:expr, $return_address:expr) => {
        Vector {
            name: $name,
            words: &[
                FINAL,
                KTHREAD_FRAME,
                &record(WORKER_SP, KTHREAD_SP, $return_address),
                &record(SWITCH_SP, WORKER_SP, after_call($function)),
            ],
            frames: &[after_call(SWITCH), after_call($function)],
            verdict: Verdict::Unreliable {
                reason: Reason::NotAuthentic,
                frame: 1,
                pc: after_call($function),
            },
            ..BLOCKED
        }
    };
}

/// What the first function of the thread has called with BL is in this function.
macro_rules! called {
    ($name:literal, $caller:expr => $function:expr, [$($outer:expr),*], $verdict:expr) => {
        Vector {
            name: $name,
            words: &[
                FINAL,
                KTHREAD_FRAME,
                &record(WORKER_SP, KTHREAD_SP, after_call($caller)),
                &record(SWITCH_SP, WORKER_SP, after_call($function)),
            ],
            frames: &[
                after_call(SWITCH),
                after_call($function),
                after_call($caller),
                $($outer),*
            ],
            verdict: $verdict,
            ..BLOCKED
        }
    };
}

const NOT_CALLED: Verdict = Verdict::Unreliable {
    reason: Reason::NotCallee,
    frame: 2,
    pc: after_call(CALLS),
};

pub(super) const VECTORS: &[Vector] = &[
    called! {
        "follows_function_that_was_called", CALLS => CALLED, [after_call(RET_FROM_FORK)], BLOCKED.verdict
    },
    called! {
        "follows_live_patch_of_function_that_was_called", CALLS => STAND_IN, [after_call(RET_FROM_FORK)],
        BLOCKED.verdict
    },
    // A live patch has left itself for this one.
    called! {
        "follows_anything_below_patched_function", CALLS_PATCHED => WORKER,
        [after_call(RET_FROM_FORK)], BLOCKED.verdict
    },
    called! { "refuses_function_that_was_not_called", CALLS => WORKER, [], NOT_CALLED },
    // Less than the largest function behind it.
    called! { "refuses_function_behind_the_one_that_was_called", CALLS => SIGNS_NOT, [], NOT_CALLED },
    Vector {
        name: "follows_shadow_call_stack",
        shadow: PUSHED,
        ..BLOCKED
    },
    // Assembly has pushed nothing.
    Vector {
        name: "follows_frame_without_shadow_call_stack_entry",
        shadow: &[after_call(RET_FROM_FORK), after_call(WORKER)],
        ..BLOCKED
    },
    Vector {
        name: "follows_shadow_call_stack_of_signed_return_addresses",
        words: &[
            FINAL,
            KTHREAD_FRAME,
            WORKER_FRAME,
            SWITCH_FRAME,
            &[(WORKER_SP + 8, signed(after_call(KTHREAD)))],
        ],
        shadow: &[
            after_call(RET_FROM_FORK),
            after_call(KTHREAD),
            signed(after_call(WORKER)),
        ],
        ..BLOCKED
    },
    // The first instruction of the function is the push.
    Vector {
        name: "follows_task_preempted_before_its_push",
        start: preempted(WORKER_SP),
        words: &[
            FINAL,
            KTHREAD_FRAME,
            WORKER_FRAME,
            &interrupted(SLOW_PROLOGUE, WORKER_SP, WORKER_SP, after_call(WORKER)),
            &preemption(WORKER_SP),
        ],
        shadow: &[
            after_call(RET_FROM_FORK),
            after_call(KTHREAD),
            after_call(EL1_IRQ),
            after_call(HANDLER),
        ],
        frames: &[
            after_call(SWITCH),
            after_call(HANDLER),
            after_call(EL1_IRQ),
            SLOW_PROLOGUE,
            after_call(WORKER),
            after_call(KTHREAD),
            after_call(RET_FROM_FORK),
        ],
        verdict: Verdict::Reliable { frames: 7 },
        ..BLOCKED
    },
    // A tracer replaces a return address before the function pushes it.
    Vector {
        name: "follows_replaced_return_address_on_both_stacks",
        words: &[
            FINAL,
            KTHREAD_FRAME,
            WORKER_FRAME,
            SWITCH_FRAME,
            &[(WORKER_SP + 8, RETURN_TO_HANDLER)],
        ],
        returns: &[Return {
            trampoline: RETURN_TO_HANDLER,
            fp: KTHREAD_SP,
            pc: after_call(KTHREAD),
        }],
        shadow: &[
            after_call(RET_FROM_FORK),
            RETURN_TO_HANDLER,
            after_call(WORKER),
        ],
        ..BLOCKED
    },
    refuses! { "refuses_stack_that_lacks_a_function",
    [after_call(RET_FROM_FORK), after_call(KTHREAD), after_call(WORKER), after_call(WORKER)] },
    refuses! { "refuses_stack_that_lacks_the_innermost_function",
    [after_call(RET_FROM_FORK), after_call(KTHREAD), after_call(WORKER), after_call(LEAF)] },
    refuses! { "refuses_stack_that_lacks_the_outermost_function",
    [after_call(LEAF), after_call(RET_FROM_FORK), after_call(KTHREAD), after_call(WORKER)] },
    refuses! { "refuses_stack_with_another_return_address",
    [after_call(RET_FROM_FORK), after_call(LEAF), after_call(WORKER)] },
    refuses! { "refuses_functions_in_another_order",
    [after_call(KTHREAD), after_call(RET_FROM_FORK), after_call(WORKER)] },
    // Two bits of the signature.
    forged! { "refuses_return_address_with_another_signature",
    WORKER, signed(after_call(KTHREAD)) ^ (0x11 << 56) },
    forged! { "refuses_return_address_without_its_signature", SIGNS, after_call(KTHREAD) },
    forged! { "refuses_signature_where_none_is_made", SIGNS_NOT, signed(after_call(KTHREAD)) },
    Vector {
        name: "follows_function_that_signs_its_return_address",
        words: &[
            FINAL,
            KTHREAD_FRAME,
            &record(WORKER_SP, KTHREAD_SP, signed(after_call(KTHREAD))),
            &record(SWITCH_SP, WORKER_SP, after_call(SIGNS)),
        ],
        frames: &[
            after_call(SWITCH),
            after_call(SIGNS),
            after_call(KTHREAD),
            after_call(RET_FROM_FORK),
        ],
        ..BLOCKED
    },
];
