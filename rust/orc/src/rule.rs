// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What one row says, and its two words in a table.
//!
//! The CFA (canonical frame address) is the value SP had when the function was
//! entered, which is the caller's SP at the call. `orctool` writes a rule only
//! where it has proved it; [`crate::walk`] applies it.

use crate::reason::Reason;

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
    /// The size of the function that starts where this row holds, in bytes and rounded up to
    /// [`UNIT`], if one does and is left by its return alone: while it has been called and has
    /// not returned, the innermost frame but for a tracer's is in it, or below.
    ///
    /// Set on no other state than [`Frame::ENTRY`]'s, and there for the next start of a
    /// function; a `ret` in front of that has it, too.
    pub left_by_return: Option<u32>,
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

/// The two words of a rule in a table.
///
/// The first has the flags of [`bits`] and, above them, the offset of the CFA; the
/// second has two numbers more. All offsets are in units of [`UNIT`] bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RawRule([u32; 2]);

/// What the bits of a rule's first word are.
pub(crate) mod bits {
    /// A frame, and not the code of an [`Undescribed`](super::Undescribed).
    pub(crate) const FRAME: u32 = 1;
    /// Where that code is.
    pub(crate) const WHY_SHIFT: u32 = 8;
    /// The CFA comes from x29.
    pub(crate) const CFA_FP: u32 = 1 << 1;
    /// The return address is in a slot.
    pub(crate) const RA_SLOT: u32 = 1 << 2;
    /// The caller's x29 is in a slot.
    pub(crate) const FP_SLOT: u32 = 1 << 3;
    /// Two bits: 0 other, 1 the caller's, 2 the address of the slot with the caller's x29,
    /// 3 an ftrace trampoline's own record, which is another one.
    pub(crate) const X29_SHIFT: u32 = 4;
    /// An ftrace trampoline.
    pub(crate) const PATCH_SITE: u32 = 1 << 6;
    /// Two bits: 0 exact, 1 bounds, 2 other stack, 3 anywhere.
    pub(crate) const SP_SHIFT: u32 = 7;
    /// Bounds without an upper one.
    pub(crate) const NO_LIMIT: u32 = 1 << 9;
    /// Two bits: 0 not known, 1 not signed, 2 signed.
    pub(crate) const SIGNED_SHIFT: u32 = 10;
    /// The function that starts here is left by its return alone, and the second word has
    /// its size.
    pub(crate) const LEFT_BY_RETURN: u32 = 1 << 12;
    /// Where the offset of the CFA is.
    pub(crate) const CFA_SHIFT: u32 = 16;
    /// Where the second number of the second word is.
    pub(crate) const HIGH_SHIFT: u32 = 16;
}

/// The bits that tell whether a frame is a plain one.
const PLAIN_MASK: u32 = bits::FRAME
    | bits::CFA_FP
    | bits::RA_SLOT
    | bits::FP_SLOT
    | 3 << bits::X29_SHIFT
    | bits::PATCH_SITE
    | 3 << bits::SP_SHIFT;
/// Those of a plain one.
const PLAIN: u32 = bits::FRAME | bits::RA_SLOT | bits::FP_SLOT | 2 << bits::X29_SHIFT;

/// Offsets are multiples of this many bytes, the size of a saved register.
pub const UNIT: u32 = 8;
/// The largest offset that a rule can hold.
pub const MAX_OFFSET: u32 = 0xffff * UNIT;
/// Size of a frame record: x29 and x30.
const RECORD_BYTES: u32 = 16;

/// A frame whose CFA is by SP, and whose record is as it should be: x29 points at it,
/// and it holds the caller's x29 and, above that, the return address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Plain {
    /// From SP to the CFA, in bytes.
    pub(crate) cfa: u32,
    /// From the record to the CFA, in bytes.
    pub(crate) record: u32,
    /// See [`Frame::signed`].
    pub(crate) signed: Option<bool>,
}

impl RawRule {
    /// [`Frame::ENTRY`].
    pub const ENTRY: Self = Self([bits::FRAME | 1 << bits::X29_SHIFT, 0]);

    /// The start of `ftrace_caller`: as at an entry, but called by that of a traced function.
    pub const FTRACE_START: Self = Self([bits::FRAME | 1 << bits::X29_SHIFT | bits::PATCH_SITE, 0]);

    /// Takes the words for those of a rule.
    #[must_use]
    pub const fn new(words: [u32; 2]) -> Self {
        Self(words)
    }

    /// The words.
    #[must_use]
    pub const fn words(self) -> [u32; 2] {
        self.0
    }

    /// The frame, if it is a plain one.
    #[inline(always)]
    pub(crate) const fn plain(self) -> Option<Plain> {
        let [head, numbers] = self.0;
        if head & PLAIN_MASK != PLAIN {
            return None;
        }
        Some(Plain {
            cfa: from_units(head >> bits::CFA_SHIFT),
            record: from_units(numbers >> bits::HIGH_SHIFT),
            signed: signed_from(head),
        })
    }

    /// [`Frame::left_by_return`], if these are the words of such a frame.
    #[must_use]
    #[inline(always)]
    pub const fn left_by_return(self) -> Option<u32> {
        let [head, numbers] = self.0;
        match head & (bits::FRAME | bits::LEFT_BY_RETURN) == bits::FRAME | bits::LEFT_BY_RETURN {
            true => Some(from_units(numbers & 0xffff)),
            false => None,
        }
    }

    /// [`Frame::patch_site`], if these are the words of a frame.
    pub(crate) const fn is_patch_site(self) -> bool {
        let [head, _] = self.0;
        head & (bits::FRAME | bits::PATCH_SITE) == bits::FRAME | bits::PATCH_SITE
    }

    /// Whether these are the words of a frame whose x29 is at a record.
    pub(crate) const fn has_record(self) -> bool {
        let [head, _] = self.0;
        head & bits::FRAME != 0 && head >> bits::X29_SHIFT & 2 != 0
    }

    /// Whether there is no usable rule, for this reason.
    #[must_use]
    #[inline(always)]
    pub const fn is_unreliable(self, why: Undescribed) -> bool {
        let [head, _] = self.0;
        head == why.code() << bits::WHY_SHIFT
    }

    /// Why this is no frame, if it is none.
    #[inline(always)]
    pub(crate) fn why_not(self) -> Option<Reason> {
        let [head, _] = self.0;
        match head & bits::FRAME {
            0 => Some(unreliable(head)),
            _ => None,
        }
    }

    /// The rule of these words, if they are those of one; what the parts of it say is
    /// not looked at.
    #[must_use]
    pub fn unpack(self) -> Option<Rule> {
        let [head, _] = self.0;
        match head & bits::FRAME {
            0 => Some(Rule::Unreliable(Undescribed::from_code(
                head >> bits::WHY_SHIFT,
            )?)),
            _ => Some(Rule::Frame(Frame::unpack(self.0)?)),
        }
    }

    /// The frame of these words, if they are those of one, as [`RawRule::unpack`].
    #[inline(always)]
    pub(crate) fn frame(self) -> Option<Frame> {
        let [head, _] = self.0;
        match head & bits::FRAME {
            0 => None,
            _ => Frame::unpack(self.0),
        }
    }
}

#[cold]
fn unreliable(head: u32) -> Reason {
    Undescribed::from_code(head >> bits::WHY_SHIFT).map_or(Reason::NoRow, Reason::from)
}

impl Rule {
    /// The words of this rule; `None` when no table may hold it.
    #[must_use]
    pub fn encode(&self) -> Option<RawRule> {
        match self {
            Self::Unreliable(why) => Some(RawRule([why.code() << bits::WHY_SHIFT, 0])),
            Self::Frame(frame) if frame.is_valid() => frame.pack(),
            Self::Frame(_) => None,
        }
    }

    /// The rule of these words; `None` unless they are what [`Rule::encode`] gives.
    #[must_use]
    pub fn decode(raw: RawRule) -> Option<Self> {
        let rule = raw.unpack()?;
        // Each rule has one encoding, so whatever is set beyond it is an error.
        (rule.encode()? == raw).then_some(rule)
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
        left_by_return: None,
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
            && self.size_is_valid()
    }

    /// No function is empty.
    fn size_is_valid(&self) -> bool {
        self.left_by_return
            .is_none_or(|bytes| is_offset(bytes) && bytes >= UNIT && self.is_entry())
    }

    /// Whether this is the state that functions are entered in.
    #[must_use]
    pub fn is_entry(&self) -> bool {
        let entry = Self {
            left_by_return: self.left_by_return,
            ..Self::ENTRY
        };
        *self == entry
    }

    /// One of SP and the CFA comes from the other, or both from something else.
    fn sp_is_valid(&self) -> bool {
        match (self.cfa.base, self.sp) {
            (CfaBase::Sp, sp) => sp == StackPointer::Exact,
            (CfaBase::Fp, StackPointer::Exact) => false,
            (CfaBase::Fp, StackPointer::Below { least, most }) => {
                // The words have room for no more.
                matches!(self.x29, X29::Record(_))
                    && is_offset(least)
                    && most.is_none_or(|most| is_offset(most) && least <= most)
            }
            (CfaBase::Fp, StackPointer::OtherStack | StackPointer::Anywhere) => true,
        }
    }

    /// A slot lies below the CFA, and not below SP: an interrupt overwrites that.
    fn slot_is_valid(&self, location: Location) -> bool {
        match location {
            Location::Register => true,
            Location::Slot(offset) => is_offset(offset) && offset >= UNIT && self.covers(offset),
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
                    && (self.is_own_record(offset) || self.is_trampoline_record(offset))
            }
        }
    }

    /// The record holds the caller's x29, and the return address beside it as
    /// soon as that is saved: the frame pointer chain then agrees with this rule.
    fn is_own_record(&self, offset: u32) -> bool {
        self.caller_fp == Location::Slot(offset)
            && match self.return_address {
                Location::Register => true,
                Location::Slot(saved) => saved.checked_add(UNIT) == Some(offset),
            }
    }

    /// x29 of an ftrace trampoline is at its own record, beside its return address, or still
    /// at the traced function's, which holds the caller's x29.
    fn is_trampoline_record(&self, offset: u32) -> bool {
        self.patch_site
            && (self.is_beside_return(offset) || self.caller_fp == Location::Slot(offset))
    }

    fn is_beside_return(&self, offset: u32) -> bool {
        self.return_address == Location::Slot(offset.wrapping_sub(UNIT))
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

    /// The words of this frame; `None` if they have no room for it. Whether its parts fit
    /// each other is not looked at, but for what follows from others there.
    #[must_use]
    pub fn pack(&self) -> Option<RawRule> {
        let (ra_flag, ra) = self.return_address.pack(bits::RA_SLOT);
        let (fp_flag, fp) = self.caller_fp.pack(bits::FP_SLOT);
        let mut head = bits::FRAME | ra_flag | fp_flag;
        if self.cfa.base == CfaBase::Fp {
            head |= bits::CFA_FP;
        }
        let x29 = match self.x29 {
            X29::Other => 0,
            X29::Caller => 1,
            X29::Record(offset) if self.patch_site && self.is_beside_return(offset) => 3,
            X29::Record(_) => 2,
        };
        head |= x29 << bits::X29_SHIFT;
        let signed = match self.signed {
            None => 0,
            Some(false) => 1,
            Some(true) => 2,
        };
        head |= signed << bits::SIGNED_SHIFT;
        if self.patch_site {
            head |= bits::PATCH_SITE;
        }
        if self.left_by_return.is_some() {
            head |= bits::LEFT_BY_RETURN;
        }
        let (sp, low, high) = match self.sp {
            // At an entry nothing is in a slot.
            StackPointer::Exact => (0, self.left_by_return.unwrap_or(ra), fp),
            StackPointer::Below { least, most: None } => (1 | NO_LIMIT_CODE, least, 0),
            StackPointer::Below {
                least,
                most: Some(most),
            } => (1, least, most),
            StackPointer::OtherStack => (2, ra, fp),
            StackPointer::Anywhere => (3, ra, fp),
        };
        head |= sp << bits::SP_SHIFT | units(self.cfa.offset)? << bits::CFA_SHIFT;
        let numbers = units(low)? | units(high)? << bits::HIGH_SHIFT;
        let raw = RawRule([head, numbers]);
        (Self::unpack(raw.0).as_ref() == Some(self)).then_some(raw)
    }

    #[inline(always)]
    fn unpack([head, numbers]: [u32; 2]) -> Option<Self> {
        let base = match head & bits::CFA_FP {
            0 => CfaBase::Sp,
            _ => CfaBase::Fp,
        };
        let offset = from_units(head >> bits::CFA_SHIFT);
        let (low, high) = (
            from_units(numbers & 0xffff),
            from_units(numbers >> bits::HIGH_SHIFT),
        );
        let (sp, ra, fp) = match (head >> bits::SP_SHIFT) & 3 {
            0 => (StackPointer::Exact, low, high),
            // The record is where the CFA comes from.
            1 => {
                let most = (head & bits::NO_LIMIT == 0).then_some(high);
                let sp = StackPointer::Below { least: low, most };
                (sp, offset.wrapping_sub(UNIT), offset)
            }
            2 => (StackPointer::OtherStack, low, high),
            _ => (StackPointer::Anywhere, low, high),
        };
        let patch_site = head & bits::PATCH_SITE != 0;
        let x29 = match (head >> bits::X29_SHIFT) & 3 {
            0 => X29::Other,
            1 => X29::Caller,
            2 => X29::Record(fp),
            _ if patch_site => X29::Record(ra.wrapping_add(UNIT)),
            _ => return None,
        };
        Some(Self {
            cfa: Cfa { base, offset },
            sp,
            return_address: Location::unpack(head & bits::RA_SLOT, ra),
            signed: signed_from(head),
            caller_fp: Location::unpack(head & bits::FP_SLOT, fp),
            x29,
            patch_site,
            left_by_return: (head & bits::LEFT_BY_RETURN != 0).then_some(low),
        })
    }
}

/// [`bits::NO_LIMIT`], as part of the code of [`StackPointer`].
const NO_LIMIT_CODE: u32 = bits::NO_LIMIT >> bits::SP_SHIFT;

const fn signed_from(head: u32) -> Option<bool> {
    match (head >> bits::SIGNED_SHIFT) & 3 {
        1 => Some(false),
        2 => Some(true),
        _ => None,
    }
}

impl Location {
    const fn pack(self, flag: u32) -> (u32, u32) {
        match self {
            Self::Register => (0, 0),
            Self::Slot(offset) => (flag, offset),
        }
    }

    const fn unpack(flag: u32, offset: u32) -> Self {
        match flag {
            0 => Self::Register,
            _ => Self::Slot(offset),
        }
    }
}

/// The offset in units, if it is one that a rule can hold.
const fn units(offset: u32) -> Option<u32> {
    match offset % UNIT == 0 && offset <= MAX_OFFSET {
        true => Some(offset / UNIT),
        false => None,
    }
}

/// The offset in bytes of what came out of 16 bits.
const fn from_units(units: u32) -> u32 {
    units.wrapping_mul(UNIT)
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
    units(offset).is_some()
}
