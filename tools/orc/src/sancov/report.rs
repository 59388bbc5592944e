// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What comes of comparing the rows with the listed control flow.

use crate::claim::Claim;
use crate::proof::Class;

/// What comes of the comparison.
#[derive(Debug, Default)]
pub struct Report {
    /// How much was compared.
    pub counts: Counts,
    /// The listed edges that the proof by direct flow did not have, in the order
    /// of the file.
    pub not_direct: Vec<Edge>,
    /// Where the rows are not those that the edges allow.
    pub disagreements: Vec<Disagreement>,
    /// What of the list could not be read.
    pub malformed: Vec<Malformed>,
}

/// How much was compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Functions that are listed.
    pub functions: u64,
    /// Functions with CFI that are not.
    pub not_listed: u64,
    /// Places where listed blocks start.
    pub blocks: u64,
    /// Edges between two such places, and those to deleted blocks.
    pub edges: u64,
    /// Edges by [`Kind`].
    pub by_kind: [u64; Kind::ALL.len()],
    /// Indirect branches in listed functions.
    pub indirect_branches: u64,
    /// Blocks that the proof entered with their own claim: without the edges.
    pub assumed_without: u64,
    /// The same with the edges.
    pub assumed_with: u64,
}

/// What a listed edge is in machine code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A direct branch, or running on: the proof had it.
    Direct,
    /// An indirect branch.
    Indirect,
    /// Both ends are at one place: a block has no code of its own.
    Folded,
    /// One end was deleted. The label of a block that LLVM emptied is at the end of
    /// its function, and that of one that it deleted at the start, to which no edge
    /// leads.
    Deleted,
    /// No control flow leads from the one to the other: the edge goes through a
    /// copy of its target, or was found never to be taken.
    Absent,
    /// The proof does not reach the code that it leaves from.
    Unreached,
}

impl Kind {
    /// All of them, in order.
    pub const ALL: [Self; 6] = [
        Self::Direct,
        Self::Indirect,
        Self::Folded,
        Self::Deleted,
        Self::Absent,
        Self::Unreached,
    ];

    /// A word for people and machines.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Indirect => "indirect",
            Self::Folded => "folded",
            Self::Deleted => "deleted",
            Self::Absent => "absent",
            Self::Unreached => "unreached",
        }
    }
}

/// A listed edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    /// Number of the text in the input, and of the function in the text.
    pub function: (usize, usize),
    /// Where the block starts that it leaves, from the start of the section.
    pub from: u64,
    /// Where the block starts that it leads to; `None` when that was deleted
    /// before it had an address.
    pub to: Option<u64>,
    /// What it is in machine code.
    pub kind: Kind,
}

/// A place where the rows are not those that LLVM's edges allow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disagreement {
    /// Number of the text in the input, and of the function in the text.
    pub function: (usize, usize),
    /// The instruction from which control comes.
    pub from: u64,
    /// The instruction that it comes to.
    pub to: u64,
    /// What the CFI says where it arrives.
    pub claim: Option<Claim>,
    /// What is known where it leaves, in words.
    pub facts: String,
    /// What is wrong.
    pub what: What,
}

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// This part of the claim does not hold on arrival.
    Claim(Class),
    /// A row was proved, and is not or is another one when the edges are known.
    Row,
    /// An indirect branch that is in no listed block, so that nothing says where
    /// it goes.
    NotListed,
}

impl What {
    /// A word or two for people and machines.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Claim(class) => class.name(),
            Self::Row => "row-not-proved-with-edges",
            Self::NotListed => "indirect-branch-not-listed",
        }
    }
}

/// A place in the list that says nothing that can be checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// Index of the section.
    pub section: usize,
    /// Bytes from its start.
    pub offset: u64,
    /// What is wrong there.
    pub problem: Problem,
}

/// Why it says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// The section ends inside a word.
    PartialWord,
    /// The section ends inside a list.
    NoTerminator,
    /// The relocations of the section are malformed themselves.
    Relocations,
    /// A relocation of another type than an address, or beside a word.
    BadRelocation,
    /// An address in a relocatable file that no relocation makes one.
    NoRelocation,
    /// An address outside all text.
    NotText,
    /// An address inside an instruction.
    Misaligned,
    /// Null, or a callee, where a block should be.
    NoBlock,
    /// A block that is neither in the function listed nor at the start of one.
    BlockOutside,
    /// A successor outside the function of its block.
    SuccessorOutside,
    /// A function that no CFI describes, so that there are no rows to compare.
    NoClaims,
}

impl Problem {
    /// What is wrong, in words.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::PartialWord => "ends inside a word",
            Self::NoTerminator => "list without its terminator",
            Self::Relocations => "malformed relocations",
            Self::BadRelocation => "relocation that makes no address",
            Self::NoRelocation => "address without a relocation",
            Self::NotText => "address that is not text",
            Self::Misaligned => "address inside an instruction",
            Self::NoBlock => "no block where one should be",
            Self::BlockOutside => "block outside its function",
            Self::SuccessorOutside => "successor outside its function",
            Self::NoClaims => "function without CFI",
        }
    }
}
