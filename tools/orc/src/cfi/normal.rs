// SPDX-License-Identifier: GPL-2.0 OR MIT

//! CFI in a form that gimli reads: what it does not know and what says nothing of the
//! places of registers is taken out, and what nobody here knows costs the functions
//! that depend on it.
//!
//! The letters `B` (return addresses are signed with key B) and `G` (the stack is
//! tagged) of a CIE's augmentation have no data. The opcode 0x2c says that the state
//! of the signature changes, and is signed with the place of the instruction.

use std::borrow::Cow;
use std::collections::BTreeMap;

/// CFI, and the entries in it that can't be believed: why, by offset.
pub(super) struct Normal<'d> {
    pub bytes: Cow<'d, [u8]>,
    pub refused: BTreeMap<usize, String>,
}

const NEGATE_RA_STATE_WITH_PC: u8 = 0x2c;
const NOP: u8 = 0;
/// Letters whose data gimli finds, if it has any.
const KNOWN: &[u8] = b"zLPRS";
/// Letters that have none, and change no place.
const HARMLESS: &[u8] = b"BG";

/// `cie_id`: what the second word of a CIE is. Entries of 64-bit DWARF are left as they
/// are, and so is everything after what is malformed: gimli finds the fault.
pub(super) fn normalize(bytes: Cow<'_, [u8]>, cie_id: u32) -> Normal<'_> {
    let mut normal = Normal {
        bytes,
        refused: BTreeMap::new(),
    };
    let mut at = 0;
    while let Some(length) = word(&normal.bytes, at) {
        let end = at + 4 + length as usize;
        if length == 0 || length >= 0xffff_fff0 || end > normal.bytes.len() {
            break;
        }
        let is_cie = word(&normal.bytes, at + 4) == Some(cie_id);
        if is_cie {
            normal.cie(at, end);
        } else {
            normal.fde(at, end, cie_id);
        }
        at = end;
    }
    normal
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_le_bytes(*bytes))
}

impl Normal<'_> {
    /// Takes letters out of the augmentation of the CIE in this range: those without
    /// data, and all from one on that is not known, whose functions are refused.
    fn cie(&mut self, start: usize, end: usize) {
        let first = start + 9;
        let mut at = first;
        while at < end && self.bytes[at] != 0 {
            let letter = self.bytes[at];
            if KNOWN.contains(&letter) {
                at += 1;
                continue;
            }
            if !HARMLESS.contains(&letter) {
                // Without a length nobody finds what comes after its data.
                if self.bytes[first] != b'z' {
                    return;
                }
                let name = char::from(letter).escape_default();
                let why = format!("its CIE has the unknown augmentation '{name}'");
                self.refused.entry(start).or_insert(why);
            }
            let bytes = self.bytes.to_mut();
            bytes.copy_within(at + 1..end, at);
            bytes[end - 1] = NOP;
        }
        if let Some(program) = self.cie_program(start, end) {
            self.program(start, program, end);
        }
    }

    /// Where the instructions of a CIE start.
    fn cie_program(&self, start: usize, end: usize) -> Option<usize> {
        let bytes = self.bytes.get(..end)?;
        let version = *bytes.get(start + 8)?;
        let text = start + 9;
        let letters = bytes.get(text..)?.iter().position(|byte| *byte == 0)?;
        let has_length = letters != 0 && bytes[text] == b'z';
        let mut at = text + letters + 1;
        // The sizes of addresses and of segment selectors.
        at += if version >= 4 { 2 } else { 0 };
        // The two alignment factors.
        at = after_leb(bytes, after_leb(bytes, at)?)?;
        at = match version {
            1 => at + 1,
            _ => after_leb(bytes, at)?,
        };
        match has_length {
            true => after_block(bytes, at),
            false => Some(at),
        }
    }

    /// The instructions of an FDE, if its CIE says that they follow a length: two
    /// addresses of the width of the encoding come before it.
    fn fde(&mut self, start: usize, end: usize, cie_id: u32) {
        let Some(distance) = word(&self.bytes, start + 4) else {
            return;
        };
        // In .eh_frame a distance back from there, in .debug_frame an offset.
        let cie = match cie_id {
            0 => (start + 4).checked_sub(distance as usize),
            _ => Some(distance as usize),
        };
        let Some(cie) = cie else {
            return;
        };
        if let Some(why) = self.refused.get(&cie).cloned() {
            self.refused.insert(start, why);
        }
        let program = self.fde_program(start, end, cie);
        if let Some(program) = program {
            self.program(start, program, end);
        }
    }

    fn fde_program(&self, start: usize, end: usize, cie: usize) -> Option<usize> {
        let bytes = self.bytes.get(..end)?;
        let version = *bytes.get(cie + 8)?;
        let letters = bytes.get(cie + 9..)?;
        let letters = letters.get(..letters.iter().position(|byte| *byte == 0)?)?;
        let width = match self.encoding(cie, letters, version) {
            None => 8,
            Some(encoding) => match encoding & 0xf {
                0x0 | 0x4 | 0xc => 8,
                0x3 | 0xb => 4,
                0x2 | 0xa => 2,
                _ => return None,
            },
        };
        let at = start + 8 + 2 * width;
        match letters.first() {
            Some(b'z') => after_block(bytes, at),
            _ => Some(at),
        }
    }

    /// How a CIE says that addresses are encoded.
    fn encoding(&self, cie: usize, letters: &[u8], version: u8) -> Option<u8> {
        let bytes = &self.bytes;
        let mut at = cie + 9 + letters.len() + 1;
        at = after_leb(bytes, after_leb(bytes, at)?)?;
        at = match version {
            1 => at + 1,
            _ => after_leb(bytes, at)?,
        };
        at = after_leb(bytes, at)?;
        for letter in letters.get(1..)? {
            match letter {
                b'R' => return bytes.get(at).copied(),
                b'L' => at += 1,
                // A personality: no kernel has one.
                b'P' => return None,
                _ => {}
            }
        }
        None
    }

    /// Takes what is known to be harmless out of a program; one with an opcode that is
    /// not known is refused, and made empty.
    fn program(&mut self, entry: usize, start: usize, end: usize) {
        let mut at = start;
        while let Some(&opcode) = self.bytes.get(at).filter(|_| at < end) {
            if opcode == NEGATE_RA_STATE_WITH_PC {
                self.bytes.to_mut()[at] = NOP;
            }
            match after_instruction(&self.bytes[..end], at) {
                After::At(next) => at = next,
                After::CutOff => return,
                After::Unknown => {
                    let why = format!("it has the unknown CFI opcode {opcode:#04x}");
                    self.refused.entry(entry).or_insert(why);
                    self.bytes.to_mut()[start..end].fill(NOP);
                    return;
                }
            }
        }
    }
}

/// What comes after an instruction of CFI.
enum After {
    /// Another one, there, or the end.
    At(usize),
    /// It is not whole.
    CutOff,
    /// Nobody knows where it ends.
    Unknown,
}

fn after_instruction(bytes: &[u8], at: usize) -> After {
    let opcode = bytes.get(at).copied().unwrap_or(NOP);
    let operands = at + 1;
    let numbers = |count: usize| {
        let step = |at: Option<usize>, _| after_leb(bytes, at?);
        (0..count).fold(Some(operands), step)
    };
    let next = match opcode {
        // DW_CFA_advance_loc, DW_CFA_offset, DW_CFA_restore
        0x40..=0x7f | 0xc0..=0xff => Some(operands),
        0x80..=0xbf => numbers(1),
        // nop; remember_state, restore_state; negate_ra_state, also with the PC
        0x00 | 0x0a | 0x0b | 0x2c | 0x2d => Some(operands),
        // advance_loc1, advance_loc2, advance_loc4
        0x02 => Some(operands + 1),
        0x03 => Some(operands + 2),
        0x04 => Some(operands + 4),
        // One number, or two.
        0x06..=0x08 | 0x0d | 0x0e | 0x13 | 0x2e => numbers(1),
        0x05 | 0x09 | 0x0c | 0x11 | 0x12 | 0x14 | 0x15 | 0x2f => numbers(2),
        // An expression, also of a register.
        0x0f => after_block(bytes, operands),
        0x10 | 0x16 => numbers(1).and_then(|at| after_block(bytes, at)),
        _ => return After::Unknown,
    };
    next.filter(|next| *next <= bytes.len())
        .map_or(After::CutOff, After::At)
}

fn after_leb(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = bytes.get(at..)?;
    Some(at + rest.iter().position(|byte| byte & 0x80 == 0)? + 1)
}

/// After a length, and as many bytes.
fn after_block(bytes: &[u8], at: usize) -> Option<usize> {
    let start = after_leb(bytes, at)?;
    let mut digits = bytes.get(at..start)?.iter().rev();
    let length = digits.try_fold(0_usize, |length, byte| {
        length.checked_mul(128)?.checked_add((byte & 0x7f).into())
    })?;
    start.checked_add(length).filter(|end| *end <= bytes.len())
}
