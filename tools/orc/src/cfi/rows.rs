// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The rows of one FDE as claims, or why they can't be.

use gimli::{
    AArch64, BaseAddresses, CfaRule, RegisterRule, UnwindContext, UnwindSection, UnwindTableRow,
};

use super::{Entry, Reader};
use crate::claim::{Cfa, CfaBase, Claim, Location};

/// Why an FDE gives no claims.
pub(super) enum Refusal {
    /// It is sound, and says what no claim can.
    Unsupported(String),
    /// It can't be parsed.
    Malformed(gimli::Error),
}

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
    /// Its rows, merged where they say the same.
    pub(super) fn claims<'d, S>(
        &self,
        cfi_section: &S,
        bases: &BaseAddresses,
        context: &mut UnwindContext<usize>,
        entry: &Entry<'d>,
    ) -> Result<Vec<Claim>, Refusal>
    where
        S: UnwindSection<Reader<'d>>,
    {
        if entry.cie().return_address_register() != AArch64::X30 {
            return Err(Refusal::Unsupported("the return address is not x30".into()));
        }
        refuse_undefined(cfi_section, bases, entry)?;
        let mut rows = entry
            .rows(cfi_section, bases, context)
            .map_err(Refusal::Malformed)?;
        let mut claims: Vec<Claim> = Vec::new();
        while let Some(row) = rows.next_row().map_err(Refusal::Malformed)? {
            let start = self.row_start(row.start_address())?;
            let claim = claim(start, row, entry.is_signal_trampoline()).map_err(|why| {
                Refusal::Unsupported(format!("{why} at +{:#x}", start - self.offset))
            })?;
            match claims.last_mut() {
                // A location that is advanced to twice: the last rules hold.
                Some(last) if last.start == start => *last = claim,
                Some(last) if last.start > start => {
                    return Err(Refusal::Unsupported("rows are not in order".into()))
                }
                // Sign state (DW_CFA_AARCH64_negate_ra_state) and registers that
                // a walk does not restore make rows that say the same.
                Some(last) if same(last, &claim) => {}
                _ => claims.push(claim),
            }
        }
        match claims.first() {
            Some(first) if first.start == self.offset => Ok(claims),
            _ => Err(Refusal::Unsupported("no row at the start".into())),
        }
    }

    /// The offset in the section of a row that starts at this address.
    fn row_start(&self, address: u64) -> Result<u64, Refusal> {
        let unsupported = |why: &str| Refusal::Unsupported(why.into());
        let start = address
            .checked_sub(self.address)
            .and_then(|distance| self.offset.checked_add(distance))
            .ok_or_else(|| unsupported("a row before the start"))?;
        if start >= self.end {
            return Err(unsupported("a row past the end"));
        }
        if start % 4 != 0 {
            return Err(unsupported("a row inside an instruction"));
        }
        Ok(start)
    }
}

fn same(one: &Claim, other: &Claim) -> bool {
    Claim {
        start: other.start,
        ..one.clone()
    } == *other
}

/// gimli gives the same rule for a register that is never mentioned, which keeps
/// its value, and for one that `DW_CFA_undefined` says is lost.
fn refuse_undefined<'d, S>(
    cfi_section: &S,
    bases: &BaseAddresses,
    entry: &Entry<'d>,
) -> Result<(), Refusal>
where
    S: UnwindSection<Reader<'d>>,
{
    let programs = [
        entry.cie().instructions(cfi_section, bases),
        entry.instructions(cfi_section, bases),
    ];
    for mut program in programs {
        while let Some(instruction) = program.next().map_err(Refusal::Malformed)? {
            if let gimli::CallFrameInstruction::Undefined { register } = instruction {
                if [AArch64::X29, AArch64::X30, AArch64::SP].contains(&register) {
                    let why = format!("{} is undefined", name(register));
                    return Err(Refusal::Unsupported(why));
                }
            }
        }
    }
    Ok(())
}

fn name(register: gimli::Register) -> &'static str {
    AArch64::register_name(register).unwrap_or("a register")
}

/// The claim of one row, or why there is none.
fn claim(start: u64, row: &UnwindTableRow<usize>, signal_frame: bool) -> Result<Claim, String> {
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
    Ok(Claim {
        start,
        cfa,
        return_address: location(row, AArch64::X30)?,
        caller_fp: location(row, AArch64::X29)?,
        signal_frame,
    })
}

fn location(row: &UnwindTableRow<usize>, register: gimli::Register) -> Result<Location, String> {
    let refused = |what: &str| Err(format!("{} {what}", name(register)));
    match row.register(register) {
        RegisterRule::Undefined | RegisterRule::SameValue => Ok(Location::Register),
        RegisterRule::Register(other) if other == register => Ok(Location::Register),
        RegisterRule::Offset(offset) => match offset.checked_neg().and_then(bytes) {
            Some(below) if below > 0 => Ok(Location::Slot(below)),
            _ => refused(&format!("at CFA{offset:+}")),
        },
        RegisterRule::Register(other) => refused(&format!("in {}", name(other))),
        _ => refused("by a rule that no table has"),
    }
}

/// An offset as the table holds it: bytes, a multiple of 8, below 2^31.
fn bytes(offset: i64) -> Option<u32> {
    let offset = u32::try_from(offset).ok()?;
    (offset % 8 == 0 && offset < 1 << 31).then_some(offset)
}
