// SPDX-License-Identifier: GPL-2.0 OR MIT

//! One step of the walk: from the registers of a frame to those of its caller.
//!
//! A step believes nothing that it can check. SP comes through the rows, x29
//! through the frame records, and at each frame both must tell the same.
//!
//! A walk ends, whatever is on the stack: a frame that made a call has its return
//! address between SP and the CFA, so SP goes up; registers of an exception are
//! left upwards; the other frames are followed by one of these; and a stack once
//! left stays left.

use crate::machine::{Kind, Machine, State};
use crate::reason::Reason;
use crate::rule::{CfaBase, Frame, Location, Rule, StackPointer, X29};
use crate::stacks::Stacks;

/// What a step leads to.
#[derive(Debug)]
pub(crate) enum Next {
    /// The caller.
    Frame(State),
    /// Nothing: this was the outermost frame of the task.
    End,
}

/// `FRAME_META_TYPE_FINAL` of `asm/stacktrace/frame.h`.
const META_FINAL: u64 = 1;
/// `FRAME_META_TYPE_PT_REGS` of `asm/stacktrace/frame.h`.
const META_PT_REGS: u64 = 2;
/// Size of `struct frame_record_meta`.
const META_BYTES: u64 = 24;
/// Size of a saved register.
const SLOT_BYTES: u32 = 8;
/// Size of a frame record.
const RECORD_BYTES: u64 = 16;
/// The mode bits of PSTATE, with the one for AArch32.
const PSTATE_MODE: u64 = 0x1f;
/// The modes that the kernel runs in: EL1h, and EL2h with VHE.
const KERNEL_MODES: [u64; 2] = [0x5, 0x9];

/// Steps from `state` to its caller.
pub(crate) fn step<M: Machine>(
    machine: &mut M,
    stacks: &mut Stacks,
    state: &State,
) -> Result<Next, Reason> {
    let waits = matches!(state.kind, Kind::ReturnsTo | Kind::SwitchedOut);
    let rule = match rule(machine, state) {
        // Only a call can be seen by its record; where entry code was interrupted
        // itself, the registers may be half saved.
        Err(Reason::EntryText) if waits => {
            check_call(machine, state, true)?;
            return entry(machine, stacks, state);
        }
        rule => rule?,
    };
    check_call(machine, state, false)?;
    match state.kind {
        Kind::Entered { .. } if !is_function_entry(machine, state, &rule) => {
            Err(Reason::PatchSiteNotEntry)
        }
        _ if rule.patch_site && rule.caller_fp == Location::Register => {
            ftrace_caller_start(machine, stacks, state, &rule)
        }
        _ if rule.patch_site && is_bpf_trampoline(machine, state) => {
            bpf_trampoline(machine, stacks, state, &rule)
        }
        _ if rule.patch_site => ftrace_caller(machine, stacks, state, &rule),
        _ if rule.x29 == X29::Caller && is_graph_return(machine, state) => {
            graph_return(machine, stacks, state, &rule)
        }
        _ => frame(machine, stacks, state, &rule),
    }
    .map(Next::Frame)
}

/// The address of the call that this frame waits for, if it waits for one.
fn call_site<M: Machine>(machine: &M, state: &State) -> Option<u64> {
    match state.kind {
        Kind::Interrupted { .. } | Kind::Entered { .. } => None,
        // Never run: no call comes before `ret_from_fork`.
        Kind::SwitchedOut if state.sp == machine.task_regs() => None,
        // It may be the last instruction of its function.
        Kind::ReturnsTo | Kind::SwitchedOut => state.pc.checked_sub(4),
    }
}

/// A return address comes after a call, and nothing else.
fn check_call<M: Machine>(machine: &mut M, state: &State, is_entry: bool) -> Result<(), Reason> {
    let Some(site) = call_site(machine, state) else {
        return Ok(());
    };
    match machine.instruction(site) {
        Some(instruction) if is_call(instruction) => Ok(()),
        Some(RET_X10) if is_bpf_trampoline(machine, state) => check_bpf_call(machine, site),
        // Where the boot CPU's idle task was entered from.
        None if is_entry => Ok(()),
        _ => Err(Reason::NoCall),
    }
}

/// Whether this is BL or BLR, with pointer authentication (BLRAA, BLRAAZ, BLRAB,
/// BLRABZ) or without: C4.1.94 of the Arm ARM, branches that set x30.
const fn is_call(instruction: u32) -> bool {
    instruction & 0xfc00_0000 == 0x9400_0000
        || instruction & 0xffff_fc1f == 0xd63f_0000
        || instruction & 0xffff_f81f == 0xd63f_081f
        || instruction & 0xffff_f800 == 0xd73f_0800
}

/// `ret x10`
const RET_X10: u32 = 0xd65f_0140;
/// `adr x30, .+8`
const ADR_X30_8: u32 = 0x1000_005e;

/// A BPF trampoline calls the function whose entry has called it behind that entry,
/// where no BLR may go to: it puts the return address into x30 itself.
fn check_bpf_call<M: Machine>(machine: &mut M, site: u64) -> Result<(), Reason> {
    let before = site.checked_sub(4).ok_or(Reason::NoCall)?;
    match machine.instruction(before) {
        Some(ADR_X30_8) => Ok(()),
        _ => Err(Reason::NoCall),
    }
}

fn is_bpf_trampoline<M: Machine>(machine: &mut M, state: &State) -> bool {
    let pc = call_site(machine, state).unwrap_or(state.pc);
    machine.is_bpf_trampoline(pc)
}

/// Whether ftrace may send a task here. `return_to_handler` starts as functions do, but
/// is none.
fn is_function_entry<M: Machine>(machine: &M, state: &State, rule: &Frame) -> bool {
    *rule == Frame::ENTRY && !is_graph_return(machine, state)
}

fn is_graph_return<M: Machine>(machine: &M, state: &State) -> bool {
    machine.is_graph_return(call_site(machine, state).unwrap_or(state.pc))
}

/// The rule for this frame, or why there is none.
fn rule<M: Machine>(machine: &mut M, state: &State) -> Result<Frame, Reason> {
    let pc = match (state.kind, state.pc) {
        (Kind::ReturnsTo | Kind::SwitchedOut, 0..4) => return Err(Reason::NullPc),
        (_, pc) => call_site(machine, state).unwrap_or(pc),
    };
    match machine.rule(pc)? {
        Rule::Frame(rule) => Ok(rule),
        Rule::Unreliable(why) => Err(why.into()),
    }
}

/// Steps from entry code, which has no rows.
///
/// It calls C with `struct pt_regs` at SP and x29 at the metadata record in it: this
/// is what stands for the rows. No other code is taken for entry code, whatever is on
/// the stack: a return address that was changed would be believed.
fn entry<M: Machine>(machine: &mut M, stacks: &mut Stacks, state: &State) -> Result<Next, Reason> {
    let Some(kind) = metadata_at(machine, stacks, state.fp)? else {
        return Err(Reason::EntryText);
    };
    let is_at_sp = state.sp.checked_add(M::REGS.stackframe) == Some(state.fp);
    match kind {
        // The walk is on the task's own stack then.
        META_FINAL if is_at_sp && state.sp == machine.task_regs() => Ok(Next::End),
        META_FINAL => Err(Reason::FinalMisplaced),
        META_PT_REGS if is_at_sp => saved_regs(machine, stacks, state.sp).map(Next::Frame),
        META_PT_REGS => Err(Reason::RegsMisplaced),
        _ if is_at_sp => Err(Reason::UnknownRecord),
        _ => Err(Reason::EntryText),
    }
}

/// The type of the metadata record at this address, if there is one.
fn metadata_at<M: Machine>(
    machine: &mut M,
    stacks: &Stacks,
    record: u64,
) -> Result<Option<u64>, Reason> {
    if record % 8 != 0 || !stacks.current().contains(record, META_BYTES) {
        return Ok(None);
    }
    let fp = stacks.read(machine, record)?;
    let lr = stacks.read(machine, record.saturating_add(8))?;
    if fp != 0 || lr != 0 {
        return Ok(None);
    }
    let kind = stacks.read(machine, record.saturating_add(RECORD_BYTES))?;
    Ok(Some(kind))
}

/// The registers that an exception saved at SP.
fn saved_regs<M: Machine>(
    machine: &mut M,
    stacks: &mut Stacks,
    regs: u64,
) -> Result<State, Reason> {
    if !stacks.current().contains(regs, M::REGS.size) {
        return Err(Reason::RegsMisplaced);
    }
    let mut read = |offset: u64| {
        let address = regs.checked_add(offset).ok_or(Reason::RegsMisplaced)?;
        stacks.read(machine, address)
    };
    let pstate = read(M::REGS.pstate)?;
    let (pc, sp) = (read(M::REGS.pc)?, read(M::REGS.sp)?);
    let (fp, lr) = (read(M::REGS.fp)?, read(M::REGS.lr)?);
    let x9 = read(M::REGS.x9)?;

    // An exception from user space has a final record instead.
    if !KERNEL_MODES.contains(&(pstate & PSTATE_MODE)) {
        return Err(Reason::RegsNotKernel);
    }
    check_saved_sp(machine, stacks, regs, sp)?;
    Ok(State::interrupted(pc, sp, fp, lr).with_x9(x9))
}

/// SP before an exception is just above the registers saved there.
///
/// The exception is an overflow: `__bad_stack` of `entry.S` saves the registers
/// at the top of the overflow stack, and SP is on the stack that ran full.
fn check_saved_sp<M: Machine>(
    machine: &mut M,
    stacks: &mut Stacks,
    regs: u64,
    sp: u64,
) -> Result<(), Reason> {
    let above = regs
        .checked_add(M::REGS.size)
        .ok_or(Reason::RegsMisplaced)?;
    if sp == above {
        return Ok(());
    }
    if stacks.is_task() || above != stacks.current().high {
        return Err(Reason::RegsSpMismatch);
    }
    if sp % 16 != 0 {
        return Err(Reason::SpMisaligned);
    }
    stacks.leave_for(machine, sp, 16, Reason::SpOffStack)
}

/// Applies a row.
fn frame<M: Machine>(
    machine: &mut M,
    stacks: &mut Stacks,
    state: &State,
    rule: &Frame,
) -> Result<State, Reason> {
    let cfa = cfa(state, rule)?;
    let frame = Bounds {
        floor: enter(machine, stacks, state, rule, cfa)?,
        cfa,
    };
    if let X29::Record(offset) = rule.x29 {
        if frame.below_cfa(offset) != Some(state.fp) {
            return Err(Reason::FpMismatch);
        }
    }
    let pc = match (rule.return_address, state.kind) {
        (Location::Slot(offset), _) => frame.read(machine, stacks, offset)?,
        (Location::Register, Kind::Interrupted { lr: Some(lr), .. } | Kind::Entered { lr }) => lr,
        // The call that has not returned yet has put its own address in x30.
        (Location::Register, _) => return Err(Reason::ReturnAddressLost),
    };
    let fp = match rule.caller_fp {
        Location::Slot(offset) => frame.read(machine, stacks, offset)?,
        Location::Register => state.fp,
    };
    // Saved and not yet changed: both must be the same.
    if rule.x29 == X29::Caller && fp != state.fp {
        return Err(Reason::FpMismatch);
    }
    machine.witness(pc, cfa, rule.signed)?;
    Ok(State::returns_to(pc, cfa, fp))
}

fn cfa(state: &State, rule: &Frame) -> Result<u64, Reason> {
    let base = match rule.cfa.base {
        CfaBase::Sp => state.sp,
        CfaBase::Fp => state.fp,
    };
    let cfa = base
        .checked_add(u64::from(rule.cfa.offset))
        .ok_or(Reason::CfaOffStack)?;
    if cfa % 16 != 0 {
        return Err(Reason::CfaMisaligned);
    }
    Ok(cfa)
}

/// Moves to the stack that the CFA is on; gives the lowest address of the frame
/// there.
fn enter<M: Machine>(
    machine: &mut M,
    stacks: &mut Stacks,
    state: &State,
    rule: &Frame,
    cfa: u64,
) -> Result<u64, Reason> {
    let stack = stacks.current();
    if (stack.low..=stack.high).contains(&cfa) {
        let bytes = cfa.checked_sub(state.sp).ok_or(Reason::CfaBelowSp)?;
        return match is_within(rule.sp, bytes) {
            true => Ok(state.sp),
            false => Err(Reason::SpOutsideBounds),
        };
    }
    // call_on_irq_stack() sets SP to the top of an empty stack, and leaves x29 at
    // its record on the stack it came from. Nobody else has two stacks.
    let may_switch = matches!(rule.sp, StackPointer::OtherStack | StackPointer::Anywhere);
    if may_switch && state.sp == stack.high {
        let size = cfa.checked_sub(state.fp).ok_or(Reason::CfaOffStack)?;
        stacks.leave_for(machine, state.fp, size, Reason::CfaOffStack)?;
        return Ok(state.fp);
    }
    Err(Reason::CfaOffStack)
}

/// Whether SP may be this many bytes below a CFA on the same stack.
fn is_within(sp: StackPointer, bytes: u64) -> bool {
    match sp {
        // The CFA was made of SP.
        StackPointer::Exact | StackPointer::Anywhere => true,
        StackPointer::Below { least, most } => {
            u64::from(least) <= bytes && most.is_none_or(|most| bytes <= u64::from(most))
        }
        StackPointer::OtherStack => false,
    }
}

/// The part of a stack that a frame takes.
struct Bounds {
    floor: u64,
    cfa: u64,
}

impl Bounds {
    fn below_cfa(&self, offset: u32) -> Option<u64> {
        self.cfa.checked_sub(u64::from(offset))
    }

    /// The slot at CFA minus `offset`, which lies in the frame. A return address
    /// from above it would not make SP go up.
    fn read<M: Machine>(
        &self,
        machine: &mut M,
        stacks: &Stacks,
        offset: u32,
    ) -> Result<u64, Reason> {
        let address = self.below_cfa(offset).ok_or(Reason::SlotOutsideFrame)?;
        if address < self.floor || offset < SLOT_BYTES {
            return Err(Reason::SlotOutsideFrame);
        }
        stacks.read(machine, address)
    }
}

/// Steps from `ftrace_caller` to where it lets the task go on.
///
/// It was called from a function's entry, with the return address of that function in
/// x9. Before its rows say so, it has stored {x29, x9} in a record below the CFA, its
/// own record below that, and `struct ftrace_regs` at SP: all three must tell the same.
/// What it calls may change where the function returns to (the function graph tracer)
/// and where the task goes on (`klp_ftrace_handler()`); the latter is on no frame yet,
/// though it is the next to run.
fn ftrace_caller<M: Machine>(
    machine: &mut M,
    stacks: &mut Stacks,
    state: &State,
    rule: &Frame,
) -> Result<State, Reason> {
    let Callsite {
        cfa,
        record,
        fp,
        lr,
        ..
    } = callsite(machine, stacks, state, rule)?;
    let regs = read_ftrace_regs(machine, stacks, state)?;
    let lies = record.checked_sub(RECORD_BYTES) != state.sp.checked_add(M::FTRACE_REGS.size);
    if lies || regs.sp != cfa || regs.fp != fp {
        return Err(Reason::FtraceRegsMismatch);
    }
    if regs.direct_tramp != 0 {
        return Err(Reason::DirectCall);
    }
    if regs.lr == lr {
        machine.pass_entered(lr, fp);
    } else if machine.recover(regs.lr, fp)? != lr {
        return Err(Reason::FtraceRegsMismatch);
    }
    // ftrace_override_function_with_return(): the function is not executed.
    if regs.pc == regs.lr {
        // As the call has left it in x30.
        machine.witness(lr, cfa, Some(false))?;
        return Ok(State::returns_to(lr, cfa, fp));
    }
    Ok(State {
        pc: regs.pc,
        kind: Kind::Entered { lr },
        sp: cfa,
        fp,
    })
}

/// Whether this is CBNZ of a 64-bit register: compare and branch, C4.1 of the Arm ARM.
const fn is_cbnz(instruction: u32) -> bool {
    instruction & 0xff00_0000 == 0xb500_0000
}

/// Steps from the start of `ftrace_caller`, where it has stored nothing yet.
///
/// x30 is the callsite, x9 the return address of the function there. No tracer has been
/// called, so both are what they will be. Where the kernel has direct calls, one is
/// loaded and tested for at once: until then there is none, and after the branch neither.
fn ftrace_caller_start<M: Machine>(
    machine: &mut M,
    stacks: &mut Stacks,
    state: &State,
    rule: &Frame,
) -> Result<State, Reason> {
    let Kind::Interrupted { x9: lr, .. } = state.kind else {
        return Err(Reason::ReturnAddressLost);
    };
    let next = machine.instruction(state.pc).ok_or(Reason::DirectCall)?;
    if M::FTRACE_REGS.direct_tramp.is_some() && is_cbnz(next) {
        return Err(Reason::DirectCall);
    }
    Ok(State {
        kind: Kind::Entered { lr },
        ..frame(machine, stacks, state, rule)?
    })
}

/// Steps from `return_to_handler` to the caller of the function that has returned to it.
///
/// It has saved its own address, which stands for the one that the tracer has kept.
/// `ftrace_return_to_handler()` puts that in its place, and forgets it afterwards.
fn graph_return<M: Machine>(
    machine: &mut M,
    stacks: &mut Stacks,
    state: &State,
    rule: &Frame,
) -> Result<State, Reason> {
    let caller = frame(machine, stacks, state, rule)?;
    machine.pass_entered(caller.pc, caller.fp);
    Ok(caller)
}

/// Steps from a BPF trampoline to the function whose entry has called it.
///
/// `prepare_trampoline()` makes the two records that `ftrace_caller` makes. What was to
/// be changed by tracers or live patches has been, before the trampoline was called.
fn bpf_trampoline<M: Machine>(
    machine: &mut M,
    stacks: &mut Stacks,
    state: &State,
    rule: &Frame,
) -> Result<State, Reason> {
    let Callsite {
        pc, cfa, fp, lr, ..
    } = callsite(machine, stacks, state, rule)?;
    Ok(State {
        pc,
        kind: Kind::Entered { lr },
        sp: cfa,
        fp,
    })
}

/// What a trampoline that was called from a function's entry says of that function.
struct Callsite {
    /// Where it returns to.
    pc: u64,
    /// SP there.
    cfa: u64,
    /// The address of the record that stands for the function.
    record: u64,
    /// x29 and x30 in that record.
    fp: u64,
    lr: u64,
}

/// Applies the row of such a trampoline.
fn callsite<M: Machine>(
    machine: &mut M,
    stacks: &mut Stacks,
    state: &State,
    rule: &Frame,
) -> Result<Callsite, Reason> {
    let caller = frame(machine, stacks, state, rule)?;
    let cfa = caller.sp;
    let record = cfa
        .checked_sub(RECORD_BYTES)
        .ok_or(Reason::SlotOutsideFrame)?;
    let fp = stacks.read(machine, record)?;
    let lr = stacks.read(machine, record.saturating_add(8))?;
    // The row gives either x29 at the callsite or the next record in the chain.
    if caller.fp != fp && caller.fp != record {
        return Err(Reason::FpMismatch);
    }
    check_synthetic_record(machine, stacks, state, rule, record)?;
    Ok(Callsite {
        pc: caller.pc,
        cfa,
        record,
        fp,
        lr,
    })
}

/// The records that such a trampoline makes, its own and that of the traced
/// function, are a chain.
fn check_synthetic_record<M: Machine>(
    machine: &mut M,
    stacks: &Stacks,
    state: &State,
    rule: &Frame,
    record: u64,
) -> Result<(), Reason> {
    match rule.x29 {
        X29::Record(_) if state.fp != record => match stacks.read(machine, state.fp)? == record {
            true => Ok(()),
            false => Err(Reason::FpMismatch),
        },
        _ => Ok(()),
    }
}

/// What is used of `struct __arch_ftrace_regs`.
struct SavedFtraceRegs {
    direct_tramp: u64,
    fp: u64,
    lr: u64,
    sp: u64,
    pc: u64,
}

/// The registers that `ftrace_caller` has saved at SP.
fn read_ftrace_regs<M: Machine>(
    machine: &mut M,
    stacks: &Stacks,
    state: &State,
) -> Result<SavedFtraceRegs, Reason> {
    let mut read = |offset: u64| {
        let address = state.sp.checked_add(offset);
        stacks.read(machine, address.ok_or(Reason::SlotOutsideFrame)?)
    };
    Ok(SavedFtraceRegs {
        direct_tramp: match M::FTRACE_REGS.direct_tramp {
            Some(offset) => read(offset)?,
            None => 0,
        },
        fp: read(M::FTRACE_REGS.fp)?,
        lr: read(M::FTRACE_REGS.lr)?,
        sp: read(M::FTRACE_REGS.sp)?,
        pc: read(M::FTRACE_REGS.pc)?,
    })
}
