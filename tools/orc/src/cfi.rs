// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Call frame information: `.eh_frame` (`.init.eh_frame` in modules) or
//! `.debug_frame`, read into claims about functions.
//!
//! A row that a [`Claim`] can't hold makes the whole function
//! [`Claims::Unsupported`]; nothing is left out in silence. Only what linkers
//! write for code that they discarded is dropped, and counted.

use std::ops::Range;

use gimli::{
    AArch64, BaseAddresses, CfaRule, CieOrFde, DebugFrame, EhFrame, EndianSlice, LittleEndian,
    RegisterRule, UnwindContext, UnwindSection, UnwindTableRow, Vendor,
};

use crate::claim::{Cfa, CfaBase, Claim, Claims, Location};
use crate::elf::Image;
use crate::error::Fault;

type Reader<'d> = EndianSlice<'d, LittleEndian>;
type Entry<'d> = gimli::FrameDescriptionEntry<Reader<'d>>;

/// Sections with CFI that the linker keeps for unwinding, and how else they are
/// named: `arch/arm64/include/asm/module.lds.h` renames a module's.
const EH_FRAME: [&str; 2] = [".eh_frame", ".init.eh_frame"];
const DEBUG_FRAME: &str = ".debug_frame";

/// What the CFI of a file says.
#[derive(Debug, Default)]
pub struct Cfi {
    /// One entry a function, sorted by section and start; none overlaps.
    pub entries: Vec<Described>,
    /// Entries for code that the linker has discarded.
    pub discarded: usize,
    /// Size of the sections read, in bytes.
    pub bytes: u64,
}

/// A range of text and the claims about it.
#[derive(Clone, Debug)]
pub struct Described {
    /// Index of the text section.
    pub section: usize,
    /// Offsets in it.
    pub range: Range<u64>,
    /// What the CFI says.
    pub claims: Claims,
}

/// Reads the CFI of a file; `None` when it has none.
///
/// # Errors
///
/// A [`Fault`] when the CFI is malformed, or describes what is not text.
pub fn read(image: &Image<'_>) -> Result<Option<Cfi>, Fault> {
    let mut cfi = Cfi::default();
    for (index, section) in image.sections.iter().enumerate() {
        if EH_FRAME.contains(&&*section.name) && !section.data.is_empty() {
            let bytes = image.relocated(index)?;
            let mut eh = EhFrame::new(&bytes, LittleEndian);
            eh.set_address_size(8);
            eh.set_vendor(Vendor::AArch64);
            read_section(image, index, &eh, &mut cfi)?;
        }
    }
    if cfi.bytes == 0 {
        for (index, section) in image.sections.iter().enumerate() {
            if section.name == DEBUG_FRAME && !section.data.is_empty() {
                check_uncompressed(section.flags)?;
                let bytes = image.relocated(index)?;
                let mut debug = DebugFrame::new(&bytes, LittleEndian);
                debug.set_address_size(8);
                debug.set_vendor(Vendor::AArch64);
                read_section(image, index, &debug, &mut cfi)?;
            }
        }
    }
    if cfi.bytes == 0 {
        return Ok(None);
    }
    cfi.entries = without_overlap(std::mem::take(&mut cfi.entries));
    Ok(Some(cfi))
}

fn check_uncompressed(flags: u64) -> Result<(), Fault> {
    if flags & object::elf::SHF_COMPRESSED.0 != 0 {
        return Err(Fault::new(
            DEBUG_FRAME,
            0,
            "compressed; decompress it first",
        ));
    }
    Ok(())
}

fn read_section<'d, S>(
    image: &Image<'_>,
    index: usize,
    cfi_section: &S,
    cfi: &mut Cfi,
) -> Result<(), Fault>
where
    S: UnwindSection<Reader<'d>>,
{
    let section = &image.sections[index];
    let bases = BaseAddresses::default().set_eh_frame(section.address);
    let mut context = UnwindContext::new();
    let mut entries = cfi_section.entries(&bases);
    // gimli tells no offset of a malformed entry; it starts where the last ended.
    let mut at = 0;
    let fault = |at: u64, what: String| Fault::new(&*section.name, at, what);
    while let Some(entry) = entries.next().map_err(|e| fault(at, e.to_string()))? {
        let (start, length, format) = match entry {
            CieOrFde::Cie(cie) => (cie.offset(), cie.entry_len(), cie.encoding().format),
            CieOrFde::Fde(partial) => {
                let start = partial.offset();
                let entry = partial
                    .parse(S::cie_from_offset)
                    .map_err(|e| fault(start as u64, e.to_string()))?;
                let found = describe(image, cfi_section, &bases, &mut context, &entry)
                    .map_err(|what| fault(start as u64, what))?;
                match found {
                    Some(found) => cfi.entries.push(found),
                    None => cfi.discarded += 1,
                }
                (start, entry.entry_len(), entry.cie().encoding().format)
            }
        };
        at = start as u64 + u64::from(format.initial_length_size()) + length as u64;
    }
    let rest = section.data.get(at as usize..).unwrap_or_default();
    if rest.iter().any(|byte| *byte != 0) {
        return Err(fault(at, "entries after the terminator".into()));
    }
    cfi.bytes += section.data.len() as u64;
    Ok(())
}

/// What one FDE says; `None` for code that is not there, an error for an FDE that
/// describes anything but text.
fn describe<'d, S>(
    image: &Image<'_>,
    cfi_section: &S,
    bases: &BaseAddresses,
    context: &mut UnwindContext<usize>,
    entry: &Entry<'d>,
) -> Result<Option<Described>, String>
where
    S: UnwindSection<Reader<'d>>,
{
    let start = entry.initial_address();
    if entry.len() == 0 || start == 0 || start >= u64::MAX - 1 {
        return Ok(None);
    }
    let (section, offset) = image
        .text_at(start)
        .ok_or_else(|| format!("describes {start:#x}, which is not text"))?;
    let size = image.sections[section].data.len() as u64;
    let end = offset
        .checked_add(entry.len())
        .filter(|end| *end <= size)
        .ok_or_else(|| {
            format!(
                "describes text past the end of {}",
                image.sections[section].name
            )
        })?;
    if offset % 4 != 0 || end % 4 != 0 {
        return Err(format!("describes part of an instruction at {start:#x}"));
    }
    let function = Function {
        address: start,
        offset,
        end,
    };
    let claims = match function.claims(cfi_section, bases, context, entry) {
        Ok(rows) => Claims::Rows(rows),
        Err(Refusal::Unsupported(why)) => Claims::Unsupported(why),
        Err(Refusal::Malformed(error)) => return Err(error.to_string()),
    };
    Ok(Some(Described {
        section,
        range: offset..end,
        claims,
    }))
}

/// Why an FDE gives no claims.
enum Refusal {
    /// It is sound, and says what no claim can.
    Unsupported(String),
    /// It can't be parsed.
    Malformed(gimli::Error),
}

/// The function that an FDE describes.
struct Function {
    address: u64,
    offset: u64,
    end: u64,
}

impl Function {
    fn claims<'d, S>(
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

/// Sorts, and makes one refused entry of those that overlap and differ.
fn without_overlap(mut entries: Vec<Described>) -> Vec<Described> {
    entries.sort_by_key(|e| (e.section, e.range.start, e.range.end));
    let mut kept: Vec<Described> = Vec::with_capacity(entries.len());
    for entry in entries {
        match kept.last_mut() {
            Some(last) if last.section == entry.section && entry.range.start < last.range.end => {
                if last.range == entry.range && last.claims == entry.claims {
                    continue;
                }
                last.range.end = last.range.end.max(entry.range.end);
                last.claims = Claims::Unsupported("several FDEs describe it".into());
            }
            _ => kept.push(entry),
        }
    }
    kept
}
