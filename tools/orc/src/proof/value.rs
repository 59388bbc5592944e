// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What is known of a register or a stack slot at an instruction.

use std::fmt;

/// What a register or a stack slot holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// Anything.
    Unknown,
    /// The CFA plus this.
    Cfa(i32),
    /// The return address.
    ReturnAddress,
    /// The caller's x29.
    CallerFp,
    /// At the entry of an ftrace trampoline, the return address of the traced
    /// function, which the patched call site moved to x9.
    TracedReturn,
    /// What x18 was at the entry, plus this: a shadow call stack pointer.
    Shadow(i32),
    /// An address in this file, perhaps one in this function.
    Near,
    /// A number.
    Constant(i32),
}

impl Value {
    /// The value plus a number of bytes, as far as that is known.
    pub(super) fn plus(self, by: i64) -> Self {
        let add = |offset: i32| i64::from(offset).checked_add(by)?.try_into().ok();
        match self {
            value if by == 0 => value,
            Self::Cfa(offset) => add(offset).map_or(Self::Unknown, Self::Cfa),
            Self::Shadow(offset) => add(offset).map_or(Self::Unknown, Self::Shadow),
            Self::Constant(number) => add(number).map_or(Self::Unknown, Self::Constant),
            Self::Near => Self::Near,
            _ => Self::Unknown,
        }
    }

    /// A number. Larger ones than a frame can have bytes are not kept.
    pub(super) fn constant(number: i64) -> Self {
        i32::try_from(number).map_or(Self::Unknown, Self::Constant)
    }

    /// What is known where one of the two is there.
    pub(super) fn meet(self, other: Self) -> Self {
        if self == other {
            self
        } else {
            Self::Unknown
        }
    }

    /// Whether a slot that holds it is worth remembering.
    pub(super) const fn is_kept_in_slots(self) -> bool {
        matches!(
            self,
            Self::ReturnAddress | Self::CallerFp | Self::TracedReturn
        )
    }

    /// Whether a pointer authentication code may be put on it or taken off.
    pub(super) const fn is_code_address(self) -> bool {
        matches!(self, Self::ReturnAddress | Self::TracedReturn)
    }
}

/// Whether a return address has a pointer authentication code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sign {
    /// It is as the call left it in x30.
    Plain,
    /// PACIASP has signed it with key A and the CFA.
    Signed,
    /// Either of these, or signed in another way.
    #[default]
    Unknown,
}

impl Sign {
    /// What is known where one of the two is there.
    pub(super) fn join(self, other: Self) -> Self {
        match self == other {
            true => self,
            false => Self::Unknown,
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Unknown => f.write_str("unknown"),
            Self::Cfa(0) => f.write_str("CFA"),
            Self::Cfa(offset) => write!(f, "CFA{offset:+}"),
            Self::ReturnAddress => f.write_str("return address"),
            Self::CallerFp => f.write_str("caller's x29"),
            Self::TracedReturn => f.write_str("traced function's return address"),
            Self::Shadow(offset) => write!(f, "shadow{offset:+}"),
            Self::Near => f.write_str("an address of code or data"),
            Self::Constant(number) => write!(f, "{number:#x}"),
        }
    }
}
