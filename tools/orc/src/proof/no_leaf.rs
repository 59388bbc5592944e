// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Why a function without CFI is not proved to be a leaf.

use std::fmt;

/// The first reason found, in the order of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NoLeaf {
    /// `SYM_CODE`, which keeps no calling convention; or symbols that overlap, or
    /// what CFI leaves over of one, which has no entry of its own.
    Code,
    /// Another function enters it in the middle in another state.
    EnteredInside,
    /// SP, x29 or x30 is another one than at the entry.
    ChangesFrame,
    /// It calls, so that x30 is lost.
    Calls,
    /// It returns to another register than x30, or from an exception.
    ReturnsElsewhere,
    /// It runs over its end into what is no function, or into data.
    RunsOn,
    /// It branches to where its state is not the one expected.
    BranchesOut,
}

impl NoLeaf {
    /// A few words for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Code => "not a function of its own",
            Self::EnteredInside => "entered in the middle",
            Self::ChangesFrame => "changes SP, x29 or x30",
            Self::Calls => "calls",
            Self::ReturnsElsewhere => "returns other than to x30",
            Self::RunsOn => "runs over its end",
            Self::BranchesOut => "branches into another function",
        }
    }
}

impl fmt::Display for NoLeaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
