// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Stacks that a walk must refuse, each with a reason of its own.

use super::follow::BLOCKED;
use super::text::*;
use super::Vector;
use crate::machine::{StackRange, State};
use crate::reason::{Reason, Verdict};

/// A walk that stops at an entry.
const fn stop(reason: Reason, frame: u32, pc: u64) -> Verdict {
    Verdict::Unreliable { reason, frame, pc }
}

/// Interrupted where a walk must stop at once.
macro_rules! stops_at {
    ($name:literal, pc: $pc:expr, sp: $sp:expr, fp: $fp:expr, words: [$($words:expr),*],
     $reason:ident) => {
        Vector {
            name: $name,
            start: preempted($sp),
            words: &[FINAL, KTHREAD_FRAME, WORKER_FRAME $(, $words)*,
                &interrupted($pc, $sp, $fp, after_call(WORKER)), &preemption($sp)],
            frames: &[after_call(SWITCH), after_call(HANDLER), after_call(EL1_IRQ), $pc],
            verdict: stop(Reason::$reason, 3, $pc),
            ..BLOCKED
        }
    };
    ($name:literal, pc: $pc:expr, $reason:ident) => {
        stops_at! { $name, pc: $pc, sp: WORKER_SP, fp: WORKER_SP, words: [], $reason }
    };
}

/// A blocked task with a changed stack, which a walk refuses at one of its
/// entries.
macro_rules! stops_blocked {
    ($name:literal, [$($words:expr),*], $reason:ident at $frame:literal: $($entry:expr),* => $pc:expr) => {
        Vector {
            name: $name,
            words: &[FINAL, KTHREAD_FRAME, WORKER_FRAME, SWITCH_FRAME $(, $words)*],
            frames: &[$($entry),*],
            verdict: stop(Reason::$reason, $frame, $pc),
            ..BLOCKED
        }
    };
}

/// A preempted task with a changed stack, which a walk refuses where it comes to the
/// exception: at the return address of the handler.
macro_rules! stops_at_exception {
    ($name:literal, $words:expr, $reason:ident at $caller:expr) => {
        Vector {
            name: $name,
            start: preempted(WORKER_SP),
            words: &[
                FINAL,
                KTHREAD_FRAME,
                WORKER_FRAME,
                &interrupted(WORKER + 0x30, WORKER_SP, WORKER_SP, 0),
                &preemption(WORKER_SP),
                $words,
            ],
            frames: &[after_call(SWITCH), after_call(HANDLER), after_call($caller)],
            verdict: stop(Reason::$reason, 2, after_call($caller)),
            ..BLOCKED
        }
    };
}

/// Registers of an exception that are not what they have to be.
macro_rules! stops_at_regs {
    ($name:literal, $words:expr, $reason:ident) => {
        stops_at_exception! { $name, $words, $reason at EL1_IRQ }
    };
}

/// A blocked task whose outermost function returns to something else.
macro_rules! stops_at_end {
    ($name:literal, $caller:expr, $reason:ident) => {
        stops_blocked! { $name, [&[(KTHREAD_SP + 8, after_call($caller))]],
        $reason at 3: after_call(SWITCH), after_call(WORKER), after_call(KTHREAD),
            after_call($caller) => after_call($caller) }
    };
}

/// A preempted task whose exception handler returns to something else.
macro_rules! stops_below_exception {
    ($name:literal, $caller:expr, $reason:ident) => {
        stops_at_exception! { $name, &[(REGS - 32 + 8, after_call($caller))], $reason at $caller }
    };
}

/// A function that a stack ends with, so that its caller finds that stack empty.
macro_rules! from_end_of_stack {
    ($name:literal, $stack:ident, fp: $fp:expr, $caller:expr, $reason:ident) => {
        Vector {
            name: $name,
            start: State::switched_out(after_call(NO_RECORD), $stack.high - 32, 0),
            stacks: ALL_STACKS,
            words: &[&record($stack.high - 32, $fp, after_call($caller))],
            frames: &[after_call(NO_RECORD), after_call($caller)],
            verdict: stop(Reason::$reason, 1, after_call($caller)),
            ..BLOCKED
        }
    };
}

/// An overflow whose saved SP is this.
macro_rules! overflow_with_sp {
    ($name:literal, regs: $regs:expr, sp: $sp:expr, stacks: $stacks:expr, $reason:ident) => {
        Vector {
            name: $name,
            start: State::switched_out(after_call(HANDLER), $regs - 32, $regs - 32),
            stacks: $stacks,
            words: &[
                FINAL,
                KTHREAD_FRAME,
                WORKER_FRAME,
                &exception($regs, WORKER + 0x30, $sp, WORKER_SP, 0),
                &record($regs - 32, $regs + STACKFRAME, after_call(EL1_IRQ)),
            ],
            frames: &[after_call(HANDLER), after_call(EL1_IRQ)],
            verdict: stop(Reason::$reason, 1, after_call(EL1_IRQ)),
            ..BLOCKED
        }
    };
}

const CALLEE_SP: u64 = WORKER_SP - 32;
/// x29 above a system call's random offset, and SP below the largest one and one
/// function's frame.
const SYSCALL_FP: u64 = TASK_REGS - 32;
const COPIED_SP: u64 = SYSCALL_FP - 0x3f0 - 16;
/// The registers below the worker's frame.
const REGS: u64 = WORKER_SP - REGS_BYTES;
/// The registers that an overflow saves.
const OVERFLOW_REGS: u64 = OVERFLOW.high - REGS_BYTES;
const ALL_STACKS: &[StackRange] = &[TASK, IRQ, OVERFLOW];
/// A frame of `call_on_irq_stack` on the task's stack, and where it left off.
const LEFT_BY_SWITCH: u64 = WORKER_SP - 16;

pub(super) const VECTORS: &[Vector] = &[
    Vector {
        name: "refuses_full_buffer",
        capacity: 3,
        frames: &[after_call(SWITCH), after_call(WORKER), after_call(KTHREAD)],
        verdict: stop(Reason::BufferFull, 3, after_call(RET_FROM_FORK)),
        ..BLOCKED
    },
    // The PC.
    Vector {
        name: "refuses_call_of_null_pointer",
        start: preempted(WORKER_SP),
        words: &[
            FINAL,
            KTHREAD_FRAME,
            WORKER_FRAME,
            &interrupted(0, WORKER_SP, WORKER_SP, after_call(WORKER)),
            &preemption(WORKER_SP),
        ],
        frames: &[after_call(SWITCH), after_call(HANDLER), after_call(EL1_IRQ)],
        verdict: stop(Reason::NullPc, 3, 0),
        ..BLOCKED
    },
    stops_blocked! { "refuses_null_return_address", [&[(WORKER_SP + 8, 0)]],
    NullPc at 2: after_call(SWITCH), after_call(WORKER) => 0 },
    stops_blocked! { "refuses_misaligned_return_address",
    [&[(WORKER_SP + 8, after_call(KTHREAD) + 2)]],
    MisalignedPc at 2: after_call(SWITCH), after_call(WORKER) => after_call(KTHREAD) + 2 },
    stops_blocked! { "refuses_return_address_without_a_call",
    [&[(WORKER_SP + 8, after_no_call(KTHREAD))]],
    NoCall at 2: after_call(SWITCH), after_call(WORKER), after_no_call(KTHREAD)
        => after_no_call(KTHREAD) },
    Vector {
        name: "refuses_switch_without_a_call",
        start: State::switched_out(after_no_call(SWITCH), SWITCH_SP, SWITCH_SP),
        frames: &[after_no_call(SWITCH)],
        verdict: stop(Reason::NoCall, 0, after_no_call(SWITCH)),
        ..BLOCKED
    },
    stops_blocked! { "refuses_entry_code_without_a_call",
    [&[(KTHREAD_SP + 8, after_no_call(RET_FROM_FORK))]],
    NoCall at 3: after_call(SWITCH), after_call(WORKER), after_call(KTHREAD),
        after_no_call(RET_FROM_FORK) => after_no_call(RET_FROM_FORK) },
    stops_blocked! { "refuses_return_address_outside_text", [&[(WORKER_SP + 8, NOT_TEXT)]],
    NotText at 2: after_call(SWITCH), after_call(WORKER), NOT_TEXT => NOT_TEXT },
    stops_blocked! { "refuses_sdei_handler", [&[(WORKER_SP + 8, after_call(SDEI_HANDLER))]],
    NoCfi at 2: after_call(SWITCH), after_call(WORKER), after_call(SDEI_HANDLER)
        => after_call(SDEI_HANDLER) },
    // The row.
    stops_at! { "refuses_hole", pc: HOLE, Hole },
    stops_at! { "refuses_assembly_without_cfi", pc: NO_CFI + 8, NoCfi },
    stops_at! { "refuses_unproved_row", pc: NOT_PROVED + 8, NotProved },
    stops_at! { "refuses_other_calling_convention", pc: FOREIGN + 8, Foreign },
    stops_at! { "refuses_cfi_that_no_rule_expresses", pc: BAD_CFI + 8, BadCfi },
    stops_at! { "refuses_text_without_table", pc: NO_TABLE + 8, NoTable },
    stops_at! { "refuses_text_behind_its_table", pc: NO_ROW + 8, NoRow },
    stops_at! { "refuses_single_step_slot", pc: NOT_TEXT + 8, NotText },
    stops_blocked! { "refuses_assembly_without_cfi_and_odd_x29",
    [&record(WORKER_SP, KTHREAD_SP + 4, after_call(NO_CFI))],
    NoCfi at 2: after_call(SWITCH), after_call(WORKER), after_call(NO_CFI)
        => after_call(NO_CFI) },
    // The saved registers would be complete here, but nobody can tell.
    stops_at! { "refuses_interrupted_entry_code",
    pc: EL1_IRQ + 0x10, sp: REGS, fp: REGS + STACKFRAME,
    words: [&interrupted(WORKER + 0x30, WORKER_SP, WORKER_SP, 0)], EntryText },
    stops_blocked! { "refuses_stale_x30_after_a_call",
    [&[(WORKER_SP + 8, after_call(PARKED_LR))]],
    ReturnAddressLost at 2: after_call(SWITCH), after_call(WORKER), after_call(PARKED_LR)
        => after_call(PARKED_LR) },
    // BPF.
    stops_at! { "refuses_prologue_of_bpf_program",
    pc: BPF_PROG + 0x1c, sp: BPF_SP, fp: BPF_RECORD, words: [BPF_FRAME], BpfOther },
    stops_at! { "refuses_epilogue_of_bpf_program",
    pc: BPF_PROG + 0x80, sp: BPF_SP, fp: BPF_RECORD, words: [BPF_FRAME], BpfOther },
    stops_at! { "refuses_bpf_program_with_frame_below_its_record",
    pc: BPF_NO_FRAME + 0x20, sp: BPF_SP, fp: BPF_RECORD, words: [BPF_FRAME], BpfOther },
    stops_at! { "refuses_x29_that_is_not_the_record_of_bpf_program",
    pc: BPF_PROG + 0x20, sp: BPF_SP, fp: WORKER_SP, words: [BPF_FRAME], FpMismatch },
    stops_blocked! { "refuses_return_into_entry_of_bpf_program",
    [&[(WORKER_SP + 8, BPF_PROG + 12)]],
    ReturnAddressLost at 2: after_call(SWITCH), after_call(WORKER), BPF_PROG + 12
        => BPF_PROG + 12 },
    stops_blocked! { "refuses_bpf_dispatcher", [&[(WORKER_SP + 8, after_call(BPF_DISPATCHER))]],
    BpfOther at 2: after_call(SWITCH), after_call(WORKER), after_call(BPF_DISPATCHER)
        => after_call(BPF_DISPATCHER) },
    Vector {
        name: "refuses_bpf_program_that_is_gone",
        start: State::switched_out(after_call(SWITCH), BPF_SP - 32, BPF_SP - 32),
        words: &[
            FINAL,
            KTHREAD_FRAME,
            WORKER_FRAME,
            BPF_FRAME,
            &record(BPF_SP - 32, BPF_RECORD, NOT_TEXT),
        ],
        frames: &[after_call(SWITCH), NOT_TEXT],
        verdict: stop(Reason::NotText, 1, NOT_TEXT),
        ..BLOCKED
    },
    // SP and the CFA.
    Vector {
        name: "refuses_start_outside_stacks",
        start: State::switched_out(after_call(SWITCH), TASK.low - 16, WORKER_SP),
        frames: &[],
        verdict: stop(Reason::SpOffStack, 0, after_call(SWITCH)),
        ..BLOCKED
    },
    Vector {
        name: "refuses_start_on_irq_stack_of_preemptible_task",
        start: State::switched_out(after_call(SWITCH), IRQ.high - 32, IRQ.high - 32),
        frames: &[],
        verdict: stop(Reason::SpOffStack, 0, after_call(SWITCH)),
        ..BLOCKED
    },
    Vector {
        name: "refuses_misaligned_stack_pointer",
        start: State::switched_out(after_call(SWITCH), SWITCH_SP + 8, SWITCH_SP),
        frames: &[],
        verdict: stop(Reason::SpMisaligned, 0, after_call(SWITCH)),
        ..BLOCKED
    },
    stops_at! { "refuses_misaligned_frame", pc: ODD_FRAME, CfaMisaligned },
    stops_at! { "refuses_frame_below_stack_pointer",
    pc: FP_ONLY, sp: WORKER_SP, fp: WORKER_SP - 64, words: [], CfaBelowSp },
    stops_at! { "refuses_x29_on_no_stack",
    pc: FP_ONLY, sp: WORKER_SP, fp: TASK.high + 0x1000, words: [], CfaOffStack },
    stops_at! { "refuses_x29_at_the_end_of_memory",
    pc: FP_ONLY, sp: WORKER_SP, fp: u64::MAX - 15, words: [], CfaOffStack },
    stops_at! { "refuses_slot_below_stack_pointer",
    pc: FP_ONLY, sp: WORKER_SP, fp: WORKER_SP - 16, words: [], SlotOutsideFrame },
    Vector {
        name: "refuses_slot_at_the_cfa",
        start: State::switched_out(after_call(HIGH_SLOT), WORKER_SP - 32, 0),
        frames: &[after_call(HIGH_SLOT)],
        verdict: stop(Reason::SlotOutsideFrame, 0, after_call(HIGH_SLOT)),
        ..BLOCKED
    },
    Vector {
        name: "refuses_slot_above_stack",
        start: State::switched_out(after_call(HIGH_SLOT), TASK.high - 32, 0),
        frames: &[after_call(HIGH_SLOT)],
        verdict: stop(Reason::SlotOutsideFrame, 0, after_call(HIGH_SLOT)),
        ..BLOCKED
    },
    Vector {
        name: "refuses_frame_beyond_stack",
        start: State::switched_out(after_call(NO_RECORD), TASK.high - 16, 0),
        frames: &[after_call(NO_RECORD)],
        verdict: stop(Reason::CfaOffStack, 0, after_call(NO_RECORD)),
        ..BLOCKED
    },
    Vector {
        name: "refuses_cycle_of_records",
        start: State::switched_out(after_call(INVOKE_SYSCALL), SWITCH_SP, WORKER_SP),
        words: &[&record(WORKER_SP, WORKER_SP, after_call(INVOKE_SYSCALL))],
        frames: &[after_call(INVOKE_SYSCALL), after_call(INVOKE_SYSCALL)],
        verdict: stop(Reason::SpOutsideBounds, 1, after_call(INVOKE_SYSCALL)),
        ..BLOCKED
    },
    // The record of the inner function has become a copy of its caller's, so that
    // the caller is left out: SP is farther from x29 than the offset can be.
    Vector {
        name: "refuses_record_copied_below_system_call",
        start: State::switched_out(after_call(SWITCH), COPIED_SP - 32, COPIED_SP - 32),
        words: &[
            FINAL,
            &record(SYSCALL_FP, TASK_REGS + STACKFRAME, after_call(EL0_SYNC)),
            &record(COPIED_SP, SYSCALL_FP, after_call(INVOKE_SYSCALL)),
            &record(COPIED_SP - 32, SYSCALL_FP, after_call(INVOKE_SYSCALL)),
        ],
        frames: &[after_call(SWITCH), after_call(INVOKE_SYSCALL)],
        verdict: stop(Reason::SpOutsideBounds, 1, after_call(INVOKE_SYSCALL)),
        ..BLOCKED
    },
    Vector {
        name: "refuses_change_of_stacks_within_a_stack",
        start: State::switched_out(after_call(CALL_ON_IRQ_STACK), SWITCH_SP, LEFT_BY_SWITCH),
        words: &[
            FINAL,
            KTHREAD_FRAME,
            WORKER_FRAME,
            &record(LEFT_BY_SWITCH, WORKER_SP, after_call(WORKER)),
        ],
        frames: &[after_call(CALL_ON_IRQ_STACK)],
        verdict: stop(Reason::SpOutsideBounds, 0, after_call(CALL_ON_IRQ_STACK)),
        ..BLOCKED
    },
    from_end_of_stack! { "refuses_change_of_stacks_in_system_call",
    IRQ, fp: SYSCALL_FP, INVOKE_SYSCALL, CfaOffStack },
    Vector {
        name: "refuses_records_that_go_down",
        start: State::switched_out(after_call(INVOKE_SYSCALL), SWITCH_SP, WORKER_SP),
        words: &[&record(
            WORKER_SP,
            SWITCH_SP - 32,
            after_call(INVOKE_SYSCALL),
        )],
        frames: &[after_call(INVOKE_SYSCALL), after_call(INVOKE_SYSCALL)],
        verdict: stop(Reason::CfaBelowSp, 1, after_call(INVOKE_SYSCALL)),
        ..BLOCKED
    },
    Vector {
        name: "refuses_unreadable_stack",
        unreadable: Some(WORKER_SP + 8),
        frames: &[after_call(SWITCH), after_call(WORKER)],
        verdict: stop(Reason::Unreadable, 1, after_call(WORKER)),
        ..BLOCKED
    },
    Vector {
        name: "refuses_stack_without_any_valid_word",
        words: &[],
        frames: &[after_call(SWITCH)],
        verdict: stop(Reason::MisalignedPc, 1, super::POISON),
        ..BLOCKED
    },
    // x29.
    stops_at! { "refuses_x29_that_is_not_the_record",
    pc: WORKER + 0x30, sp: WORKER_SP, fp: KTHREAD_SP, words: [], FpMismatch },
    stops_at! { "refuses_saved_x29_that_differs_from_x29",
    pc: SWITCH + 4, sp: CALLEE_SP, fp: WORKER_SP,
    words: [&record(CALLEE_SP, KTHREAD_SP, after_call(WORKER))], FpMismatch },
    stops_blocked! { "refuses_chains_that_disagree", [&[(WORKER_SP, KTHREAD_SP + 16)]],
    FpMismatch at 2: after_call(SWITCH), after_call(WORKER), after_call(KTHREAD)
        => after_call(KTHREAD) },
    // Metadata records.
    stops_blocked! { "refuses_stack_without_final_record", [&[(TASK_REGS + STACKFRAME, 1)]],
    EntryText at 3: after_call(SWITCH), after_call(WORKER), after_call(KTHREAD),
        after_call(RET_FROM_FORK) => after_call(RET_FROM_FORK) },
    stops_blocked! { "refuses_final_record_with_a_return_address",
    [&[(TASK_REGS + STACKFRAME + 8, after_call(KTHREAD))]],
    EntryText at 3: after_call(SWITCH), after_call(WORKER), after_call(KTHREAD),
        after_call(RET_FROM_FORK) => after_call(RET_FROM_FORK) },
    stops_blocked! { "refuses_entry_code_amid_the_stack",
    [&[(WORKER_SP + 8, after_call(EL1_IRQ))]],
    EntryText at 2: after_call(SWITCH), after_call(WORKER), after_call(EL1_IRQ)
        => after_call(EL1_IRQ) },
    // Where a stack ends or an exception came is entry code, and nothing else.
    stops_at_end! { "refuses_final_record_below_a_function", WORKER, FpMismatch },
    stops_at_end! { "refuses_final_record_below_a_leaf", LEAF, ReturnAddressLost },
    stops_at_end! { "refuses_final_record_below_text_that_is_gone", NOT_TEXT, NotText },
    stops_at_end! { "refuses_final_record_below_a_hole", HOLE, Hole },
    stops_at_end! { "refuses_final_record_below_unproved_row", NOT_PROVED, NotProved },
    stops_at_end! { "refuses_final_record_below_other_assembly", NO_CFI, NoCfi },
    stops_at_end! { "refuses_final_record_below_init_text", INIT_TEXT, InitText },
    Vector {
        name: "refuses_task_that_never_ran_elsewhere",
        start: State::switched_out(after_call(WORKER), TASK_REGS, TASK_REGS + STACKFRAME),
        frames: &[after_call(WORKER)],
        verdict: stop(Reason::FpMismatch, 0, after_call(WORKER)),
        ..BLOCKED
    },
    stops_below_exception! { "refuses_exception_record_below_a_function", WORKER, FpMismatch },
    stops_below_exception! { "refuses_exception_record_below_text_that_is_gone",
    NOT_TEXT, NotText },
    stops_below_exception! { "refuses_exception_record_below_other_assembly", NO_CFI, NoCfi },
    stops_below_exception! { "refuses_exception_record_below_init_text", INIT_TEXT, InitText },
    stops_blocked! { "refuses_init_text_amid_the_stack",
    [&[(WORKER_SP + 8, after_call(INIT_TEXT))]],
    InitText at 2: after_call(SWITCH), after_call(WORKER), after_call(INIT_TEXT)
        => after_call(INIT_TEXT) },
    stops_at_regs! { "refuses_final_record_of_other_registers",
    &metadata(REGS, 1), FinalMisplaced },
    stops_at_regs! { "refuses_record_of_no_type", &metadata(REGS, 0), UnknownRecord },
    stops_at_regs! { "refuses_record_of_unknown_type", &metadata(REGS, 3), UnknownRecord },
    stops_at_regs! { "refuses_registers_of_user_space", &[(REGS + 264, 0)], RegsNotKernel },
    stops_at_regs! { "refuses_registers_of_aarch32", &[(REGS + 264, 0x15)], RegsNotKernel },
    stops_at_regs! { "refuses_registers_of_another_stack_pointer",
    &[(REGS + 248, WORKER_SP + 16)], RegsSpMismatch },
    stops_at_regs! { "refuses_registers_that_leave_the_task_stack",
    &[(REGS + 248, IRQ.high - 64)], RegsSpMismatch },
    Vector {
        name: "refuses_final_record_away_from_stack_pointer",
        start: State::switched_out(
            after_call(RET_FROM_FORK),
            TASK_REGS - 16,
            TASK_REGS + STACKFRAME,
        ),
        frames: &[after_call(RET_FROM_FORK)],
        verdict: stop(Reason::FinalMisplaced, 0, after_call(RET_FROM_FORK)),
        ..BLOCKED
    },
    Vector {
        name: "refuses_final_record_on_irq_stack",
        start: State::switched_out(
            after_call(RET_FROM_FORK),
            IRQ.high - REGS_BYTES,
            IRQ.high - REGS_BYTES + STACKFRAME,
        ),
        stacks: ALL_STACKS,
        words: &[&metadata(IRQ.high - REGS_BYTES, 1)],
        frames: &[after_call(RET_FROM_FORK)],
        verdict: stop(Reason::FinalMisplaced, 0, after_call(RET_FROM_FORK)),
        ..BLOCKED
    },
    stops_at_regs! { "refuses_exception_record_away_from_stack_pointer",
    &[
        (REGS - 32, REGS + STACKFRAME - 16),
        (REGS + STACKFRAME - 16, 0),
        (REGS + STACKFRAME - 8, 0),
        (REGS + STACKFRAME, 2),
    ], RegsMisplaced },
    // Other stacks.
    overflow_with_sp! { "refuses_overflow_of_unknown_stack",
    regs: OVERFLOW_REGS, sp: TASK.low - 64, stacks: ALL_STACKS, SpOffStack },
    overflow_with_sp! { "refuses_overflow_with_misaligned_stack_pointer",
    regs: OVERFLOW_REGS, sp: WORKER_SP + 8, stacks: ALL_STACKS, SpMisaligned },
    overflow_with_sp! { "refuses_change_of_stacks_amid_overflow_stack",
    regs: OVERFLOW_REGS - 64, sp: WORKER_SP, stacks: ALL_STACKS, RegsSpMismatch },
    overflow_with_sp! { "refuses_leaving_the_task_stack",
    regs: IRQ.high - REGS_BYTES, sp: WORKER_SP, stacks: &[IRQ, TASK], RegsSpMismatch },
    Vector {
        name: "refuses_change_of_stacks_amid_irq_stack",
        start: State::switched_out(after_call(CALL_ON_IRQ_STACK), IRQ.high - 16, LEFT_BY_SWITCH),
        stacks: ALL_STACKS,
        words: &[&record(LEFT_BY_SWITCH, WORKER_SP, after_call(WORKER))],
        frames: &[after_call(CALL_ON_IRQ_STACK)],
        verdict: stop(Reason::CfaOffStack, 0, after_call(CALL_ON_IRQ_STACK)),
        ..BLOCKED
    },
    from_end_of_stack! { "refuses_frame_that_reaches_another_stack",
    IRQ, fp: OVERFLOW.low + 64, FAR_FRAME, CfaOffStack },
    from_end_of_stack! { "refuses_slot_below_record_on_another_stack",
    IRQ, fp: WORKER_SP, BELOW_X29, SlotOutsideFrame },
    from_end_of_stack! { "refuses_change_of_stacks_at_end_of_task_stack",
    TASK, fp: IRQ.high - 64, CALL_ON_IRQ_STACK, StackReentered },
    Vector {
        name: "refuses_stack_that_was_left",
        start: State::switched_out(after_call(HANDLER), OVERFLOW_REGS - 32, OVERFLOW_REGS - 32),
        stacks: ALL_STACKS,
        // From the overflow stack to the IRQ stack, and back.
        words: &[
            &exception(
                OVERFLOW_REGS,
                WORKER + 0x30,
                IRQ.high - 48,
                IRQ.high - 48,
                0,
            ),
            &record(
                OVERFLOW_REGS - 32,
                OVERFLOW_REGS + STACKFRAME,
                after_call(EL1_IRQ),
            ),
            &record(
                IRQ.high - 48,
                OVERFLOW.low + 64,
                after_call(CALL_ON_IRQ_STACK),
            ),
        ],
        frames: &[
            after_call(HANDLER),
            after_call(EL1_IRQ),
            WORKER + 0x30,
            after_call(CALL_ON_IRQ_STACK),
        ],
        verdict: stop(Reason::StackReentered, 3, after_call(CALL_ON_IRQ_STACK)),
        ..BLOCKED
    },
];
