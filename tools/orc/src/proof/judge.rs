// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Whether facts imply a claim, and the row that then is true.

use orc::rule::{Cfa, CfaBase, Frame, Location, StackPointer, X29};

use crate::claim::{CfiRow, Claim, Home, Parked};

use super::facts::Facts;
use super::finding::Class;
use super::range::{Range, UNBOUNDED_BELOW};
use super::span::Span;
use super::value::{Sign, Value};
use crate::a64::insn::Reg;

/// The synthetic record of an ftrace trampoline: CFA minus this, and 8 above.
const SYNTHETIC_FP: i32 = -16;
const SYNTHETIC_RETURN: i32 = -8;

/// The row at an instruction with this claim, where these are the facts.
///
/// # Errors
///
/// What of the claim the facts do not imply.
pub(super) fn row(facts: &Facts, claim: &Claim) -> Result<Frame, Class> {
    check_cfa(facts, claim.cfa)?;
    let return_address = return_address(facts, claim)?;
    let mut frame = Frame {
        cfa: claim.cfa,
        sp: stack_pointer(facts, claim.cfa.base),
        return_address,
        signed: signed(facts, return_address),
        caller_fp: caller_fp(facts, claim)?,
        x29: x29(facts),
        patch_site: claim.signal_frame && knows_traced_return(facts, claim),
        left_by_return: None,
    };
    if let Some(by_sp) = relative_to_sp(facts, &frame) {
        return Ok(by_sp);
    }
    if frame.is_valid() {
        return Ok(frame);
    }
    // Not a record that the walk could follow, so nothing to compare with. A rule has no
    // room for bounds then.
    frame.x29 = X29::Other;
    if matches!(frame.sp, StackPointer::Below { .. }) {
        frame.sp = StackPointer::Anywhere;
    }
    match frame.is_valid() {
        true => Ok(frame),
        false => Err(Class::NotExpressible),
    }
}

/// The same frame with its CFA relative to SP, where SP is known too.
///
/// Clang's CFI follows x29 in the body of a function. A walk that did so would
/// compare x29 with itself: a damaged frame pointer chain would be followed. The
/// CFA by SP and the record at CFA - n together say what CFA = x29 + n does, and
/// let the walk check one chain against the other.
fn relative_to_sp(facts: &Facts, frame: &Frame) -> Option<Frame> {
    let Value::Cfa(below) = facts.get(Reg::SP) else {
        return None;
    };
    if frame.cfa.base != CfaBase::Fp || frame.x29 != X29::Record(frame.cfa.offset) {
        return None;
    }
    let by_sp = Frame {
        cfa: Cfa {
            base: CfaBase::Sp,
            offset: below.checked_neg()?.try_into().ok()?,
        },
        sp: StackPointer::Exact,
        ..*frame
    };
    by_sp.is_valid().then_some(by_sp)
}

/// Whether the facts imply all that a claim says.
///
/// # Errors
///
/// The first part that they do not imply.
pub fn implies(facts: &Facts, claim: &Claim) -> Result<(), Class> {
    check_cfa(facts, claim.cfa)?;
    return_address(facts, claim)?;
    caller_fp(facts, claim)?;
    Ok(())
}

/// Whether the facts imply a row with something in another register.
pub(super) fn implies_parked(facts: &Facts, parked: &Parked) -> bool {
    let is_home = |home, reg, value| match home {
        Home::Table(location) => locate(facts, location, reg, value).is_some(),
        Home::Register(reg) => facts.get(reg) == value,
    };
    check_cfa(facts, parked.cfa).is_ok()
        && is_home(parked.return_address, Reg::X30, Value::ReturnAddress)
        && is_home(parked.caller_fp, Reg::X29, Value::CallerFp)
}

/// Whether the facts imply all that a row says; `None` where it says what the proof
/// does not look at.
pub(super) fn implies_row(facts: &Facts, row: &CfiRow) -> Option<bool> {
    match row {
        CfiRow::Claim(claim) => Some(implies(facts, claim).is_ok()),
        CfiRow::Beyond(_) => row.parked().map(|parked| implies_parked(facts, parked)),
    }
}

fn check_cfa(facts: &Facts, cfa: Cfa) -> Result<(), Class> {
    let base = match cfa.base {
        CfaBase::Sp => Reg::SP,
        CfaBase::Fp => Reg::X29,
    };
    match facts.get(base) == below_cfa(cfa.offset) {
        true => Ok(()),
        false => Err(Class::WrongCfa),
    }
}

fn return_address(facts: &Facts, claim: &Claim) -> Result<Location, Class> {
    let location = claim.return_address;
    locate(facts, location, Reg::X30, Value::ReturnAddress).ok_or(match location {
        Location::Register => Class::CallWithoutFrame,
        Location::Slot(_) => Class::WrongReturnAddress,
    })
}

fn caller_fp(facts: &Facts, claim: &Claim) -> Result<Location, Class> {
    let location = claim.caller_fp;
    locate(facts, location, Reg::X29, Value::CallerFp).ok_or(Class::WrongCallerFp)
}

/// Where `value` is, if it is where the claim says.
///
/// Clang says "in the slot" for one instruction too long: from the `ldp` that pops
/// the slot to the `autiasp` after it. The slot still holds the value for whoever
/// stops the CPU there, but an interrupt handler starts by overwriting it. Such a
/// claim is true, and can be relied upon only as the register that was loaded.
fn locate(facts: &Facts, location: Location, reg: Reg, value: Value) -> Option<Location> {
    let Location::Slot(offset) = location else {
        return (facts.get(reg) == value).then_some(location);
    };
    let Value::Cfa(slot) = below_cfa(offset) else {
        return None;
    };
    if facts.slot(slot) == value {
        return Some(location);
    }
    let is_loaded = facts.popped_slot(slot) == value && facts.get(reg) == value;
    is_loaded.then_some(Location::Register)
}

/// Whether two rows are of the same frame, if not by the same register: clang
/// turns from x29 to SP where an epilogue begins, which may be just after a call.
pub(super) fn same_frame(left: &CfiRow, right: &CfiRow) -> bool {
    let (CfiRow::Claim(left), CfiRow::Claim(right)) = (left, right) else {
        return left.says_same(right);
    };
    (left.cfa == right.cfa || left.cfa.base != right.cfa.base)
        && left.return_address == right.return_address
        && left.caller_fp == right.caller_fp
}

/// Whether a function may start with this claim: [`Facts::entry`] implies no other.
#[must_use]
pub fn is_entry(claim: &Claim) -> bool {
    let is_cfa = claim.cfa.base == CfaBase::Sp && claim.cfa.offset == 0;
    is_cfa && claim.return_address == Location::Register && claim.caller_fp == Location::Register
}

/// A row that the facts imply; for a report of what a claim should have been.
pub(super) fn row_of(facts: &Facts) -> Option<Frame> {
    let slot = |value| {
        // The record is what was stored first, and so highest; below it may be
        // registers that were spilled with the same value.
        let highest = facts.slots_with(value).max()?;
        Some(Location::Slot(highest.checked_neg()?.try_into().ok()?))
    };
    let cfa = [(CfaBase::Sp, Reg::SP), (CfaBase::Fp, Reg::X29)]
        .into_iter()
        .find_map(|(base, reg)| match facts.get(reg) {
            Value::Cfa(offset) => Some(Cfa {
                base,
                offset: offset.checked_neg()?.try_into().ok()?,
            }),
            _ => None,
        })?;
    let caller_fp = match slot(Value::CallerFp) {
        Some(slot) => slot,
        None if facts.get(Reg::X29) == Value::CallerFp => Location::Register,
        None => return None,
    };
    let return_address = match slot(Value::ReturnAddress) {
        Some(slot) => slot,
        None if facts.get(Reg::X30) == Value::ReturnAddress => Location::Register,
        None => return None,
    };
    let frame = Frame {
        cfa,
        sp: stack_pointer(facts, cfa.base),
        return_address,
        signed: signed(facts, return_address),
        caller_fp,
        x29: x29(facts),
        patch_site: false,
        left_by_return: None,
    };
    frame.is_valid().then_some(frame)
}

fn below_cfa(offset: u32) -> Value {
    match i32::try_from(offset) {
        Ok(offset) => Value::Cfa(-offset),
        // No value is equal to a claim of this.
        Err(_) => Value::Cfa(i32::MIN),
    }
}

fn x29(facts: &Facts) -> X29 {
    match facts.get(Reg::X29) {
        Value::CallerFp => X29::Caller,
        Value::Cfa(offset) => match u32::try_from(i64::from(offset).wrapping_neg()) {
            Ok(offset) => X29::Record(offset),
            Err(_) => X29::Other,
        },
        _ => X29::Other,
    }
}

/// No stack is as large: what is farther away than this is not bounded.
const LARGEST_STACK: u32 = orc::rule::MAX_OFFSET;

/// Where SP is, where the CFA comes from `base`.
fn stack_pointer(facts: &Facts, base: CfaBase) -> StackPointer {
    if base == CfaBase::Sp {
        return StackPointer::Exact;
    }
    match facts.sp_range() {
        Range::Stack(Span {
            lowest, highest, ..
        }) => {
            let below = |offset: i32| u32::try_from(i64::from(offset).wrapping_neg()).ok();
            let most = below(lowest).filter(|_| lowest != UNBOUNDED_BELOW);
            let most = most.filter(|most| *most <= LARGEST_STACK);
            StackPointer::Below {
                // A row tells no other offsets.
                least: below(highest).unwrap_or(0) & !7,
                most: most.map(|most| most.next_multiple_of(8)),
            }
        }
        Range::OtherStack => StackPointer::OtherStack,
        _ => StackPointer::Anywhere,
    }
}

/// Whether the return address is signed where it is saved, if that is known.
fn signed(facts: &Facts, location: Location) -> Option<bool> {
    let Location::Slot(offset) = location else {
        return None;
    };
    let Value::Cfa(slot) = below_cfa(offset) else {
        return None;
    };
    match facts.slot_sign(slot) {
        Sign::Signed => Some(true),
        Sign::Plain => Some(false),
        Sign::Unknown => None,
    }
}

/// An ftrace trampoline has the traced function's return address in x9, until it has
/// stored the record.
fn knows_traced_return(facts: &Facts, claim: &Claim) -> bool {
    let saves_nothing =
        claim.return_address == Location::Register && claim.caller_fp == Location::Register;
    has_synthetic_record(facts) || (saves_nothing && facts.get(Reg::X9) == Value::TracedReturn)
}

fn has_synthetic_record(facts: &Facts) -> bool {
    facts.slot(SYNTHETIC_FP) == Value::CallerFp
        && facts.slot(SYNTHETIC_RETURN) == Value::TracedReturn
}
