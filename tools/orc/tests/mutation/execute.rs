// SPDX-License-Identifier: GPL-2.0 OR MIT

//! One instruction, as fARM64 decodes it, executed.
//!
//! Written from the architecture manual and not from the proof's model: moves,
//! additions, and the loads and stores of whole registers are computed; whatever
//! else fARM64 says is written gets a number that nobody knows.

use fARM64::info::{instruction_info, OpAccess};
use fARM64::{ExtendType, Instruction, MemIndexMode, Mnemonic, Operand, Register, ShiftType};

use crate::memory::{general, Machine, Value};

/// Executes all but the branch of an instruction.
pub fn execute(insn: &Instruction, machine: &mut Machine) {
    if let Some(memory) = Memory::of(insn, machine) {
        access(insn, &memory, machine);
    } else if is_authentication(insn.mnemonic()) {
        authenticate(insn, machine);
    } else {
        match computed(insn, machine) {
            Some(value) => machine.write(insn.op_register(0), value),
            None => scramble_written(insn, machine),
        }
    }
}

/// Gives each register that an instruction writes a value that nobody knows.
pub fn scramble_written(insn: &Instruction, machine: &mut Machine) {
    let info = instruction_info(insn);
    for used in info.used_registers().iter().filter(|u| writes(u.access)) {
        if let Some(number) = general(used.register) {
            machine.scramble(number);
        }
    }
}

fn writes(access: OpAccess) -> bool {
    !matches!(access, OpAccess::None | OpAccess::Read | OpAccess::CondRead)
}

fn authenticate(insn: &Instruction, machine: &mut Machine) {
    match insn.mnemonic() {
        Mnemonic::Paciasp => machine.authenticate(true),
        Mnemonic::Autiasp => machine.authenticate(false),
        _ => {
            let info = instruction_info(insn);
            let written = info.used_registers().iter().filter(|u| writes(u.access));
            for number in written.filter_map(|used| general(used.register)) {
                machine.authenticate_otherwise(number);
            }
        }
    }
}

/// A code that is put on a return address is taken off again by the walk.
fn is_authentication(mnemonic: Mnemonic) -> bool {
    let name = format!("{mnemonic:?}");
    mnemonic != Mnemonic::Pacga
        && ["Pac", "Aut", "Xpac"]
            .iter()
            .any(|start| name.starts_with(start))
}

/// The result of a move or an addition.
fn computed(insn: &Instruction, machine: &Machine) -> Option<Value> {
    general(insn.op_register(0))?;
    match (insn.mnemonic(), insn.op_count()) {
        (Mnemonic::Mov | Mnemonic::Movz, 2) => operand(insn, 1, machine),
        (Mnemonic::Movn, 2) => operand(insn, 1, machine).map(|(v, tainted)| (!v, tainted)),
        (Mnemonic::Movk, 2) => {
            let Operand::ImmShiftedMove { imm, lsl } = insn.op(1) else {
                return None;
            };
            let (old, tainted) = machine.read(insn.op_register(0));
            let kept = old & !(0xffff << lsl);
            Some((kept | (u64::from(imm) << lsl), tainted))
        }
        // Which one is not known, but where both are equal.
        (Mnemonic::Csel, 4) => {
            let (one, other) = (operand(insn, 1, machine)?, operand(insn, 2, machine)?);
            (one == other).then_some(one)
        }
        (mnemonic, 3) => {
            let (left, right) = (operand(insn, 1, machine)?, operand(insn, 2, machine)?);
            let value = combined(mnemonic, left.0, right.0)?;
            let is_alloca = insn.op_register(0) == Register::Sp && right.0 >= LARGEST_FRAME;
            Some((
                value,
                left.1 || right.1 || is_alloca && mnemonic != Mnemonic::And,
            ))
        }
        _ => None,
    }
}

fn combined(mnemonic: Mnemonic, left: u64, right: u64) -> Option<u64> {
    match mnemonic {
        Mnemonic::Add | Mnemonic::Adds => Some(left.wrapping_add(right)),
        Mnemonic::Sub | Mnemonic::Subs => Some(left.wrapping_sub(right)),
        Mnemonic::And => Some(left & right),
        Mnemonic::Orr => Some(left | right),
        Mnemonic::Eor => Some(left ^ right),
        _ => None,
    }
}

/// A larger number added to SP is no number of bytes: some of the faults make SP of
/// registers that hold anything.
const LARGEST_FRAME: u64 = 1 << 16;

fn operand(insn: &Instruction, number: usize, machine: &Machine) -> Option<Value> {
    match insn.op(number) {
        Operand::ImmUnsigned(value) | Operand::ImmLogical(value) => Some((value, false)),
        Operand::ImmSigned(value) => Some((value as u64, false)),
        Operand::ImmShiftedMove { imm, lsl } => Some((u64::from(imm) << lsl, false)),
        Operand::Reg {
            reg,
            lane: None,
            shift,
            extend,
            ..
        } if general(reg).is_some() || matches!(reg, Register::Xzr | Register::Wzr) => {
            let (value, tainted) = machine.read(reg);
            let amount = match shift {
                None => 0,
                Some((ShiftType::Lsl, amount)) => u32::from(amount),
                Some(_) => return None,
            };
            let value = extended(value, extend)?;
            Some((value.checked_shl(amount)?, tainted))
        }
        _ => None,
    }
}

fn extended(value: u64, extend: Option<ExtendType>) -> Option<u64> {
    match extend {
        None | Some(ExtendType::Uxtx | ExtendType::Sxtx) => Some(value),
        Some(ExtendType::Uxtw) => Some(value & 0xffff_ffff),
        Some(ExtendType::Sxtw) => Some(value as i32 as u64),
        _ => None,
    }
}

/// What an instruction accesses.
struct Memory {
    base: Register,
    address: Value,
    /// What is left in `base`.
    after: Option<Value>,
    /// With an index register, or through a pointer: see [`Machine::store`].
    trusted: bool,
    access: OpAccess,
}

impl Memory {
    fn of(insn: &Instruction, machine: &Machine) -> Option<Self> {
        let info = instruction_info(insn);
        let access = match info.used_memory().first()?.access {
            // fARM64 takes some stores for loads.
            _ if format!("{:?}", insn.mnemonic()).starts_with("St") => OpAccess::Write,
            access => access,
        };
        let operands = (0..insn.op_count()).map(|number| insn.op(number));
        operands.into_iter().find_map(|operand| match operand {
            Operand::MemImm { base, imm, mode } => {
                let (start, tainted) = machine.read(base);
                let moved = (start.wrapping_add(imm as u64), tainted);
                let (address, after) = match mode {
                    MemIndexMode::Offset => (moved, None),
                    MemIndexMode::PreIndex => (moved, Some(moved)),
                    MemIndexMode::PostImm => ((start, tainted), Some(moved)),
                    _ => ((start, tainted), Some((start, true))),
                };
                Some(Self {
                    base,
                    address,
                    after,
                    trusted: !matches!(base, Register::Sp | Register::X29),
                    access,
                })
            }
            Operand::MemExt {
                base,
                index,
                extend,
                shift,
            } => {
                let ((start, far), (index, unknown)) = (machine.read(base), machine.read(index));
                let index = extended(index, Some(extend))?.checked_shl(shift.into())?;
                Some(Self {
                    base,
                    address: (start.wrapping_add(index), far || unknown),
                    after: None,
                    trusted: true,
                    access,
                })
            }
            _ => None,
        })
    }
}

fn access(insn: &Instruction, memory: &Memory, machine: &mut Machine) {
    let is_store = writes(memory.access);
    let data = data(insn);
    let stored = data.iter().map(|register| machine.read(*register));
    let stored: Vec<Value> = stored.collect();
    let mut loaded = Vec::new();
    if !is_store {
        let whole = data.iter().all(|register| register.width_bits() == 64);
        let is_plain = whole && is_plain_load(insn.mnemonic());
        for above in (0..8 * data.len() as u64).step_by(8) {
            let address = (memory.address.0.wrapping_add(above), memory.address.1);
            let value = machine.load(address);
            loaded.push(if is_plain { value } else { (value.0, true) });
        }
    }
    let is_plain = is_plain_store(insn.mnemonic());
    match status(insn) {
        Some(number) => machine.scramble(number),
        // fARM64 counts what some stores read as written.
        None if format!("{:?}", insn.mnemonic()).starts_with("St") => {}
        None => scramble_written(insn, machine),
    }
    if let Some(after) = memory.after {
        machine.write(memory.base, after);
    }
    for (register, value) in data.iter().zip(loaded) {
        machine.write(*register, value);
    }
    if is_store {
        let mut place = memory.address;
        for (register, (value, tainted)) in data.iter().zip(stored) {
            let len = bytes(insn.mnemonic(), *register);
            let tainted = tainted || !is_plain || general(*register).is_none() && value != 0;
            let mut image = [0; 16];
            image[..8].copy_from_slice(&value.to_le_bytes());
            machine.store(place, &image[..len], tainted, memory.trusted);
            place.0 = place.0.wrapping_add(len as u64);
        }
    }
}

/// The register that an exclusive store writes its status to.
fn status(insn: &Instruction) -> Option<usize> {
    let name = format!("{:?}", insn.mnemonic());
    let is_exclusive = ["Stx", "Stlx", "Sttx", "Stltx", "St64bv"]
        .iter()
        .any(|start| name.starts_with(start));
    is_exclusive.then(|| general(insn.op_register(0))).flatten()
}

/// The registers that are loaded or stored, without a status.
fn data(insn: &Instruction) -> Vec<Register> {
    let first = usize::from(status(insn).is_some());
    let mut registers = Vec::new();
    for number in first..insn.op_count() {
        match insn.op(number) {
            Operand::Reg { reg, .. } => registers.push(reg),
            Operand::MultiReg { regs, count, .. } => registers.extend(&regs[..count.into()]),
            Operand::MemImm { .. } | Operand::MemExt { .. } => break,
            _ => {}
        }
    }
    registers
}

fn is_plain_load(mnemonic: Mnemonic) -> bool {
    use Mnemonic::{Ldapr, Ldapur, Ldar, Ldnp, Ldp, Ldr, Ldtnp, Ldtp, Ldtr, Ldur};
    matches!(
        mnemonic,
        Ldr | Ldur | Ldtr | Ldp | Ldnp | Ldtp | Ldtnp | Ldar | Ldapr | Ldapur
    )
}

fn is_plain_store(mnemonic: Mnemonic) -> bool {
    let name = format!("{mnemonic:?}");
    let others = ["Stg", "Stz", "St2", "St6", "St1", "St3", "St4", "Stil"];
    name.starts_with("St") && !others.iter().any(|other| name.starts_with(other))
}

/// How much of a register is stored.
fn bytes(mnemonic: Mnemonic, register: Register) -> usize {
    let name = format!("{mnemonic:?}");
    match (register.width_bits(), name.as_bytes().last()) {
        (32, Some(b'b')) => 1,
        (32, Some(b'h')) => 2,
        (0, _) => 16,
        (bits, _) => usize::from(bits / 8).min(16),
    }
}
