// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The rows of one FDE.

use gimli::{
    AArch64, BaseAddresses, CfaRule, RegisterRule, UnwindContext, UnwindSection, UnwindTableRow,
};

use super::{Entry, Reader};
use crate::a64::insn::Reg;
use crate::claim::{Beyond, Cfa, CfaBase, CfiRow, Claim, Home, Location, Parked};

/// The function that an FDE describes.
pub(super) struct Function {
    /// Address of its first byte.
    pub address: u64,
    /// The same as an offset in the section.
    pub offset: u64,
    /// One past its last byte, as an offset.
    pub end: u64,
}

impl Function {
    /// Its rows, merged where they say the same; or why it can't be told what they are.
    pub(super) fn rows<'d, S>(
        &self,
        cfi_section: &S,
        bases: &BaseAddresses,
        context: &mut UnwindContext<usize>,
        entry: &Entry<'d>,
    ) -> Result<Vec<CfiRow>, String>
    where
        S: UnwindSection<Reader<'d>>,
    {
        if entry.cie().return_address_register() != AArch64::X30 {
            return Err("the return address is not x30".into());
        }
        let broken = |error: gimli::Error| format!("its program can't be followed: {error}");
        let undefined = Undefined::read(cfi_section, bases, entry).map_err(broken)?;
        let mut rows = entry.rows(cfi_section, bases, context).map_err(broken)?;
        let mut found: Vec<CfiRow> = Vec::new();
        while let Some(row) = rows.next_row().map_err(broken)? {
            let start = self.row_start(row.start_address())?;
            let undefined = undefined.at(row.start_address());
            let row = cfi_row(start, row, undefined, entry.is_signal_trampoline());
            match found.last_mut() {
                // A location that is advanced to twice: the last rules hold.
                Some(last) if last.start() == start => *last = row,
                Some(last) if last.start() > start => return Err("rows are not in order".into()),
                // Sign state (DW_CFA_AARCH64_negate_ra_state) and registers that
                // a walk does not restore make rows that say the same.
                Some(last) if last.says_same(&row) => {}
                _ => found.push(row),
            }
        }
        match found.first() {
            Some(first) if first.start() == self.offset => Ok(found),
            _ => Err("no row at the start".into()),
        }
    }

    /// The offset in the section of a row that starts at this address.
    fn row_start(&self, address: u64) -> Result<u64, String> {
        let start = address
            .checked_sub(self.address)
            .and_then(|distance| self.offset.checked_add(distance))
            .ok_or("a row before the start")?;
        if start >= self.end {
            return Err("a row past the end".into());
        }
        if start % 4 != 0 {
            return Err("a row inside an instruction".into());
        }
        Ok(start)
    }
}

/// A set of x29, x30 and SP, in this order.
type Lost = [bool; 3];

const FRAME: [gimli::Register; 3] = [AArch64::X29, AArch64::X30, AArch64::SP];

/// Which of x29, x30 and SP `DW_CFA_undefined` says are lost, from which address on.
///
/// gimli gives the same rule for a register that is never mentioned, which keeps
/// its value, and for one of these.
struct Undefined(Vec<(u64, Lost)>);

impl Undefined {
    fn read<'d, S>(
        cfi_section: &S,
        bases: &BaseAddresses,
        entry: &Entry<'d>,
    ) -> Result<Self, gimli::Error>
    where
        S: UnwindSection<Reader<'d>>,
    {
        let mut initial = Lost::default();
        let mut program = entry.cie().instructions(cfi_section, bases);
        while let Some(instruction) = program.next()? {
            set(&mut initial, &instruction, Lost::default());
        }
        let (mut state, mut stack) = (initial, Vec::new());
        let mut at = entry.initial_address();
        let mut found = Vec::new();
        if state != Lost::default() {
            found.push((at, state));
        }
        let mut program = entry.instructions(cfi_section, bases);
        while let Some(instruction) = program.next()? {
            let before = state;
            match instruction {
                Instruction::SetLoc { address } => at = address,
                Instruction::AdvanceLoc { delta } => {
                    let factor = entry.cie().code_alignment_factor();
                    at = at.wrapping_add(u64::from(delta).wrapping_mul(factor));
                }
                Instruction::RememberState => stack.push(state),
                Instruction::RestoreState => state = stack.pop().unwrap_or(state),
                _ => set(&mut state, &instruction, initial),
            }
            if state != before {
                found.push((at, state));
            }
        }
        Ok(Self(found))
    }

    fn at(&self, address: u64) -> Lost {
        let after = self.0.partition_point(|(from, _)| *from <= address);
        let last = after.checked_sub(1).map(|last| self.0[last].1);
        last.unwrap_or_default()
    }
}

type Instruction = gimli::CallFrameInstruction<usize>;

/// What an instruction makes of the set. `initial` is that of the CIE.
fn set(lost: &mut Lost, instruction: &Instruction, initial: Lost) {
    let (register, is_lost) = match *instruction {
        Instruction::Undefined { register } => (register, None),
        Instruction::Restore { register } => (register, Some(true)),
        Instruction::SameValue { register }
        | Instruction::Offset { register, .. }
        | Instruction::OffsetExtendedSf { register, .. }
        | Instruction::ValOffset { register, .. }
        | Instruction::ValOffsetSf { register, .. }
        | Instruction::Expression { register, .. }
        | Instruction::ValExpression { register, .. } => (register, Some(false)),
        Instruction::Register { dest_register, .. } => (dest_register, Some(false)),
        _ => return,
    };
    let Some(number) = FRAME.iter().position(|frame| *frame == register) else {
        return;
    };
    lost[number] = is_lost.is_none_or(|is_restored| is_restored && initial[number]);
}

fn name(register: gimli::Register) -> &'static str {
    AArch64::register_name(register).unwrap_or("a register")
}

/// What one row says.
fn cfi_row(start: u64, row: &UnwindTableRow<usize>, undefined: Lost, signal_frame: bool) -> CfiRow {
    let parked = match parked(row, undefined) {
        Ok(parked) => parked,
        Err(why) => {
            return CfiRow::Beyond(Beyond {
                start,
                why,
                parked: None,
            })
        }
    };
    let why = match (parked.return_address, parked.caller_fp) {
        (Home::Table(return_address), Home::Table(caller_fp)) => {
            return CfiRow::Claim(Claim {
                start,
                cfa: parked.cfa,
                return_address,
                caller_fp,
                signal_frame,
            })
        }
        (Home::Register(reg), _) => format!("the return address is in {reg}"),
        (_, Home::Register(reg)) => format!("the caller's x29 is in {reg}"),
    };
    CfiRow::Beyond(Beyond {
        start,
        why,
        parked: Some(parked),
    })
}

/// What a row says; or what of it is more than that something is in a register or in a
/// slot.
fn parked(row: &UnwindTableRow<usize>, undefined: Lost) -> Result<Parked, String> {
    if let Some(number) = undefined.iter().position(|is_lost| *is_lost) {
        return Err(format!("{} is undefined", name(FRAME[number])));
    }
    let cfa = match row.cfa() {
        CfaRule::RegisterAndOffset { register, offset } => {
            let base = match *register {
                AArch64::SP => CfaBase::Sp,
                AArch64::X29 => CfaBase::Fp,
                other => return Err(format!("CFA relative to {}", name(other))),
            };
            let offset = bytes(*offset).ok_or_else(|| format!("CFA offset {offset}"))?;
            Cfa { base, offset }
        }
        CfaRule::Expression(_) => return Err("CFA by expression".into()),
    };
    match row.register(AArch64::SP) {
        RegisterRule::Undefined | RegisterRule::SameValue | RegisterRule::ValOffset(0) => {}
        _ => return Err("the caller's SP is not the CFA".into()),
    }
    Ok(Parked {
        cfa,
        return_address: home(row, AArch64::X30)?,
        caller_fp: home(row, AArch64::X29)?,
    })
}

fn home(row: &UnwindTableRow<usize>, register: gimli::Register) -> Result<Home, String> {
    let refused = |what: &str| Err(format!("{} {what}", name(register)));
    match row.register(register) {
        RegisterRule::Undefined | RegisterRule::SameValue => Ok(Home::Table(Location::Register)),
        RegisterRule::Register(other) if other == register => Ok(Home::Table(Location::Register)),
        RegisterRule::Offset(offset) => match offset.checked_neg().and_then(bytes) {
            Some(below) if below > 0 => Ok(Home::Table(Location::Slot(below))),
            _ => refused(&format!("at CFA{offset:+}")),
        },
        RegisterRule::Register(other) if other.0 < 31 => {
            Ok(Home::Register(Reg::or_sp(other.0.into())))
        }
        RegisterRule::Register(other) => refused(&format!("in {}", name(other))),
        _ => refused("by a rule that no table has"),
    }
}

/// An offset as the table holds it: bytes, a multiple of 8, below 2^31.
fn bytes(offset: i64) -> Option<u32> {
    let offset = u32::try_from(offset).ok()?;
    (offset % 8 == 0 && offset < 1 << 31).then_some(offset)
}
