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
use crate::rule::{CfaBase, Frame, Location, Rule, X29};
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
    let is_call = matches!(state.kind, Kind::ReturnsTo | Kind::SwitchedOut);
    match rule(machine, state) {
        Ok(rule) if state.kind == Kind::PatchSite => patch_site(machine, stacks, state, &rule),
        Ok(rule) => frame(machine, stacks, state, &rule),
        // Only a call can be seen by its record; where entry code was interrupted
        // itself, the registers may be half saved.
        Err(Reason::EntryText) if is_call => return entry(machine, stacks, state),
        Err(why) => Err(why),
    }
    .map(Next::Frame)
}

/// The rule for this frame, or why there is none.
fn rule<M: Machine>(machine: &mut M, state: &State) -> Result<Frame, Reason> {
    let pc = match state.kind {
        Kind::Interrupted { .. } | Kind::PatchSite => state.pc,
        // Never run: no call comes before `ret_from_fork`.
        Kind::SwitchedOut if state.sp == machine.task_regs() => state.pc,
        // The call: it may be the last instruction of its function.
        Kind::ReturnsTo | Kind::SwitchedOut => state.pc.checked_sub(4).ok_or(Reason::NullPc)?,
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

    // An exception from user space has a final record instead.
    if !KERNEL_MODES.contains(&(pstate & PSTATE_MODE)) {
        return Err(Reason::RegsNotKernel);
    }
    check_saved_sp(machine, stacks, regs, sp)?;
    Ok(State::interrupted(pc, sp, fp, lr))
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
        (Location::Register, Kind::Interrupted { lr: Some(lr) }) => lr,
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
    if rule.patch_site {
        check_synthetic_record(machine, stacks, rule, &frame)?;
    }
    let kind = match rule.patch_site {
        true => Kind::PatchSite,
        false => Kind::ReturnsTo,
    };
    Ok(State {
        pc,
        kind,
        sp: cfa,
        fp,
    })
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
        return match cfa < state.sp {
            true => Err(Reason::CfaBelowSp),
            false => Ok(state.sp),
        };
    }
    // call_on_irq_stack() sets SP to the top of an empty stack, and leaves x29 at
    // its record on the stack it came from. Nobody else has two stacks.
    if rule.cfa.base == CfaBase::Fp && state.sp == stack.high {
        let size = cfa.checked_sub(state.fp).ok_or(Reason::CfaOffStack)?;
        stacks.leave_for(machine, state.fp, size, Reason::CfaOffStack)?;
        return Ok(state.fp);
    }
    Err(Reason::CfaOffStack)
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

    /// The slot at CFA minus `offset`.
    fn read<M: Machine>(
        &self,
        machine: &mut M,
        stacks: &Stacks,
        offset: u32,
    ) -> Result<u64, Reason> {
        let address = self.below_cfa(offset).ok_or(Reason::SlotOutsideFrame)?;
        if address < self.floor {
            return Err(Reason::SlotOutsideFrame);
        }
        stacks.read(machine, address)
    }
}

/// The records that `ftrace_caller` makes, its own and that of the traced
/// function, are a chain.
fn check_synthetic_record<M: Machine>(
    machine: &mut M,
    stacks: &Stacks,
    rule: &Frame,
    frame: &Bounds,
) -> Result<(), Reason> {
    let synthetic = frame.below_cfa(SYNTHETIC).ok_or(Reason::SlotOutsideFrame)?;
    match rule.x29 {
        X29::Record(offset) if offset != SYNTHETIC => {
            match frame.read(machine, stacks, offset)? == synthetic {
                true => Ok(()),
                false => Err(Reason::FpMismatch),
            }
        }
        _ => Ok(()),
    }
}

/// The traced function's record is at CFA minus this.
const SYNTHETIC: u32 = 16;

/// Steps from a function that was entered but for the call patched into its entry.
///
/// `ftrace_caller` is entered with the return address of the traced function in
/// x9 and has stored it, with the caller's x29, in a record just below SP. The
/// record stands for a function that has not done anything yet.
fn patch_site<M: Machine>(
    machine: &mut M,
    stacks: &Stacks,
    state: &State,
    rule: &Frame,
) -> Result<State, Reason> {
    if *rule != Frame::ENTRY {
        return Err(Reason::PatchSiteNotEntry);
    }
    let record = state
        .sp
        .checked_sub(RECORD_BYTES)
        .ok_or(Reason::SlotOutsideFrame)?;
    let fp = stacks.read(machine, record)?;
    let pc = stacks.read(machine, record.saturating_add(8))?;
    // ftrace_caller's row gives either x29 at the patch site, which is the
    // caller's, or the next record in the chain, which is this one.
    if state.fp != fp && state.fp != record {
        return Err(Reason::FpMismatch);
    }
    Ok(State::returns_to(pc, state.sp, fp))
}
