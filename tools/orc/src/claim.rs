// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What the compiler's CFI says about a function, before anybody believes it.
//!
//! Written by [`crate::cfi`], read by the proof. Offsets count from the start of
//! the text section, CFA offsets are bytes.

pub use orc::rule::{Cfa, CfaBase, Location};

use crate::a64::insn::Reg;

/// What the CFI of one function says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claims {
    /// Rows sorted by their start; the first starts where the function does.
    Rows(Vec<CfiRow>),
    /// It can't be told what the rows are, and this is why.
    Unsupported(String),
}

impl From<Vec<Claim>> for Claims {
    fn from(claims: Vec<Claim>) -> Self {
        Self::Rows(claims.into_iter().map(CfiRow::Claim).collect())
    }
}

impl Claims {
    /// All rows, if a table can hold each of them.
    #[must_use]
    pub fn whole(&self) -> Option<Vec<Claim>> {
        let Self::Rows(rows) = self else {
            return None;
        };
        rows.iter().map(|row| row.claim().cloned()).collect()
    }
}

/// One row of the CFI.
///
/// Holds from its start to that of the next row of the function, or to the function's
/// end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CfiRow {
    /// One that a table can hold.
    Claim(Claim),
    /// One that none can. No other row of the function depends on it.
    Beyond(Beyond),
}

impl CfiRow {
    /// First byte the row describes.
    #[must_use]
    pub const fn start(&self) -> u64 {
        match self {
            Self::Claim(claim) => claim.start,
            Self::Beyond(beyond) => beyond.start,
        }
    }

    /// What it says, if a table can hold it.
    #[must_use]
    pub const fn claim(&self) -> Option<&Claim> {
        match self {
            Self::Claim(claim) => Some(claim),
            Self::Beyond(_) => None,
        }
    }

    /// What it says of registers, if that is all that no table can hold of it.
    #[must_use]
    pub const fn parked(&self) -> Option<&Parked> {
        match self {
            Self::Claim(_) => None,
            Self::Beyond(beyond) => beyond.parked.as_ref(),
        }
    }

    /// Whether it says the same as another one, for whichever instructions.
    pub(crate) fn says_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Claim(one), Self::Claim(other)) => {
                let start = other.start;
                Claim { start, ..*one } == *other
            }
            (Self::Beyond(one), Self::Beyond(other)) => {
                (&one.why, one.parked) == (&other.why, other.parked)
            }
            _ => false,
        }
    }
}

/// A row of the CFI that no table can hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beyond {
    /// First byte the row describes.
    pub start: u64,
    /// What no table can hold.
    pub why: String,
    /// The row, if it is no more than that a value is in another register.
    pub parked: Option<Parked>,
}

/// A row with the return address or the caller's x29 in another register than x30 and
/// x29.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parked {
    /// The canonical frame address.
    pub cfa: Cfa,
    /// Where the return address is.
    pub return_address: Home,
    /// Where the caller's x29 is.
    pub caller_fp: Home,
}

/// Where a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Home {
    /// Where a table can say that it is.
    Table(Location),
    /// In another register.
    Register(Reg),
}

/// A row of the CFI that a table can hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// First byte the row describes.
    pub start: u64,
    /// The canonical frame address: SP, or x29, plus an offset.
    pub cfa: Cfa,
    /// Where the return address is.
    pub return_address: Location,
    /// Where the caller's x29 is.
    pub caller_fp: Location,
    /// The FDE's CIE has the augmentation 'S' (`.cfi_signal_frame`).
    pub signal_frame: bool,
}

impl Claim {
    /// What is so at the start of a function (AAPCS64, 6.2).
    #[must_use]
    pub const fn entry(start: u64) -> Self {
        Self {
            start,
            cfa: Cfa {
                base: CfaBase::Sp,
                offset: 0,
            },
            return_address: Location::Register,
            caller_fp: Location::Register,
            signal_frame: false,
        }
    }
}
