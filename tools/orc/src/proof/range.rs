// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Between what two numbers a register is, where it has no known [`Value`].
//!
//! It is for SP alone: how large a frame can be whose size run time decides
//! (`alloca()`, a random offset, an alignment), and whether SP is on this stack at
//! all. Nothing else in the proof depends on it, so no row is proved or refused by
//! it.

use std::fmt;

use crate::a64::is_top_run;

use super::value::Value;

/// Between what two numbers a register is, both included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Range {
    /// Anything.
    #[default]
    Any,
    /// What was in memory, but not in this function's frame.
    Loaded,
    /// A number that is not negative.
    Number {
        /// The smallest it can be.
        least: i32,
        /// The largest it can be.
        most: i32,
    },
    /// The CFA plus a number; [`UNBOUNDED_BELOW`] and [`UNBOUNDED_ABOVE`] are no
    /// bounds.
    Stack {
        /// The smallest that number can be.
        lowest: i32,
        /// The largest it can be.
        highest: i32,
    },
    /// The end of another stack: only SP.
    OtherStack,
}

/// A lowest offset from the CFA that is none.
pub const UNBOUNDED_BELOW: i32 = i32::MIN;
/// A highest offset from the CFA that is none.
pub const UNBOUNDED_ABOVE: i32 = i32::MAX;

/// No number is larger than this, so that sums and shifts of them are small, too.
const LARGEST: i64 = 1 << 30;
/// SP and the CFA are multiples of this.
const SP_ALIGN: i64 = 16;

impl Range {
    /// SP somewhere: by an amount that only run time tells it moves down, or back up
    /// to where it was.
    pub const SOMEWHERE: Self = Self::Stack {
        lowest: UNBOUNDED_BELOW,
        highest: UNBOUNDED_ABOVE,
    };

    /// All that a value says.
    pub(super) fn of(value: Value) -> Self {
        match value {
            Value::Cfa(offset) => Self::stack(offset.into(), offset.into()),
            Value::Constant(number) => Self::number(number.into(), number.into()),
            _ => Self::Any,
        }
    }

    /// A number from `least` to `most`.
    pub(super) fn number(least: i64, most: i64) -> Self {
        match (i32::try_from(least), i32::try_from(most)) {
            (Ok(least), Ok(most)) if least >= 0 && i64::from(most) <= LARGEST => {
                Self::Number { least, most }
            }
            _ => Self::Any,
        }
    }

    /// The CFA plus a number from `lowest` to `highest`.
    fn stack(lowest: i64, highest: i64) -> Self {
        let within = |offset: i64, none: i32| match i32::try_from(offset) {
            Ok(offset) if i64::from(offset).abs() <= LARGEST => offset,
            _ => none,
        };
        Self::Stack {
            lowest: within(lowest, UNBOUNDED_BELOW),
            highest: within(highest, UNBOUNDED_ABOVE),
        }
    }

    /// The range plus a number of bytes.
    pub(super) fn plus(self, by: i64) -> Self {
        match self {
            _ if by == 0 => self,
            Self::Number { least, most } => {
                let add = |number: i32| i64::from(number).checked_add(by);
                add(least)
                    .zip(add(most))
                    .map_or(Self::Any, |(least, most)| Self::number(least, most))
            }
            Self::Stack { lowest, highest } => Self::stack(
                add_bound(lowest, UNBOUNDED_BELOW, by),
                add_bound(highest, UNBOUNDED_ABOVE, by),
            ),
            Self::Loaded => Self::Loaded,
            Self::Any | Self::OtherStack => Self::Any,
        }
    }

    /// The range plus or minus another one that is shifted left.
    pub(super) fn plus_shifted(self, by: Self, shift: u32, subtract: bool) -> Self {
        let by = match by.shifted(0, u64::MAX, shift) {
            Self::Number { least, most } if subtract => Some((-i64::from(most), -i64::from(least))),
            Self::Number { least, most } => Some((least.into(), most.into())),
            _ => None,
        };
        match (self, by) {
            (Self::Number { least, most }, Some((from, to))) => {
                Self::number(i64::from(least) + from, i64::from(most) + to)
            }
            (Self::Stack { lowest, highest }, Some((from, to))) => Self::stack(
                add_bound(lowest, UNBOUNDED_BELOW, from),
                add_bound(highest, UNBOUNDED_ABOVE, to),
            ),
            (Self::Stack { .. }, None) => Self::SOMEWHERE,
            _ => Self::Any,
        }
    }

    /// The low 32 bits of the range plus a number.
    pub(super) fn plus_word(self, by: i64) -> Self {
        match self {
            Self::Number { .. } => self.plus(by),
            _ => Self::Any,
        }
    }

    /// Those bits of the range that are set in `mask`.
    pub(super) fn masked(self, mask: u64) -> Self {
        let grain = 1 << mask.trailing_zeros().min(63);
        let is_run = mask.wrapping_add(grain).is_power_of_two() || is_top_run(mask);
        match self {
            Self::Stack { lowest, highest } if is_top_run(mask) => {
                // SP and the CFA are multiples of 16, so what is cleared is, too.
                let is_aligned = i64::from(lowest) % SP_ALIGN == 0;
                let step = if is_aligned { SP_ALIGN } else { 1 };
                let by = i64::try_from(grain).unwrap_or(i64::MAX).min(LARGEST);
                let by = (step - by).min(0);
                Self::stack(add_bound(lowest, UNBOUNDED_BELOW, by), i64::from(highest))
            }
            Self::Number { least, most } => {
                let down =
                    |number: i32| (u64::from(number.unsigned_abs()) & !(grain - 1)).min(mask);
                // With no gap in the mask, and all of the range below its end.
                let is_whole = is_run && u64::from(most.unsigned_abs()) <= mask | (grain - 1);
                let least = if is_whole { down(least) } else { 0 };
                Self::number(least as i64, down(most) as i64)
            }
            _ => Self::number(0, i64::try_from(mask).unwrap_or(i64::MAX)),
        }
    }

    /// The range shifted right, then masked, then shifted left.
    pub(super) fn shifted(self, right: u32, mask: u64, left: u32) -> Self {
        let shifted = match self {
            Self::Number { least, most } => {
                let (least, most) = (least >> right.min(31), most >> right.min(31));
                Self::number(least.into(), most.into())
            }
            _ if right == 0 && left == 0 => self,
            _ => Self::Any,
        };
        let masked = match mask {
            u64::MAX => shifted,
            mask => shifted.masked(mask),
        };
        match masked {
            Self::Number { least, most } if left < 31 => {
                Self::number(i64::from(least) << left, i64::from(most) << left)
            }
            _ if left == 0 => masked,
            _ => Self::Any,
        }
    }

    /// The range of SP that a register with this range was moved to.
    pub(super) fn as_sp(self) -> Self {
        match self {
            Self::Loaded => Self::OtherStack,
            Self::Stack { .. } | Self::OtherStack => self,
            Self::Any | Self::Number { .. } => Self::Any,
        }
    }

    /// The smallest range that has both in it.
    pub(super) fn join(self, other: Self) -> Self {
        match (self, other) {
            _ if self == other => self,
            (
                Self::Number { least, most },
                Self::Number {
                    least: or_least,
                    most: or_most,
                },
            ) => Self::Number {
                least: least.min(or_least),
                most: most.max(or_most),
            },
            (
                Self::Stack { lowest, highest },
                Self::Stack {
                    lowest: or_lowest,
                    highest: or_highest,
                },
            ) => Self::Stack {
                lowest: lowest.min(or_lowest),
                highest: highest.max(or_highest),
            },
            _ => Self::Any,
        }
    }

    /// One that has `self` in it as well, and that nothing but [`Range::Any`] can
    /// follow: where `self` comes after `before` in a loop, it would grow for ever.
    pub(super) fn widened(self, before: Self) -> Self {
        match (before, self) {
            _ if self == before => self,
            (
                Self::Stack { lowest, highest },
                Self::Stack {
                    lowest: now_lowest,
                    highest: now_highest,
                },
            ) => Self::Stack {
                lowest: if now_lowest < lowest {
                    UNBOUNDED_BELOW
                } else {
                    now_lowest
                },
                highest: if now_highest > highest {
                    UNBOUNDED_ABOVE
                } else {
                    now_highest
                },
            },
            _ => Self::Any,
        }
    }
}

/// The bound plus a number, unless it is none.
fn add_bound(bound: i32, none: i32, by: i64) -> i64 {
    match bound == none {
        true => none.into(),
        false => i64::from(bound).saturating_add(by),
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Any => f.write_str("unknown"),
            Self::Loaded => f.write_str("loaded"),
            Self::Number { least, most } => write!(f, "{least:#x}..{most:#x}"),
            Self::Stack { lowest, highest } => {
                f.write_str("CFA")?;
                if lowest != UNBOUNDED_BELOW {
                    write!(f, "{lowest:+}")?;
                }
                f.write_str("..")?;
                match highest {
                    UNBOUNDED_ABOVE => Ok(()),
                    _ => write!(f, "{highest:+}"),
                }
            }
            Self::OtherStack => f.write_str("another stack"),
        }
    }
}
