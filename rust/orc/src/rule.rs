// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What one row says, and its seven words in a table.
//!
//! The CFA (canonical frame address) is the value SP had when the function was
//! entered, which is the caller's SP at the call. `orctool` writes a rule only
//! where it has proved it; [`crate::walk`] applies it.

/// What holds at an instruction, before it is executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rule {
    /// Nothing that a walk may rely on.
    Unreliable(Undescribed),
    /// Where the caller's registers are.
    Frame(Frame),
}

/// Why an instruction has no usable rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Undescribed {
    /// No function is here: padding, or data in the text.
    Hole,
    /// A function without call frame information that is not a proved leaf.
    NoCfi,
    /// The instructions do not imply what the compiler claims.
    NotProved,
    /// Code that follows other conventions (section or range is excluded).
    Foreign,
    /// The call frame information uses what no rule can express.
    BadCfi,
}

/// A proved row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Frame {
    /// How to compute the CFA.
    pub cfa: Cfa,
    /// Where SP is.
    pub sp: StackPointer,
    /// Where the return address is: `Register` is x30.
    pub return_address: Location,
    /// Whether PACIASP has signed the return address with key A and the CFA before it
    /// was saved; `None` where that is not known, or where it is not saved.
    ///
    /// It is about the instruction: without pointer authentication, or with it patched
    /// to something else at boot, nothing is signed.
    pub signed: Option<bool>,
    /// Where the caller's x29 is: `Register` is x29.
    pub caller_fp: Location,
    /// What x29 holds.
    pub x29: X29,
    /// The return address is a patch site at a function's entry.
    ///
    /// Set on the rows of an ftrace trampoline. The return address of the traced
    /// function is in x9 while x29 is in its register, and from then on in the
    /// record {caller's x29, return address} at CFA - 16.
    pub patch_site: bool,
}

/// How to compute the CFA.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cfa {
    /// The register to start from.
    pub base: CfaBase,
    /// What to add to it, in bytes.
    pub offset: u32,
}

/// The register that the CFA is relative to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CfaBase {
    /// SP.
    Sp,
    /// x29.
    Fp,
}

/// Where SP is, as seen from the CFA.
///
/// A row that gives the CFA by x29 would compare x29 with itself, so it says how
/// large the frame can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StackPointer {
    /// Where the CFA comes from: CFA minus [`Cfa::offset`].
    Exact,
    /// Below the CFA on the same stack (`alloca()`, a random offset, alignment).
    Below {
        /// By at least this many bytes.
        least: u32,
        /// By at most this many, if the function has a limit.
        most: Option<u32>,
    },
    /// At the top of another stack, on which nothing is yet.
    OtherStack,
    /// Not known: below the CFA, or at the top of another stack.
    Anywhere,
}

/// Where a register of the caller is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Location {
    /// In the register where a function is entered with it.
    Register,
    /// In the eight bytes at CFA minus this.
    Slot(u32),
}

/// What x29 holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum X29 {
    /// Neither of the two below.
    Other,
    /// What the caller had in it.
    Caller,
    /// CFA minus this: the address of this function's frame record.
    Record(u32),
}

/// The words of a rule in a table.
pub type RawRule = [u32; 7];

const KIND_FRAME: u32 = 1;
const WHY_SHIFT: u32 = 8;
const CFA_FP: u32 = 1 << 8;
const RA_SLOT: u32 = 1 << 9;
const FP_SLOT: u32 = 1 << 10;
const X29_SHIFT: u32 = 11;
const PATCH_SITE: u32 = 1 << 13;
const SP_SHIFT: u32 = 14;
const SIGNED_SHIFT: u32 = 16;
/// In place of [`StackPointer::Below::most`] where there is none.
const NO_LIMIT: u32 = u32::MAX;

/// Offsets are below this, and multiples of [`ALIGN`].
const OFFSET_LIMIT: u32 = 1 << 31;
const ALIGN: u32 = 8;
/// Size of a frame record: x29 and x30.
const RECORD_BYTES: u32 = 16;

impl Rule {
    /// The words of this rule; `None` when no table may hold it.
    #[must_use]
    pub fn encode(&self) -> Option<RawRule> {
        match self {
            Self::Unreliable(why) => Some([why.code() << WHY_SHIFT, 0, 0, 0, 0, 0, 0]),
            Self::Frame(frame) if frame.is_valid() => Some(frame.encode()),
            Self::Frame(_) => None,
        }
    }

    /// The rule of these words; `None` unless they are what [`Rule::encode`] gives.
    #[must_use]
    pub fn decode(raw: RawRule) -> Option<Self> {
        let rule = Self::decode_checked(raw)?;
        // Each rule has one encoding, so whatever is set beyond it is an error.
        (rule.encode()? == raw).then_some(rule)
    }

    /// The same for words that [`Rule::decode`] has accepted before.
    pub(crate) fn decode_checked(raw: RawRule) -> Option<Self> {
        let [head, ..] = raw;
        match head & 0xff {
            0 => Some(Self::Unreliable(Undescribed::from_code(head >> WHY_SHIFT)?)),
            KIND_FRAME => Some(Self::Frame(Frame::decode(raw)?)),
            _ => None,
        }
    }
}

impl Frame {
    /// At a function's first instruction: nothing saved, SP and x29 the caller's.
    pub const ENTRY: Self = Self {
        cfa: Cfa {
            base: CfaBase::Sp,
            offset: 0,
        },
        sp: StackPointer::Exact,
        return_address: Location::Register,
        signed: None,
        caller_fp: Location::Register,
        x29: X29::Caller,
        patch_site: false,
    };

    /// Whether the parts fit each other, so that some function could be in this
    /// state. What the walk relies on, a table can't contradict.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        is_offset(self.cfa.offset)
            && self.sp_is_valid()
            && self.slot_is_valid(self.return_address)
            && (self.signed.is_none() || self.return_address != Location::Register)
            && self.slot_is_valid(self.caller_fp)
            && self.x29_is_valid()
            && (!self.patch_site || self.is_trampoline_start() || self.has_synthetic_record())
    }

    /// One of SP and the CFA comes from the other, or both from something else.
    fn sp_is_valid(&self) -> bool {
        match (self.cfa.base, self.sp) {
            (CfaBase::Sp, sp) => sp == StackPointer::Exact,
            (CfaBase::Fp, StackPointer::Exact) => false,
            (CfaBase::Fp, StackPointer::Below { least, most }) => {
                is_offset(least) && most.is_none_or(|most| is_offset(most) && least <= most)
            }
            (CfaBase::Fp, StackPointer::OtherStack | StackPointer::Anywhere) => true,
        }
    }

    /// A slot lies below the CFA, and not below SP: an interrupt overwrites that.
    fn slot_is_valid(&self, location: Location) -> bool {
        match location {
            Location::Register => true,
            Location::Slot(offset) => is_offset(offset) && offset >= ALIGN && self.covers(offset),
        }
    }

    fn x29_is_valid(&self) -> bool {
        match self.x29 {
            // A CFA relative to a register that the function has not set would
            // be a guess about its caller.
            X29::Caller => self.cfa.base == CfaBase::Sp,
            X29::Other => self.caller_fp != Location::Register,
            X29::Record(offset) => {
                is_offset(offset)
                    && offset >= RECORD_BYTES
                    && self.covers(offset)
                    && (self.cfa.base == CfaBase::Sp || offset == self.cfa.offset)
                    && (self.patch_site || self.is_own_record(offset))
            }
        }
    }

    /// The record holds the caller's x29, and the return address beside it as
    /// soon as that is saved: the frame pointer chain then agrees with this rule.
    fn is_own_record(&self, offset: u32) -> bool {
        self.caller_fp == Location::Slot(offset)
            && match self.return_address {
                Location::Register => true,
                Location::Slot(saved) => saved.checked_add(ALIGN) == Some(offset),
            }
    }

    /// Before `ftrace_caller` has stored a record, nothing is saved.
    fn is_trampoline_start(&self) -> bool {
        self.return_address == Location::Register
            && self.x29 == X29::Caller
            && self.caller_fp == Location::Register
    }

    /// With x29 saved in a slot, `ftrace_caller` has stored the traced function's
    /// record: it does so first.
    fn has_synthetic_record(&self) -> bool {
        self.caller_fp != Location::Register
            && self.cfa.base == CfaBase::Sp
            && self.covers(RECORD_BYTES)
    }

    /// Whether CFA minus `offset` is not below SP, as far as the rule can tell.
    fn covers(&self, offset: u32) -> bool {
        match self.sp {
            StackPointer::Exact => offset <= self.cfa.offset,
            StackPointer::Below { least, .. } => offset <= least,
            StackPointer::OtherStack | StackPointer::Anywhere => true,
        }
    }

    fn encode(&self) -> RawRule {
        let mut head = KIND_FRAME;
        if self.cfa.base == CfaBase::Fp {
            head |= CFA_FP;
        }
        let (ra_flag, ra) = self.return_address.encode(RA_SLOT);
        let (fp_flag, fp) = self.caller_fp.encode(FP_SLOT);
        let (x29, record) = match self.x29 {
            X29::Other => (0, 0),
            X29::Caller => (1, 0),
            X29::Record(offset) => (2, offset),
        };
        let (sp, least, most) = self.sp.encode();
        head |= ra_flag | fp_flag | (x29 << X29_SHIFT) | (sp << SP_SHIFT);
        let signed = match self.signed {
            None => 0,
            Some(false) => 1,
            Some(true) => 2,
        };
        head |= signed << SIGNED_SHIFT;
        if self.patch_site {
            head |= PATCH_SITE;
        }
        [head, self.cfa.offset, ra, fp, record, least, most]
    }

    fn decode([head, offset, ra, fp, record, least, most]: RawRule) -> Option<Self> {
        let base = match head & CFA_FP {
            0 => CfaBase::Sp,
            _ => CfaBase::Fp,
        };
        let x29 = match (head >> X29_SHIFT) & 3 {
            0 => X29::Other,
            1 => X29::Caller,
            2 => X29::Record(record),
            _ => return None,
        };
        let signed = match (head >> SIGNED_SHIFT) & 3 {
            0 => None,
            1 => Some(false),
            2 => Some(true),
            _ => return None,
        };
        Some(Self {
            cfa: Cfa { base, offset },
            sp: StackPointer::decode((head >> SP_SHIFT) & 3, least, most),
            return_address: Location::decode(head & RA_SLOT, ra),
            signed,
            caller_fp: Location::decode(head & FP_SLOT, fp),
            x29,
            patch_site: head & PATCH_SITE != 0,
        })
    }
}

impl StackPointer {
    fn encode(self) -> (u32, u32, u32) {
        match self {
            Self::Exact => (0, 0, 0),
            Self::Below { least, most } => (1, least, most.unwrap_or(NO_LIMIT)),
            Self::OtherStack => (2, 0, 0),
            Self::Anywhere => (3, 0, 0),
        }
    }

    fn decode(kind: u32, least: u32, most: u32) -> Self {
        match kind {
            0 => Self::Exact,
            1 => Self::Below {
                least,
                most: (most != NO_LIMIT).then_some(most),
            },
            2 => Self::OtherStack,
            _ => Self::Anywhere,
        }
    }
}

impl Location {
    fn encode(self, flag: u32) -> (u32, u32) {
        match self {
            Self::Register => (0, 0),
            Self::Slot(offset) => (flag, offset),
        }
    }

    fn decode(flag: u32, offset: u32) -> Self {
        match flag {
            0 => Self::Register,
            _ => Self::Slot(offset),
        }
    }
}

impl Undescribed {
    /// The number in a table.
    #[must_use]
    pub const fn code(self) -> u32 {
        match self {
            Self::Hole => 0,
            Self::NoCfi => 1,
            Self::NotProved => 2,
            Self::Foreign => 3,
            Self::BadCfi => 4,
        }
    }

    /// The inverse of [`Undescribed::code`].
    #[must_use]
    pub const fn from_code(code: u32) -> Option<Self> {
        match code {
            0 => Some(Self::Hole),
            1 => Some(Self::NoCfi),
            2 => Some(Self::NotProved),
            3 => Some(Self::Foreign),
            4 => Some(Self::BadCfi),
            _ => None,
        }
    }
}

pub(crate) const fn is_offset(offset: u32) -> bool {
    offset < OFFSET_LIMIT && offset % ALIGN == 0
}
