// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Between what two numbers a register is, where it has no known [`Value`].
//!
//! Of SP it says how large a frame can be whose size run time decides (`alloca()`, a
//! random offset, an alignment), and whether SP is on this stack at all. Of others it
//! says whether they may point into this stack, and where to: which slots a store
//! through them may hit.

use std::fmt;

use super::span::Span;
pub use super::span::{UNBOUNDED_ABOVE, UNBOUNDED_BELOW};

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
    /// The CFA plus a number.
    Stack(Span),
    /// The CFA plus a number, or no address in this stack.
    Mixed(Span),
    /// Made of the caller's x29, or perhaps: anywhere in this stack.
    Frame,
    /// The end of another stack: only SP.
    OtherStack,
}

/// No number is larger than this, so that sums and shifts of them are small, too.
const LARGEST: i64 = 1 << 30;

impl Range {
    /// SP somewhere: by an amount that only run time tells it moves down, or back up
    /// to where it was.
    pub const SOMEWHERE: Self = Self::Stack(Span::SOMEWHERE);

    /// All that a value says.
    pub(super) fn of(value: Value) -> Self {
        match value {
            Value::Cfa(offset) => Self::Stack(Span::at(offset)),
            Value::Constant(number) => Self::number(number.into(), number.into()),
            Value::CallerFp => Self::Frame,
            _ => Self::Any,
        }
    }

    /// Those bits.
    pub(super) fn of_bits(bits: u64) -> Self {
        i64::try_from(bits).map_or(Self::Any, |bits| Self::number(bits, bits))
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

    /// The largest number that it can be.
    pub(super) const fn most(self) -> Option<i32> {
        match self {
            Self::Number { most, .. } => Some(most),
            _ => None,
        }
    }

    /// Whether it may be an address in this stack.
    pub(super) const fn may_be_stack(self) -> bool {
        matches!(self, Self::Stack(_) | Self::Mixed(_) | Self::Frame)
    }

    /// The offsets from the CFA, if it may be an address in this stack that is made of
    /// SP.
    pub(super) const fn span(self) -> Option<Span> {
        match self {
            Self::Stack(span) | Self::Mixed(span) => Some(span),
            _ => None,
        }
    }

    /// The value, where there is one that it can be.
    pub(super) fn exact(self) -> Option<Value> {
        match self {
            Self::Number { least, most } if least == most => Some(Value::Constant(least)),
            Self::Stack(span) => span.exact().map(Value::Cfa),
            _ => None,
        }
    }

    /// The range plus a number of bytes.
    pub(super) fn plus(self, by: i64) -> Self {
        match by {
            0 => self,
            by => self.plus_between(by, by),
        }
    }

    /// The range plus a number in these bounds.
    fn plus_between(self, from: i64, to: i64) -> Self {
        match self {
            Self::Number { least, most } => {
                let sum = |number: i32, by| i64::from(number).checked_add(by);
                sum(least, from)
                    .zip(sum(most, to))
                    .map_or(Self::Any, |(least, most)| Self::number(least, most))
            }
            Self::Stack(span) => Self::Stack(span.plus(from, to)),
            Self::Mixed(span) => Self::Mixed(span.plus(from, to)),
            Self::Frame => Self::Frame,
            Self::Loaded if from == to => Self::Loaded,
            Self::Any | Self::Loaded | Self::OtherStack => Self::Any,
        }
    }

    /// The range plus a number that is not known.
    fn plus_any(self) -> Self {
        match self {
            Self::Stack(_) => Self::SOMEWHERE,
            Self::Mixed(_) => Self::Mixed(Span::SOMEWHERE),
            Self::Frame => Self::Frame,
            _ => Self::Any,
        }
    }

    /// The range plus or minus another one that is shifted left.
    pub(super) fn plus_shifted(self, by: Self, shift: u32, subtract: bool) -> Self {
        match by.shifted(0, u64::MAX, shift) {
            Self::Number { least, most } if subtract => {
                self.plus_between(-i64::from(most), -i64::from(least))
            }
            Self::Number { least, most } => self.plus_between(least.into(), most.into()),
            _ => self.plus_any(),
        }
    }

    /// The bits that are set in one of two, or in one alone.
    pub(super) fn with_bits(self, bits: Self, is_exclusive: bool) -> Self {
        let (base, bits) = match self.may_be_stack() {
            true => (self, bits),
            false => (bits, self),
        };
        match bits {
            // It is at most the sum, and at least what has the bits already.
            Self::Number { most, .. } => {
                let least = if is_exclusive { -i64::from(most) } else { 0 };
                match base {
                    Self::Stack(span) => Self::Stack(span.spread(least, most.into())),
                    Self::Mixed(span) => Self::Mixed(span.spread(least, most.into())),
                    base => base.plus_between(least, most.into()),
                }
            }
            _ => base.plus_any(),
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
            Self::Stack(span) if is_top_run(mask) => {
                let grain = i64::try_from(grain).unwrap_or(i64::MAX).min(LARGEST);
                Self::Stack(span.rounded_down(grain))
            }
            Self::Mixed(_) | Self::Frame if is_top_run(mask) => self.plus_any(),
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

    /// The range of SP that a register with this range was moved to (A13).
    pub(super) fn as_sp(self) -> Self {
        match self {
            Self::Loaded => Self::OtherStack,
            Self::Stack(_) | Self::OtherStack => self,
            Self::Any | Self::Number { .. } | Self::Mixed(_) | Self::Frame => Self::Any,
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
            (Self::Frame, _) | (_, Self::Frame) => Self::Frame,
            (Self::Stack(one), Self::Stack(other)) => Self::Stack(one.join(other)),
            _ => match (self.span(), other.span()) {
                (Some(one), Some(other)) => Self::Mixed(one.join(other)),
                (Some(one), None) | (None, Some(one)) => Self::Mixed(one),
                (None, None) => Self::Any,
            },
        }
    }

    /// The same after a way back, where `before` was known and `other` comes from: what a
    /// loop adds to an address is an index.
    pub(super) fn looped(self, before: Self, other: Value) -> Self {
        let (was_exact, is_exact) = (before.exact().is_some(), other != Value::Unknown);
        let knowing = |span: Span| match is_exact && !was_exact {
            // It is not made of what it was before.
            true => span,
            false => span.knowing(before.span()),
        };
        match self {
            Self::Stack(span) => Self::Stack(knowing(span)),
            Self::Mixed(span) => Self::Mixed(knowing(span)),
            other => other,
        }
    }

    /// The same with nothing known of the bounds.
    pub(super) fn without_bounds(self) -> Self {
        self.plus_any()
    }

    /// One that has `self` in it as well, and that only few can follow: where `self`
    /// comes after `before` in a loop, it would grow for ever.
    pub(super) fn widened(self, before: Self) -> Self {
        let widened = |span: Span| before.span().map_or(span, |before| span.widened(before));
        match self {
            _ if self == before => self,
            Self::Stack(span) => Self::Stack(widened(span)),
            Self::Mixed(span) => Self::Mixed(widened(span)),
            Self::Frame => Self::Frame,
            _ => Self::Any,
        }
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Any => f.write_str("unknown"),
            Self::Loaded => f.write_str("loaded"),
            Self::Number { least, most } => write!(f, "{least:#x}..{most:#x}"),
            Self::Stack(span) | Self::Mixed(span) => write!(f, "{span}"),
            Self::Frame => f.write_str("a frame"),
            Self::OtherStack => f.write_str("another stack"),
        }
    }
}
