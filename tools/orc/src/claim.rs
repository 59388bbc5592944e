// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What the compiler's CFI says about a function, before anybody believes it.
//!
//! Written by [`crate::cfi`], read by the proof. Offsets count from the start of
//! the text section, CFA offsets are bytes.

pub use orc::rule::{Cfa, CfaBase, Location};

/// What the CFI of one function says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claims {
    /// Rows sorted by [`Claim::start`]; the first starts where the function does.
    Rows(Vec<Claim>),
    /// The CFI says something no [`Claim`] can hold, and this is why.
    Unsupported(String),
}

/// One row of the CFI.
///
/// Holds from `start` to the next claim of the function, or to the function's end.
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
