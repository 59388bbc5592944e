// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What the model claims to know of an instruction, and not only to destroy: sums,
//! moves, constants, whole registers loaded and stored, write-back. fARM64 must
//! say the same, operand by operand.

use fARM64::info::instruction_info;
use fARM64::{Instruction, MemIndexMode, Mnemonic, Operand, Register, ShiftType};
use orctool::a64::insn::{self, Access, Flow, Insn, Mode, Reg, Regs, Step, Store};

use crate::{is_write, register};

/// What fARM64 does not say, if there is such.
pub fn disagreement(ours: &Insn, theirs: &Instruction) -> Option<String> {
    let is_right = match ours.step {
        Step::Nothing | Step::Writes(_) | Step::Anything => true,
        Step::ZeroBlock(base) => theirs.mnemonic() == Mnemonic::Dc && is(theirs, 1, base),
        Step::Add { to, from, by } => {
            is(theirs, 0, to) && is(theirs, 1, from) && addend(theirs) == Some(by)
        }
        Step::AddRegister {
            to,
            from,
            by,
            shift,
            subtract,
        } => {
            let is_sum = match theirs.mnemonic() {
                Mnemonic::Add | Mnemonic::Adds => !subtract,
                Mnemonic::Sub | Mnemonic::Subs => subtract,
                _ => false,
            };
            is_sum
                && is(theirs, 0, to)
                && is(theirs, 1, from)
                && is(theirs, 2, by)
                && shift_of(theirs, 2) == Some(shift)
        }
        Step::Mask { to, from, mask } => {
            matches!(theirs.mnemonic(), Mnemonic::And | Mnemonic::Ands)
                && named(theirs, 0) == Some(to)
                && named(theirs, 1) == Some(from)
                && theirs.op(2) == Operand::ImmLogical(mask)
        }
        Step::AddWord { to, from, by } => {
            theirs.op_register(0).width_bits() == 32
                && named(theirs, 0) == Some(to)
                && named(theirs, 1) == Some(from)
                && addend(theirs) == Some(by)
        }
        Step::BitField {
            to,
            from,
            right,
            mask,
            left,
        } => {
            named(theirs, 0) == Some(to)
                && named(theirs, 1) == Some(from)
                && moved_bits(theirs) == Some((right, mask, left))
        }
        Step::Near(to) => {
            let is_near = matches!(theirs.mnemonic(), Mnemonic::Adr | Mnemonic::Adrp);
            is_near && is(theirs, 0, to)
        }
        Step::Logic {
            to,
            from,
            by,
            is_exclusive,
        } => {
            let mnemonic = if is_exclusive {
                Mnemonic::Eor
            } else {
                Mnemonic::Orr
            };
            let is_second = match by {
                insn::Operand::Register(reg) => {
                    is(theirs, 2, reg) && shift_of(theirs, 2) == Some(0)
                }
                insn::Operand::Bits(bits) => theirs.op(2) == Operand::ImmLogical(bits),
            };
            theirs.mnemonic() == mnemonic && is(theirs, 0, to) && is(theirs, 1, from) && is_second
        }
        Step::Select {
            to,
            first,
            second,
            by,
        } => selects(theirs, to, [first, second], by),
        Step::Constant { to, value } => {
            let named = register(theirs.op_register(0));
            named == Some(to.index() as u32) && constant(theirs) == Some(value)
        }
        Step::Insert { to, bits, shift } => {
            let chunk = Operand::ImmShiftedMove {
                imm: bits,
                lsl: shift as u8,
            };
            theirs.mnemonic() == Mnemonic::Movk && is(theirs, 0, to) && theirs.op(1) == chunk
        }
        Step::Sign(reg) => authenticates(theirs, reg),
        Step::SignReturn => theirs.mnemonic() == Mnemonic::Paciasp,
        Step::AuthenticateReturn => theirs.mnemonic() == Mnemonic::Autiasp,
        Step::Access(access) => return accesses(&access, theirs),
    };
    let returns_to = |reg| match theirs.op(0) {
        Operand::None => reg == Reg::X30,
        _ if theirs.mnemonic() == Mnemonic::Ret => is(theirs, 0, reg),
        // The modifier or where x30 was signed.
        _ => reg == Reg::X30,
    };
    match ours.flow {
        _ if !is_right => Some(format!("is no {:?}", ours.step)),
        Flow::Return(reg) if !returns_to(reg) => Some(format!("does not return to {reg}")),
        _ => None,
    }
}

/// Whether an operand is all 64 bits of this register.
fn is(theirs: &Instruction, operand: usize, reg: Reg) -> bool {
    let named = match theirs.op(operand) {
        Operand::Reg {
            reg, lane: None, ..
        } => reg,
        _ => return false,
    };
    named.width_bits() == 64 && register(named) == Some(reg.index() as u32)
}

/// What is added to the second operand; a plain move adds nothing.
fn addend(theirs: &Instruction) -> Option<i64> {
    let amount = match (theirs.op_count(), theirs.op(2)) {
        (2, _) => 0,
        (3, Operand::ImmShiftedMove { imm, lsl }) => i64::from(imm) << lsl,
        _ => return None,
    };
    match theirs.mnemonic() {
        Mnemonic::Mov if theirs.op_count() == 2 => Some(0),
        Mnemonic::Add | Mnemonic::Adds => Some(amount),
        Mnemonic::Sub | Mnemonic::Subs => Some(-amount),
        _ => None,
    }
}

/// By how many bits an operand is shifted left, if that is all.
fn shift_of(theirs: &Instruction, operand: usize) -> Option<u32> {
    use fARM64::ExtendType::{Sxtx, Uxtx};
    let Operand::Reg { shift, extend, .. } = theirs.op(operand) else {
        return None;
    };
    let is_whole = matches!(extend, None | Some(Uxtx | Sxtx));
    match shift {
        None if is_whole => Some(0),
        Some((ShiftType::Lsl, amount)) if is_whole => Some(amount.into()),
        Some((_, 0)) if is_whole => Some(0),
        _ => None,
    }
}

/// Whether it selects one of two registers, the second of which `by` is added to.
/// One that selects a register or that register plus one has a name of its own.
fn selects(theirs: &Instruction, to: Reg, from: [Option<Reg>; 2], by: i64) -> bool {
    let same = |operand, reg: Option<Reg>| match reg {
        Some(reg) => is(theirs, operand, reg),
        None => theirs.op_register(operand) == Register::Xzr,
    };
    let [first, second] = from;
    is(theirs, 0, to)
        && match (theirs.mnemonic(), by) {
            (Mnemonic::Csel, 0) | (Mnemonic::Csinc, 1) => same(1, first) && same(2, second),
            (Mnemonic::Cinc, 1) => same(1, first) && same(1, second),
            (Mnemonic::Cset, 1) => first.is_none() && second.is_none(),
            _ => false,
        }
}

/// The register of an operand, or the one that its low 32 bits are of.
fn named(theirs: &Instruction, operand: usize) -> Option<Reg> {
    let number = match theirs.op(operand) {
        Operand::Reg {
            reg, lane: None, ..
        } => register(reg)?,
        _ => return None,
    };
    let all = Regs::ALL.iter().collect::<Vec<Reg>>();
    all.get(number as usize).copied()
}

/// By how much a register is shifted right, what is masked then, and by how much
/// that is shifted left.
fn moved_bits(theirs: &Instruction) -> Option<(u32, u64, u32)> {
    let bits = u32::from(theirs.op_register(0).width_bits());
    let number = |operand| match theirs.op(operand) {
        Operand::ImmUnsigned(value) => u32::try_from(value).ok(),
        Operand::ImmSigned(value) => u32::try_from(value).ok(),
        _ => None,
    };
    let ones = |width: u32| u64::MAX >> (64 - width);
    match theirs.mnemonic() {
        Mnemonic::Lsl => Some((0, ones(bits - number(2)?), number(2)?)),
        Mnemonic::Lsr => Some((number(2)?, ones(bits - number(2)?), 0)),
        Mnemonic::Ubfx => Some((number(2)?, ones(number(3)?), 0)),
        Mnemonic::Ubfiz => Some((0, ones(number(3)?), number(2)?)),
        Mnemonic::Uxtb => Some((0, 0xff, 0)),
        Mnemonic::Uxth => Some((0, 0xffff, 0)),
        _ => None,
    }
}

fn constant(theirs: &Instruction) -> Option<u64> {
    // A bitmask that movz can make as well has the name orr.
    if let (Mnemonic::Orr | Mnemonic::Eor, Operand::ImmLogical(value)) =
        (theirs.mnemonic(), theirs.op(2))
    {
        let is_zero = matches!(theirs.op_register(1), Register::Xzr | Register::Wzr);
        return is_zero.then_some(value);
    }
    let value = match theirs.op(1) {
        Operand::ImmUnsigned(value) | Operand::ImmLogical(value) => value,
        Operand::ImmSigned(value) => value as u64,
        Operand::ImmShiftedMove { imm, lsl } => u64::from(imm) << lsl,
        Operand::Reg {
            reg: Register::Xzr, ..
        } => 0,
        _ => return None,
    };
    let value = match theirs.mnemonic() {
        Mnemonic::Mov | Mnemonic::Movz => value,
        Mnemonic::Movn => !value,
        _ => return None,
    };
    match theirs.op_register(0).width_bits() {
        32 => Some(value & u64::from(u32::MAX)),
        _ => Some(value),
    }
}

/// Whether it puts a code on this register or takes one off, and on no other.
fn authenticates(theirs: &Instruction, reg: Reg) -> bool {
    let name = format!("{:?}", theirs.mnemonic());
    let starts = |start: &str| name.starts_with(start);
    let info = instruction_info(theirs);
    let written = info.used_registers().iter().filter(|u| is_write(u.access));
    name != "Pacga"
        && ["Pac", "Aut", "Xpac"].into_iter().any(starts)
        && written
            .filter_map(|used| register(used.register))
            .eq([reg.index() as u32])
}

/// Whether a load or a store is at the same place and of the same registers.
fn accesses(ours: &Access, theirs: &Instruction) -> Option<String> {
    let operands = (0..theirs.op_count()).map(|number| theirs.op(number));
    let place = operands.clone().position(|operand| {
        matches!(
            operand,
            Operand::MemImm { .. } | Operand::MemExt { .. } | Operand::SveMem { .. }
        )
    });
    let place = match place {
        Some(place) => place,
        // Of SME, all of which counts as a store.
        None if ours.store == Store::Unbounded && ours.data == [None; 2] => return None,
        None => return Some("accesses no memory".to_string()),
    };
    let is_same_mode = match (ours.mode, theirs.op(place)) {
        (Mode::Offset(by), Operand::MemImm { imm, mode, .. }) => {
            mode == MemIndexMode::Offset && by == imm
        }
        (Mode::PreIndex(by), Operand::MemImm { imm, mode, .. }) => {
            mode == MemIndexMode::PreIndex && by == imm
        }
        (Mode::PostIndex(by), Operand::MemImm { imm, mode, .. }) => {
            mode == MemIndexMode::PostImm && by == imm
        }
        (Mode::PostRegister, Operand::MemImm { mode, .. }) => mode == MemIndexMode::PostReg,
        (Mode::Register(ours), theirs) if ours.is_some() => same_index(ours, &theirs),
        (Mode::Register(_), Operand::MemExt { .. }) => true,
        (Mode::Register(_), _) => ours.store == Store::Unbounded,
        (Mode::PostRegister, Operand::MemExt { .. }) => false,
        _ => false,
    };
    if !is_same_mode {
        return Some(format!("{:?}, not {:?}", theirs.op(place), ours.mode));
    }
    let data: Vec<Operand> = operands.take(place).collect();
    if ours.data != [None; 2] && !is_whole(ours, theirs, &data) {
        return Some(format!("{data:?} are not {:?}", ours.data));
    }
    let stored = bytes(theirs, &data);
    match (ours.store, stored) {
        (Store::Bytes(ours), Some(theirs)) if ours < theirs => {
            Some(format!("stores {theirs} bytes, not {ours}"))
        }
        _ => None,
    }
}

/// Whether an address has this index. (fARM64 sets bit 7 of a shift of bytes, by 0.)
fn same_index(ours: Option<insn::Index>, theirs: &Operand) -> bool {
    use fARM64::ExtendType::{Sxtx, Uxtx};
    let Operand::MemExt {
        index,
        extend: Sxtx | Uxtx,
        shift,
        ..
    } = theirs
    else {
        return false;
    };
    let number = ours.map(|ours| ours.reg.index() as u32);
    ours.map(|ours| ours.shift) == Some(u32::from(*shift & 0x7f)) && register(*index) == number
}

/// Whether these operands are the registers that we say are loaded or stored whole.
fn is_whole(ours: &Access, theirs: &Instruction, data: &[Operand]) -> bool {
    use Mnemonic::{Ldnp, Ldp, Ldr, Ldtnp, Ldtp, Ldtr, Ldur};
    use Mnemonic::{Stgp, Stnp, Stp, Str, Sttnp, Sttp, Sttr, Stur};
    let is_known = match ours.load {
        true => matches!(
            theirs.mnemonic(),
            Ldr | Ldur | Ldtr | Ldp | Ldnp | Ldtp | Ldtnp
        ),
        false => matches!(
            theirs.mnemonic(),
            Str | Stur | Sttr | Stp | Stnp | Stgp | Sttp | Sttnp
        ),
    };
    let same = |(number, operand): (usize, &Operand)| {
        let named = match operand {
            Operand::Reg { reg, .. } if reg.width_bits() == 64 => *reg,
            _ => return false,
        };
        let ours = ours.data.get(number).copied().flatten();
        ours.map(|reg| reg.index() as u32) == register(named)
    };
    is_known && data.iter().enumerate().all(same) && !data.is_empty()
}

/// How many bytes a plain store changes.
fn bytes(theirs: &Instruction, data: &[Operand]) -> Option<u32> {
    use Mnemonic::{Stlr, Stlrb, Stlrh, Stlur, Stlurb, Stlurh, Stnp, Stp};
    use Mnemonic::{Str, Strb, Strh, Sttr, Sttrb, Sttrh, Stur, Sturb, Sturh};
    let per_register = |operand: &Operand| match operand {
        Operand::Reg { reg, .. } => u32::from(reg.width_bits()) / 8,
        _ => 0,
    };
    match theirs.mnemonic() {
        Str | Stur | Sttr | Stp | Stnp | Stlr | Stlur => Some(data.iter().map(per_register).sum()),
        Strb | Sturb | Sttrb | Stlrb | Stlurb => Some(1),
        Strh | Sturh | Sttrh | Stlrh | Stlurh => Some(2),
        _ => None,
    }
}
