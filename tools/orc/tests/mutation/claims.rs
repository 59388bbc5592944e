// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Faults that are put into CFI: a row that says something else, stands elsewhere
//! or is not there.

use orctool::claim::{CfaBase, Claim, Location};

use crate::random::Random;

/// What may be broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    ShiftCfa,
    OtherBase,
    MoveReturnAddress,
    MoveCallerFp,
    SwapSlots,
    Forget,
    Delete,
    Early,
    Late,
    CopyAnother,
}

/// All of them.
pub const KINDS: [Kind; 10] = [
    Kind::ShiftCfa,
    Kind::OtherBase,
    Kind::MoveReturnAddress,
    Kind::MoveCallerFp,
    Kind::SwapSlots,
    Kind::Forget,
    Kind::Delete,
    Kind::Early,
    Kind::Late,
    Kind::CopyAnother,
];

/// The rows of a function with a fault of this kind in one; none where it has no
/// place. The function ends at `end`.
pub fn broken(kind: Kind, rows: &[Claim], end: u64, random: &mut Random) -> Option<Vec<Claim>> {
    let index = random.below(rows.len());
    let another = random.below(rows.len());
    let mut broken = rows.to_vec();
    let row = &mut broken[index];
    match kind {
        Kind::ShiftCfa => row.cfa.offset = shifted(row.cfa.offset, random),
        Kind::OtherBase => {
            row.cfa.base = match row.cfa.base {
                CfaBase::Sp => CfaBase::Fp,
                CfaBase::Fp => CfaBase::Sp,
            }
        }
        Kind::MoveReturnAddress => row.return_address = moved(row.return_address, random),
        Kind::MoveCallerFp => row.caller_fp = moved(row.caller_fp, random),
        Kind::SwapSlots => std::mem::swap(&mut row.return_address, &mut row.caller_fp),
        Kind::Forget if random.one_in(2) => row.return_address = Location::Register,
        Kind::Forget => row.caller_fp = Location::Register,
        Kind::CopyAnother => {
            *row = Claim {
                start: row.start,
                ..rows[another].clone()
            };
        }
        // The first row says how the function is entered.
        _ if index == 0 => return None,
        Kind::Delete => drop(broken.remove(index)),
        Kind::Early => {
            row.start -= 4;
            if broken[index - 1].start == broken[index].start {
                broken.remove(index - 1);
            }
        }
        Kind::Late => {
            row.start += 4;
            let next = rows.get(index + 1).map_or(end, |next| next.start);
            if row.start >= next {
                broken.remove(index);
            }
        }
    }
    (broken != rows).then_some(broken)
}

/// An offset that is 8 or 16 bytes larger or smaller.
fn shifted(offset: u32, random: &mut Random) -> u32 {
    let by = random.pick(&[8, 16, 8_u32.wrapping_neg(), 16_u32.wrapping_neg()]);
    match offset.checked_add_signed(by as i32) {
        Some(offset) => offset,
        None => offset + 16,
    }
}

fn moved(location: Location, random: &mut Random) -> Location {
    match location {
        Location::Slot(offset) => Location::Slot(shifted(offset, random)),
        Location::Register => Location::Slot(8 * (1 + random.below(4) as u32)),
    }
}
