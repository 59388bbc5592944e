// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The text and the stacks of the synthetic tasks.
//!
//! Functions stand 0x100 apart. A call in one is at +0x20, so it returns to +0x24. At
//! +0x40 there is no call, nor up to +0x54, where there are other branches.

use crate::bpf;
use crate::machine::{StackRange, State};
use crate::reason::Reason;
use crate::rule::{Cfa, CfaBase, Frame, Location, RawRule, Rule, StackPointer, Undescribed, X29};
use crate::vectors::Word;

use core::num::NonZero;

const TEXT: u64 = 0xffff_8000_8001_0000;

/// `ret_from_fork`, entry code.
pub const RET_FROM_FORK: u64 = TEXT;
/// `el0t_64_sync`, entry code.
pub const EL0_SYNC: u64 = TEXT + 0x100;
/// `el1h_64_irq`, entry code.
pub const EL1_IRQ: u64 = TEXT + 0x200;
const ENTRY_END: u64 = TEXT + 0x300;
/// `return_to_handler` of the function graph tracer: `sub sp, sp, #112; …; str x30,
/// [sp, #104]` at +0x14, without rows from +0x80 on, where SP is back.
pub const RETURN_TO_HANDLER: u64 = TEXT + 0x300;
/// `__kretprobe_trampoline`: no rows.
pub const KRETPROBE: u64 = TEXT + 0x400;
/// The return of `return_to_handler`: no row.
pub const GRAPH_RETURN: u64 = KRETPROBE - 4;
/// `ret x9` of `ftrace_caller`: no row.
pub const FTRACE_RETURN: u64 = TEXT + 0x580;
/// `__sdei_asm_handler`: no rows.
pub const SDEI_HANDLER: u64 = TEXT + 0x500;
const UNDESCRIBED_END: u64 = TEXT + 0x600;

/// The function of a kernel thread: `stp x29, x30, [sp, #-32]!; mov x29, sp; …`.
pub const KTHREAD: u64 = TEXT + 0x1000;
/// What the thread works on: `stp x29, x30, [sp, #-48]!; mov x29, sp; …`.
pub const WORKER: u64 = TEXT + 0x1100;
/// `__switch_to`, with a frame of 32 bytes.
pub const SWITCH: u64 = TEXT + 0x1200;
/// The C part of an exception, with a frame of 32 bytes.
pub const HANDLER: u64 = TEXT + 0x1300;
/// `sub sp, sp, #32; str x29, [sp]; str x30, [sp, #8]; mov x29, sp; …`.
pub const SLOW_PROLOGUE: u64 = TEXT + 0x1400;
/// Never changes SP, x29 or x30.
pub const LEAF: u64 = TEXT + 0x1500;
/// `invoke_syscall` with `RANDOMIZE_KSTACK_OFFSET`: SP moves by [`RANDOM_OFFSET`] at
/// most, the CFA is x29 + 32.
pub const INVOKE_SYSCALL: u64 = TEXT + 0x1600;
/// `call_on_irq_stack`: `stp; mov x29, sp; …; add sp, x16, …; …; blr x1`.
pub const CALL_ON_IRQ_STACK: u64 = TEXT + 0x1700;
/// Ends with a call that does not return, at +0x7c; another function follows.
pub const ENDS_WITH_CALL: u64 = TEXT + 0x1800;
/// Begins where [`ENDS_WITH_CALL`] ends.
pub const FOLLOWING: u64 = ENDS_WITH_CALL + 0x80;
/// A frame whose x29 is in use for something else: SP alone finds the caller.
pub const NO_RECORD: u64 = TEXT + 0x1900;
/// `bti c; mov x9, x30; bl ftrace_caller; paciasp; …`: returns to +12.
pub const TRACED: u64 = TEXT + 0x1a00;
/// `ftrace_caller`, with rows from where it has stored both records.
pub const FTRACE_CALLER: u64 = TEXT + 0x1b00;
/// Its start: `bti c; cbnz x17, …; sub sp, sp, #144; …`, with the traced function's return address in
/// x9.
pub const FTRACE_CALLER_START: u64 = TEXT + 0x2700;
/// From where it has restored x29, its end.
pub const FTRACE_CALLER_TAIL: u64 = TEXT + 0x1b60;
/// The same, with a larger frame than `struct __arch_ftrace_regs` and the records.
pub const FTRACE_CALLER_LARGE: u64 = TEXT + 0x1b80;
/// The same, with rows that give the next record in place of the caller's x29.
pub const FTRACE_CALLER_CHAIN: u64 = TEXT + 0x1c00;
/// The same, with nothing known of x29.
pub const FTRACE_CALLER_LOOSE: u64 = TEXT + 0x1c80;
/// Inline assembly that calls with the return address in x8: rows say x30.
pub const PARKED_LR: u64 = TEXT + 0x1d00;
/// A frame of 24 bytes, which no stack pointer can have.
pub const ODD_FRAME: u64 = TEXT + 0x1e00;
/// The CFA is x29 + 32, with nothing known of x29's record.
pub const FP_ONLY: u64 = TEXT + 0x1f00;

/// A frame as large as the distance to another stack.
pub const FAR_FRAME: u64 = TEXT + 0x2800;
/// The CFA is x29 + 16, and the registers are saved below x29.
pub const BELOW_X29: u64 = TEXT + 0x2900;
/// As [`WORKER`], and of those that are left by their return alone.
pub const CALLED: u64 = TEXT + 0x2a00;
/// A row that no table holds: a slot at the CFA.
pub const HIGH_SLOT: u64 = TEXT + 0x2b00;

/// Between two functions.
pub const HOLE: u64 = TEXT + 0x2000;
/// Assembly without CFI.
pub const NO_CFI: u64 = TEXT + 0x2100;
/// A function whose CFI is wrong (`qcom_link_stack_sanitisation`).
pub const NOT_PROVED: u64 = TEXT + 0x2200;
/// Another calling convention (`__hwasan_tag_mismatch`).
pub const FOREIGN: u64 = TEXT + 0x2300;
/// A CFA by expression.
pub const BAD_CFI: u64 = TEXT + 0x2400;
/// A module without a table.
pub const NO_TABLE: u64 = TEXT + 0x2500;
/// Behind the end of a table.
pub const NO_ROW: u64 = TEXT + 0x2600;
/// As [`WORKER`], and signs its return address first.
pub const SIGNS: u64 = TEXT + 0x2c00;
/// As [`WORKER`], and does not.
pub const SIGNS_NOT: u64 = TEXT + 0x2d00;
/// As [`KTHREAD`], and its call is a BL to [`CALLED`].
pub const CALLS: u64 = TEXT + 0x2e00;
/// As [`CALLED`], in the text of a live patch, and farther from it than a function reaches.
pub const STAND_IN: u64 = TEXT + 0x3e00;
/// As [`CALLED`], and traced: `bti c; mov x9, x30; bl ftrace_caller; …`.
pub const CALLED_PATCHED: u64 = TEXT + 0x3700;
/// As [`CALLS`] with [`CALLED_PATCHED`].
pub const CALLS_PATCHED: u64 = TEXT + 0x3800;
const TEXT_END: u64 = TEXT + 0x3000;
/// A BPF program with a frame of 96 bytes, its prologue below +0x20, which changes
/// nothing up to +0xc, its epilogue from +0x80.
pub const BPF_PROG: u64 = TEXT + 0x3000;
/// The same with a tail call at +0x40, which takes the frame down.
pub const BPF_TAIL_CALLER: u64 = TEXT + 0x3100;
/// The same with a frame of less than the record.
pub const BPF_NO_FRAME: u64 = TEXT + 0x3200;
/// A BPF trampoline with a frame of 160 bytes: both records and what it needs. Its
/// prologue is below +0x20, its epilogue from +0x80.
pub const BPF_TRAMPOLINE: u64 = TEXT + 0x3300;
/// Where it calls the traced function: `adr x30, .+8; ret x10`; the same after something
/// else. Also in other functions, where it calls nothing.
pub const BPF_CALL: u64 = 0x5c;
/// See [`BPF_CALL`].
pub const BPF_NO_CALL: u64 = 0x64;
/// The same, of which the size is not known.
pub const BPF_TRAMPOLINE_NO_SIZE: u64 = TEXT + 0x3400;
/// The same with a frame that is too small for two records.
pub const BPF_TRAMPOLINE_SMALL: u64 = TEXT + 0x3500;
/// A BPF dispatcher: the kernel knows what it is, and no more.
pub const BPF_DISPATCHER: u64 = TEXT + 0x3600;
/// vmlinux's init text, for the task that was entered from there: `__primary_switched`.
pub const BOOT_ENTRY: u64 = TEXT + 0x3f00;
/// vmlinux's init text, for a task that was not entered from there.
pub const INIT_TEXT: u64 = TEXT + 0x4000;
/// Nothing: a kprobe's single-step slot, freed text, a BPF program that is gone.
pub const NOT_TEXT: u64 = TEXT + 0x10_0000;

/// The task's stack.
pub const TASK: StackRange = stack(0xffff_8000_8400_0000, 0x4000);
/// The CPU's IRQ stack.
pub const IRQ: StackRange = stack(0xffff_8000_8410_0000, 0x4000);
/// The CPU's overflow stack.
pub const OVERFLOW: StackRange = stack(0xffff_8000_8412_0000, 0x1000);
/// From the end of the IRQ stack into the overflow stack.
pub const FAR_SIZE: u32 = 0x1_c400;
/// What `KSTACK_OFFSET_MAX()` gives at most.
pub const RANDOM_OFFSET: u32 = 0x3f0;
/// `task_pt_regs()`.
pub const TASK_REGS: u64 = TASK.high - REGS_BYTES;

/// The frame of `ftrace_caller`: `struct __arch_ftrace_regs` and two records.
pub const FTRACE_BYTES: u64 = 112 + 32;
/// `sizeof(struct pt_regs)`.
pub const REGS_BYTES: u64 = 320;
/// `offsetof(struct pt_regs, stackframe)`.
pub const STACKFRAME: u64 = 296;

/// SP and x29 in [`KTHREAD`], which `ret_from_fork` has called.
pub const KTHREAD_SP: u64 = TASK_REGS - 32;
/// SP and x29 in [`WORKER`], which [`KTHREAD`] has called.
pub const WORKER_SP: u64 = KTHREAD_SP - 48;
/// SP and x29 in [`SWITCH`], which [`WORKER`] has called.
pub const SWITCH_SP: u64 = WORKER_SP - 32;

/// SP in a BPF program, which [`WORKER`] has called, and its frame record.
pub const BPF_SP: u64 = WORKER_SP - 96;
/// See [`BPF_SP`].
pub const BPF_RECORD: u64 = WORKER_SP - 16;

/// The end of the stack: the final record.
pub const FINAL: &[Word] = &metadata(TASK_REGS, 1);
/// The frame of [`KTHREAD`].
pub const KTHREAD_FRAME: &[Word] = &record(
    KTHREAD_SP,
    TASK_REGS + STACKFRAME,
    after_call(RET_FROM_FORK),
);
/// The frame of [`WORKER`].
pub const WORKER_FRAME: &[Word] = &record(WORKER_SP, KTHREAD_SP, after_call(KTHREAD));
/// The frame of [`SWITCH`].
pub const SWITCH_FRAME: &[Word] = &record(SWITCH_SP, WORKER_SP, after_call(WORKER));
/// The frame of a BPF program.
pub const BPF_FRAME: &[Word] = &record(BPF_RECORD, WORKER_SP, after_call(WORKER));

/// Where no function has a call, in bytes from its start.
const NO_CALL: u64 = 0x40;

/// Where no call in a function would return to.
pub(super) const fn after_no_call(function: u64) -> u64 {
    function + NO_CALL + 4
}

/// Where the call in a function returns to.
pub(super) const fn after_call(function: u64) -> u64 {
    function + 0x24
}

/// The address with a pointer authentication code, as PACIASP makes it.
pub(super) const fn signed(address: u64) -> u64 {
    (address & 0x0080_ffff_ffff_ffff) | 0x6b35_0000_0000_0000
}

/// A frame record.
pub(super) const fn record(at: u64, fp: u64, lr: u64) -> [Word; 2] {
    [(at, fp), (at + 8, lr)]
}

/// The metadata record in `struct pt_regs` at this address.
pub(super) const fn metadata(regs: u64, kind: u64) -> [Word; 3] {
    let at = regs + STACKFRAME;
    [(at, 0), (at + 8, 0), (at + 16, kind)]
}

/// What `ftrace_caller` saves at this address: `struct __arch_ftrace_regs`, from
/// `direct_tramp` on.
pub(super) const fn ftrace_regs(at: u64, fp: u64, lr: u64, sp: u64, pc: u64) -> [Word; 5] {
    [
        (at + 72, 0),
        (at + 80, fp),
        (at + 88, lr),
        (at + 96, sp),
        (at + 104, pc),
    ]
}

/// What an exception saves at this address: the state, EL1h, the record.
pub(super) const fn exception(at: u64, pc: u64, sp: u64, fp: u64, lr: u64) -> [Word; 8] {
    let [fp_word, lr_word, kind] = metadata(at, 2);
    [
        (at + 232, fp),
        (at + 240, lr),
        (at + 248, sp),
        (at + 256, pc),
        (at + 264, 0x8040_0005),
        fp_word,
        lr_word,
        kind,
    ]
}

/// What an exception at this address saves of x9.
pub(super) const fn saved_x9(at: u64, x9: u64) -> [Word; 1] {
    [(at + 72, x9)]
}

/// The same for an exception that did not change stacks.
pub(super) const fn interrupted(pc: u64, sp: u64, fp: u64, lr: u64) -> [Word; 8] {
    exception(sp - REGS_BYTES, pc, sp, fp, lr)
}

/// The frames of a task that was preempted at the end of an interrupt: the entry
/// assembly has called [`HANDLER`], and that [`SWITCH`].
pub(super) const fn preemption(sp: u64) -> [Word; 4] {
    let regs = sp - REGS_BYTES;
    let [handler_fp, handler_lr] = record(regs - 32, regs + STACKFRAME, after_call(EL1_IRQ));
    let [switch_fp, switch_lr] = record(regs - 64, regs - 32, after_call(HANDLER));
    [handler_fp, handler_lr, switch_fp, switch_lr]
}

/// Where the walk over such a task starts.
pub(super) const fn preempted(sp: u64) -> State {
    let sp = sp - REGS_BYTES - 64;
    State::switched_out(after_call(SWITCH), sp, sp)
}

/// The rule at a PC of the synthetic text, as a table would hold it: also one that none may.
pub(super) fn raw_rule(pc: u64) -> Result<RawRule, Reason> {
    let function = pc & !0xff;
    match function {
        BPF_PROG => return bpf_program(pc & 0xff, 96),
        BPF_TAIL_CALLER => return bpf_program(pc & 0xff, 0),
        BPF_NO_FRAME => return bpf_program(pc & 0xff, 8),
        BPF_TRAMPOLINE => return bpf_trampoline(pc & 0xff, 160),
        BPF_TRAMPOLINE_NO_SIZE => return bpf_trampoline(pc & 0xff, 0),
        BPF_TRAMPOLINE_SMALL => return bpf_trampoline(pc & 0xff, 24),
        _ => {}
    }
    let raw = match rule(pc)? {
        Rule::Frame(frame) => frame.pack(),
        unreliable => unreliable.encode(),
    };
    raw.ok_or(Reason::NoRow)
}

fn rule(pc: u64) -> Result<Rule, Reason> {
    let function = pc & !0xff;
    match function {
        RET_FROM_FORK..ENTRY_END | BOOT_ENTRY => Err(Reason::EntryText),
        RETURN_TO_HANDLER => return_to_handler(pc & 0xff),
        ENTRY_END..UNDESCRIBED_END | NO_CFI => unreliable(Undescribed::NoCfi),
        HOLE => unreliable(Undescribed::Hole),
        NOT_PROVED => unreliable(Undescribed::NotProved),
        FOREIGN => unreliable(Undescribed::Foreign),
        BAD_CFI => unreliable(Undescribed::BadCfi),
        NO_TABLE => Err(Reason::NoTable),
        NO_ROW => Err(Reason::NoRow),
        BPF_DISPATCHER => Err(Reason::BpfOther),
        INIT_TEXT => Err(Reason::InitText),
        KTHREAD..HOLE
        | FTRACE_CALLER_START..TEXT_END
        | CALLED_PATCHED
        | CALLS_PATCHED
        | STAND_IN => frame(function, pc & 0xff).map(Rule::Frame),
        _ => Err(Reason::NotText),
    }
}

/// What the kernel says of a program with a frame of this size, 0 if not fixed.
fn bpf_program(offset: u64, frame_bytes: u32) -> Result<RawRule, Reason> {
    match offset {
        0..0x10 => Ok(RawRule::ENTRY),
        0x20..0x80 => bpf::body(NonZero::new(frame_bytes)),
        _ => Err(Reason::BpfOther),
    }
}

/// What the kernel says of a trampoline with a frame of this size, 0 if not known.
fn bpf_trampoline(offset: u64, frame_bytes: u32) -> Result<RawRule, Reason> {
    match offset {
        0x20..0x80 => bpf::trampoline(NonZero::new(frame_bytes)),
        _ => Err(Reason::BpfOther),
    }
}

fn return_to_handler(offset: u64) -> Result<Rule, Reason> {
    let started = Frame {
        cfa: Cfa {
            base: CfaBase::Sp,
            offset: 112,
        },
        ..Frame::ENTRY
    };
    match offset {
        0..4 => Ok(Rule::Frame(Frame::ENTRY)),
        4..0x18 => Ok(Rule::Frame(started)),
        0x18..0x80 => Ok(Rule::Frame(Frame {
            return_address: Location::Slot(8),
            ..started
        })),
        _ => unreliable(Undescribed::NoCfi),
    }
}

fn unreliable(why: Undescribed) -> Result<Rule, Reason> {
    Ok(Rule::Unreliable(why))
}

fn frame(function: u64, offset: u64) -> Result<Frame, Reason> {
    Ok(match function {
        KTHREAD | SWITCH | HANDLER => usual(32, offset),
        ENDS_WITH_CALL if offset >= FOLLOWING - ENDS_WITH_CALL => {
            usual(48, offset.saturating_sub(0x80))
        }
        ENDS_WITH_CALL => usual(32, offset),
        WORKER => usual(48, offset),
        SIGNS | SIGNS_NOT => Frame {
            signed: Some(function == SIGNS),
            ..saved(CfaBase::Sp, 48, X29::Record(48))
        },
        SLOW_PROLOGUE => slow_prologue(offset),
        LEAF | PARKED_LR => Frame::ENTRY,
        INVOKE_SYSCALL => Frame {
            sp: StackPointer::Below {
                least: 32,
                most: Some(32 + RANDOM_OFFSET),
            },
            ..saved(CfaBase::Fp, 32, X29::Record(32))
        },
        CALL_ON_IRQ_STACK => match offset {
            0..0x10 => Frame::ENTRY,
            0x10..0x14 => saved(CfaBase::Sp, 16, X29::Caller),
            0x14..0x18 => saved(CfaBase::Sp, 16, X29::Record(16)),
            _ => Frame {
                sp: StackPointer::OtherStack,
                ..saved(CfaBase::Fp, 16, X29::Record(16))
            },
        },
        NO_RECORD => saved(CfaBase::Sp, 32, X29::Other),
        // Not as it is at the callsite.
        TRACED if offset < 12 => usual(32, 8),
        TRACED => usual(32, offset.saturating_sub(12)),
        FTRACE_CALLER if offset >= 0x80 => Frame {
            cfa: Cfa {
                base: CfaBase::Sp,
                offset: 112 + 32 + 16,
            },
            ..ftrace_caller(16)
        },
        FTRACE_CALLER if offset >= FTRACE_CALLER_TAIL - FTRACE_CALLER => Frame {
            x29: X29::Caller,
            ..ftrace_caller(16)
        },
        FTRACE_CALLER => ftrace_caller(16),
        FTRACE_CALLER_START => Frame {
            cfa: Cfa {
                base: CfaBase::Sp,
                offset: if offset < 12 { 0 } else { 112 + 32 },
            },
            patch_site: true,
            ..Frame::ENTRY
        },
        FTRACE_CALLER_CHAIN if offset >= 0x80 => Frame {
            x29: X29::Other,
            ..ftrace_caller(32)
        },
        FTRACE_CALLER_CHAIN => ftrace_caller(32),
        ODD_FRAME => saved(CfaBase::Sp, 24, X29::Other),
        FAR_FRAME => saved(CfaBase::Sp, FAR_SIZE, X29::Other),
        BELOW_X29 => slots(CfaBase::Fp, 16, 24),
        CALLED | CALLED_PATCHED | STAND_IN => Frame {
            left_by_return: (offset < 4).then_some(0x100),
            ..usual(48, offset)
        },
        CALLS | CALLS_PATCHED => usual(32, offset),
        HIGH_SLOT => slots(CfaBase::Sp, 32, 0),
        FP_ONLY => saved(CfaBase::Fp, 32, X29::Other),
        _ => return Err(Reason::NotText),
    })
}

/// `stp x29, x30, [sp, #-size]!; mov x29, sp; …; ldp x29, x30, [sp], #size; ret`,
/// with the `ret` at +0x80.
fn usual(size: u32, offset: u64) -> Frame {
    match offset {
        0..4 | 0x80.. => Frame::ENTRY,
        4..8 => saved(CfaBase::Sp, size, X29::Caller),
        _ => saved(CfaBase::Sp, size, X29::Record(size)),
    }
}

fn slow_prologue(offset: u64) -> Frame {
    let whole = saved(CfaBase::Sp, 32, X29::Caller);
    match offset {
        0..4 => Frame::ENTRY,
        4..8 => Frame {
            return_address: Location::Register,
            signed: None,
            caller_fp: Location::Register,
            ..whole
        },
        8..12 => Frame {
            return_address: Location::Register,
            signed: None,
            ..whole
        },
        12..16 => whole,
        _ => usual(32, 8),
    }
}

/// The instruction at a PC of the synthetic text: a call, but for one in each function
/// and where the boot CPU was.
pub(super) const fn instruction(pc: u64) -> Option<u32> {
    match (pc & !0xff, pc & 0xff) {
        (BOOT_ENTRY, _) | (NO_RECORD, NO_CALL) => None,
        (_, NO_CALL) => Some(0xd503_201f),             // nop
        (FTRACE_CALLER_START, 4) => Some(0xb500_0a91), // cbnz x17
        (_, 0x44) => Some(0x17ff_ff00),                // b
        (_, 0x48) => Some(0xd61f_0100),                // br x8
        (_, 0x4c) => Some(0xd71f_0909),                // braa x8, x9
        (_, 0x50) => Some(0xd61f_0d1f),                // brabz x8
        (_, 0x54) => Some(0xd65f_03c0),                // ret
        (_, BPF_CALL) => Some(0xd65f_0140),            // ret x10
        (_, BPF_NO_CALL) => Some(0xd65f_0140),
        (_, 0x58) => Some(0x1000_005e),           // adr x30, .+8
        (CALLS, _) => Some(0x97ff_fef8),          // bl CALLED
        (CALLS_PATCHED, _) => Some(0x97ff_ffb8),  // bl CALLED_PATCHED
        (CALLED_PATCHED, 4) => Some(0xaa1e_03e9), // mov x9, x30
        (WORKER, _) => Some(0xd63f_0100),         // blr x8
        (SWITCH, _) => Some(0xd73f_0909),         // blraa x8, x9
        (HANDLER, _) => Some(0xd63f_0d1f),        // blrabz x8
        _ => Some(0x97ff_ff00),                   // bl
    }
}

/// x29 and x30 saved at the bottom of a frame of this size.
fn saved(base: CfaBase, size: u32, x29: X29) -> Frame {
    Frame {
        cfa: Cfa { base, offset: size },
        sp: match base {
            CfaBase::Sp => StackPointer::Exact,
            CfaBase::Fp => StackPointer::Anywhere,
        },
        return_address: Location::Slot(size.saturating_sub(8)),
        signed: None,
        caller_fp: Location::Slot(size),
        x29,
        patch_site: false,
        left_by_return: None,
    }
}

/// A frame with the return address here, and nothing known of x29.
fn slots(base: CfaBase, size: u32, return_address: u32) -> Frame {
    Frame {
        return_address: Location::Slot(return_address),
        ..saved(base, size, X29::Other)
    }
}

/// The traced function's record at CFA - 16, its own at CFA - 32, and the
/// registers below.
fn ftrace_caller(caller_fp: u32) -> Frame {
    Frame {
        cfa: Cfa {
            base: CfaBase::Sp,
            offset: 112 + 32,
        },
        sp: StackPointer::Exact,
        return_address: Location::Slot(24),
        signed: None,
        caller_fp: Location::Slot(caller_fp),
        x29: X29::Record(32),
        patch_site: true,
        left_by_return: None,
    }
}

const fn stack(low: u64, size: u64) -> StackRange {
    StackRange {
        low,
        high: low + size,
    }
}
