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
use crate::rule::{CfaBase, Frame, Location, RawRule, StackPointer, X29};
use crate::stacks::Stacks;

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

/// Steps from `state` to its caller, in place; false at the end of the stack. `callee` is
/// an address in the function of the frame before, or zero. What is in `state` after an error
/// means nothing.
#[inline(always)]
pub(crate) fn step<M: Machine>(
    machine: &mut M,
    stacks: &mut Stacks,
    state: &mut State,
    callee: u64,
) -> Result<bool, Reason> {
    let site = call_site(machine, state)?;
    let pc = site.unwrap_or(state.pc);
    let raw = match rule(machine, pc) {
        Ok(raw) => raw,
        Err(why) => {
            if let (Some(site), Reason::EntryText) = (site, why) {
                check_entry_call(machine, site, callee)?;
            }
            return step_without_row(machine, stacks, state, why);
        }
    };
    if let Some(site) = site {
        match check_call(machine, site, callee, false) {
            Err(Reason::NotCallee) if calls_another(machine, site, raw) => {}
            checked => checked?,
        }
    }
    if let Some((caller, signed)) = plain(machine, stacks, state, raw) {
        machine.witness(caller.pc, caller.sp, signed)?;
        *state = caller;
        return Ok(true);
    }
    let (sp, fp) = (state.sp, state.fp);
    if by_rule(machine, stacks, state, raw)? {
        let trampoline = Trampoline { pc, sp, fp };
        callsite(machine, stacks, state, raw, trampoline)?;
    }
    Ok(true)
}

/// The step of a plain frame, if nothing is wrong with it; and what the row says of the
/// signature. What [`frame`] does, in short: all that it checks is checked here, and where
/// a check fails, it says why.
#[inline(always)]
fn plain<M: Machine>(
    machine: &mut M,
    stacks: &Stacks,
    state: &State,
    raw: RawRule,
) -> Option<(State, Option<bool>)> {
    let frame = raw.plain()?;
    if matches!(state.kind, Kind::Entered { .. }) {
        return None;
    }
    let cfa = state.sp.checked_add(u64::from(frame.cfa))?;
    let record = cfa.checked_sub(u64::from(frame.record))?;
    // With the record between SP and the CFA, and these on the stack, all is.
    let is_right = cfa % 16 == 0
        && record == state.fp
        && record % 8 == 0
        && record >= state.sp
        && u64::from(frame.record) >= RECORD_BYTES
        && stacks.current().spans(state.sp, cfa);
    if !is_right {
        return None;
    }
    let [fp, pc] = machine.read_record(record)?;
    Some((State::returns_to(pc, cfa, fp), frame.signed))
}

/// Where there is no row: the returns of the function tracers' trampolines, and entry code.
/// In that only a call can be seen by its record; where it was interrupted itself, the
/// registers may be half saved.
#[inline(never)]
fn step_without_row<M: Machine>(
    machine: &mut M,
    stacks: &mut Stacks,
    state: &mut State,
    why: Reason,
) -> Result<bool, Reason> {
    if let Kind::Interrupted { lr: Some(lr), x9 } = state.kind {
        if machine.is_ftrace_return(state.pc) {
            return ftrace_goes_on(machine, state, x9, lr, lr).map(|()| true);
        }
        if is_end_of_graph_return(machine, state.pc) {
            return ftrace_goes_on(machine, state, lr, lr, lr).map(|()| true);
        }
    }
    if why != Reason::EntryText || !matches!(state.kind, Kind::ReturnsTo | Kind::SwitchedOut) {
        return Err(why);
    }
    entry(machine, stacks, state)
}

/// What there is to a frame besides what its row says.
enum Sort {
    Usual,
    /// `return_to_handler`.
    GraphReturn,
    /// The start of `ftrace_caller`, with the return address of the callsite's function.
    FtraceStart {
        lr: u64,
    },
    /// A trampoline that was called from a function's entry, with that function's record.
    Trampoline,
}

/// The step by a rule of any kind. True where [`callsite`] has to go on.
#[inline(never)]
fn by_rule<M: Machine>(
    machine: &mut M,
    stacks: &mut Stacks,
    state: &mut State,
    raw: RawRule,
) -> Result<bool, Reason> {
    let rule = raw.frame().ok_or(Reason::NoRow)?;
    let sort = sort(machine, state, &rule)?;
    frame(machine, stacks, state, &rule)?;
    match sort {
        Sort::Usual => {}
        // It has saved its own address, which stands for the one that the tracer has kept.
        // `ftrace_return_to_handler()` puts that in its place, and forgets it afterwards.
        Sort::GraphReturn => machine.pass_entered(state.pc, state.fp),
        Sort::FtraceStart { lr } => state.kind = Kind::Entered { lr },
        Sort::Trampoline => return Ok(true),
    }
    Ok(false)
}

fn sort<M: Machine>(machine: &mut M, state: &State, rule: &Frame) -> Result<Sort, Reason> {
    let is_entered = matches!(state.kind, Kind::Entered { .. });
    let is_graph_return =
        rule.x29 == X29::Caller && !rule.patch_site && machine.is_graph_return(at_call(state));
    // `return_to_handler` starts as functions do, but is none.
    if is_entered && (!rule.is_entry() || is_graph_return) {
        return Err(Reason::PatchSiteNotEntry);
    }
    Ok(match rule.patch_site {
        false if is_graph_return => Sort::GraphReturn,
        false => Sort::Usual,
        true if rule.caller_fp == Location::Register => ftrace_start(machine, state)?,
        true => Sort::Trampoline,
    })
}

/// The address of the call that this frame waits for, if it waits for one.
#[inline(always)]
fn call_site<M: Machine>(machine: &M, state: &State) -> Result<Option<u64>, Reason> {
    match state.kind {
        Kind::Interrupted { .. } | Kind::Entered { .. } => Ok(None),
        // Never run: no call comes before `ret_from_fork`.
        Kind::SwitchedOut if state.sp == machine.task_regs() => Ok(None),
        // It may be the last instruction of its function.
        Kind::ReturnsTo | Kind::SwitchedOut => {
            state.pc.checked_sub(4).map(Some).ok_or(Reason::NullPc)
        }
    }
}

/// An address in the function of this frame: that of its call, if it waits for one.
pub(crate) const fn at_call(state: &State) -> u64 {
    match state.kind {
        Kind::Interrupted { .. } | Kind::Entered { .. } => state.pc,
        Kind::ReturnsTo | Kind::SwitchedOut => state.pc.saturating_sub(4),
    }
}

/// A return address comes after a call, and nothing else. Where the call says which
/// function, the frame before is that one's.
#[inline(always)]
fn check_call<M: Machine>(
    machine: &mut M,
    site: u64,
    callee: u64,
    is_entry: bool,
) -> Result<(), Reason> {
    match machine.instruction(site) {
        Some(instruction) if is_direct_call(instruction) => {
            check_callee(machine, call_target(site, instruction), callee)
        }
        Some(instruction) if is_call(instruction) => Ok(()),
        Some(RET_X10) if machine.is_bpf_trampoline(site) => check_bpf_call(machine, site),
        // Where the boot CPU's idle task was entered from.
        None if is_entry => Ok(()),
        _ => Err(Reason::NoCall),
    }
}

/// [`check_call`] of a call in entry code.
#[inline(never)]
fn check_entry_call<M: Machine>(machine: &mut M, site: u64, callee: u64) -> Result<(), Reason> {
    check_call(machine, site, callee, true)
}

/// Whether the frame before can be in the function at `entry`.
#[inline(always)]
fn check_callee<M: Machine>(machine: &mut M, entry: u64, callee: u64) -> Result<(), Reason> {
    match machine.left_by_return(entry) {
        Some(bytes) if callee.wrapping_sub(entry) >= u64::from(bytes) && callee != 0 => {
            check_stand_in(machine, entry, callee)
        }
        _ => Ok(()),
    }
}

/// What runs at `callee` may be there in place of the function that was called: it stands in
/// for it, as the function says, or was called by what does; or it returns for it.
#[inline(never)]
fn check_stand_in<M: Machine>(machine: &mut M, entry: u64, callee: u64) -> Result<(), Reason> {
    match machine.is_graph_return(callee)
        || is_patched(machine, entry)
        || machine.is_stand_in(callee)
    {
        true => Ok(()),
        false => Err(Reason::NotCallee),
    }
}

/// Whether the call at `site`, which has this row, may have been another when it was made.
/// That is so of the one by which `ftrace_caller` calls a tracer, where callsites have no
/// operations of their own: `ftrace_update_ftrace_func()` changes it under those who wait.
#[cold]
fn calls_another<M: Machine>(machine: &mut M, site: u64, raw: RawRule) -> bool {
    raw.is_patch_site() && !machine.is_bpf_trampoline(site)
}

/// Whether the function at `entry` calls ftrace first: `mov x9, x30; bl ftrace_caller`,
/// perhaps after a landing pad. `ftrace_init_nop()` and `ftrace_make_call()` write that.
fn is_patched<M: Machine>(machine: &mut M, entry: u64) -> bool {
    let mut at = |offset| machine.instruction(entry.wrapping_add(offset));
    match (at(0), at(4), at(8)) {
        (Some(MOV_X9_X30), Some(call), _) | (_, Some(MOV_X9_X30), Some(call)) => {
            is_direct_call(call)
        }
        _ => false,
    }
}

/// `mov x9, x30`
const MOV_X9_X30: u32 = 0xaa1e_03e9;

/// Where a BL at `site` goes: C6.2 of the Arm ARM, 26 bits of words, with a sign.
const fn call_target(site: u64, bl: u32) -> u64 {
    // No `u64::from` in a const function; the cast widens.
    #[allow(clippy::as_conversions, clippy::cast_lossless)]
    let offset = (bl & 0x03ff_ffff) as u64;
    let target = site.wrapping_add(offset.wrapping_mul(4));
    match bl & 0x0200_0000 {
        0 => target,
        _ => target.wrapping_sub(1 << 28),
    }
}

const fn is_direct_call(instruction: u32) -> bool {
    instruction & 0xfc00_0000 == 0x9400_0000
}

/// Whether this is BL or BLR, with pointer authentication (BLRAA, BLRAAZ, BLRAB,
/// BLRABZ) or without: C4.1.94 of the Arm ARM, branches that set x30.
const fn is_call(instruction: u32) -> bool {
    is_direct_call(instruction)
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

/// The rule at this address, or why there is none.
#[inline(always)]
fn rule<M: Machine>(machine: &mut M, pc: u64) -> Result<RawRule, Reason> {
    let raw = machine.rule(pc)?;
    match raw.why_not() {
        None => Ok(raw),
        Some(why) => Err(why),
    }
}

/// Steps from entry code, which has no rows.
///
/// It calls C with `struct pt_regs` at SP and x29 at the metadata record in it: this
/// is what stands for the rows. No other code is taken for entry code, whatever is on
/// the stack: a return address that was changed would be believed.
/// False at the end of the stack.
fn entry<M: Machine>(
    machine: &mut M,
    stacks: &mut Stacks,
    state: &mut State,
) -> Result<bool, Reason> {
    let Some(kind) = metadata_at(machine, stacks, state.fp)? else {
        return Err(Reason::EntryText);
    };
    let is_at_sp = state.sp.checked_add(M::REGS.stackframe) == Some(state.fp);
    match kind {
        // The walk is on the task's own stack then.
        META_FINAL if is_at_sp && state.sp == machine.task_regs() => Ok(false),
        META_FINAL => Err(Reason::FinalMisplaced),
        META_PT_REGS if is_at_sp => saved_regs(machine, stacks, state).map(|()| true),
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
    state: &mut State,
) -> Result<(), Reason> {
    let regs = state.sp;
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
    *state = State::interrupted(pc, sp, fp, lr).with_x9(x9);
    Ok(())
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
#[inline(never)]
fn frame<M: Machine>(
    machine: &mut M,
    stacks: &mut Stacks,
    state: &mut State,
    rule: &Frame,
) -> Result<(), Reason> {
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
    *state = State::returns_to(pc, cfa, fp);
    Ok(())
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

/// A task goes on at `pc`, with SP and x29 as they are in `state`: as in a function just
/// entered with the address `lr`, for which x30 holds `returns_to`, or where that function
/// would return, in place of it (`ftrace_override_function_with_return()`).
fn ftrace_goes_on<M: Machine>(
    machine: &mut M,
    state: &mut State,
    pc: u64,
    returns_to: u64,
    lr: u64,
) -> Result<(), Reason> {
    if pc == returns_to {
        // As the call has left it in x30.
        machine.witness(lr, state.sp, Some(false))?;
        *state = State::returns_to(lr, state.sp, state.fp);
        return Ok(());
    }
    state.pc = pc;
    state.kind = Kind::Entered { lr };
    Ok(())
}

/// Whether this is the last instruction of `return_to_handler`, its return.
fn is_end_of_graph_return<M: Machine>(machine: &M, pc: u64) -> bool {
    machine.is_graph_return(pc) && !machine.is_graph_return(pc.wrapping_add(4))
}

/// Whether this is CBNZ of a 64-bit register: compare and branch, C4.1 of the Arm ARM.
const fn is_cbnz(instruction: u32) -> bool {
    instruction & 0xff00_0000 == 0xb500_0000
}

/// The start of `ftrace_caller`, where it has stored nothing yet.
///
/// x30 is the callsite, x9 the return address of the function there. No tracer has been
/// called, so both are what they will be. Where the kernel has direct calls, one is
/// loaded and tested for at once: until then there is none, and after the branch neither.
fn ftrace_start<M: Machine>(machine: &mut M, state: &State) -> Result<Sort, Reason> {
    let Kind::Interrupted { x9: lr, .. } = state.kind else {
        return Err(Reason::ReturnAddressLost);
    };
    let next = machine.instruction(state.pc).ok_or(Reason::DirectCall)?;
    if M::FTRACE_REGS.direct_tramp.is_some() && is_cbnz(next) {
        return Err(Reason::DirectCall);
    }
    Ok(Sort::FtraceStart { lr })
}

/// Where a trampoline is that was called from a function's entry.
struct Trampoline {
    /// An instruction of it.
    pc: u64,
    sp: u64,
    fp: u64,
}

/// Steps on from a trampoline to the function whose entry has called it.
///
/// The callsite has put the return address of the function into x9. Before its rows say so, the
/// trampoline has stored {x29, x9} in a record below the CFA, and its own record below that.
/// `prepare_trampoline()` of BPF goes on where its frame says: what was to be changed by tracers
/// or live patches has been, before it was called.
#[inline(never)]
fn callsite<M: Machine>(
    machine: &mut M,
    stacks: &Stacks,
    state: &mut State,
    raw: RawRule,
    trampoline: Trampoline,
) -> Result<(), Reason> {
    let record = state
        .sp
        .checked_sub(RECORD_BYTES)
        .ok_or(Reason::SlotOutsideFrame)?;
    let fp = stacks.read(machine, record)?;
    let lr = stacks.read(machine, record.saturating_add(8))?;
    // The row gives either x29 at the callsite or the next record in the chain.
    if state.fp != fp && state.fp != record {
        return Err(Reason::FpMismatch);
    }
    let own = trampoline.fp;
    // Its own record and that of the traced function are a chain.
    if raw.has_record() && own != record && stacks.read(machine, own)? != record {
        return Err(Reason::FpMismatch);
    }
    state.fp = fp;
    state.kind = Kind::Entered { lr };
    match machine.is_bpf_trampoline(trampoline.pc) {
        true => Ok(()),
        false => ftrace_caller(machine, stacks, state, trampoline.sp, lr),
    }
}

/// Steps on from `ftrace_caller` to where it lets the task go on.
///
/// The records and `struct ftrace_regs`, at SP, must tell the same; `lr` is what the callsite's
/// record says. What it calls may change where the function returns to (the function graph tracer)
/// and where the task goes on (`klp_ftrace_handler()`); the latter is on no frame yet,
/// though it is the next to run.
#[inline(always)]
fn ftrace_caller<M: Machine>(
    machine: &mut M,
    stacks: &Stacks,
    state: &mut State,
    regs: u64,
    lr: u64,
) -> Result<(), Reason> {
    let mut read = |offset: u64| {
        let address = regs.checked_add(offset);
        stacks.read(machine, address.ok_or(Reason::SlotOutsideFrame)?)
    };
    let records = state.sp.checked_sub(2 * RECORD_BYTES);
    let lies = records != regs.checked_add(M::FTRACE_REGS.size);
    if lies || read(M::FTRACE_REGS.sp)? != state.sp || read(M::FTRACE_REGS.fp)? != state.fp {
        return Err(Reason::FtraceRegsMismatch);
    }
    if let Some(offset) = M::FTRACE_REGS.direct_tramp {
        if read(offset)? != 0 {
            return Err(Reason::DirectCall);
        }
    }
    let (pc, returns_to) = (read(M::FTRACE_REGS.pc)?, read(M::FTRACE_REGS.lr)?);
    if returns_to == lr {
        machine.pass_entered(lr, state.fp);
    } else if machine.recover(returns_to, state.fp)? != lr {
        return Err(Reason::FtraceRegsMismatch);
    }
    ftrace_goes_on(machine, state, pc, returns_to, lr)
}

#[cfg(test)]
mod tests;
