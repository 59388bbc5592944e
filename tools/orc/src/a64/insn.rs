// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What one AArch64 instruction does to the registers and stack slots that a
//! row speaks of.
//!
//! [`Insn::decode`] is total: each of the 2^32 words has a known effect, or is
//! known to have none, or destroys all that it might touch. Where an encoding is
//! unallocated, or allocated to an extension that this model does not know, it
//! takes the last way: a fact is never kept on a guess.
//!
//! The sub-modules follow the top level of the encoding index of the Arm
//! Architecture Reference Manual (DDI 0487, C4.1), bits 28..25 of the word.

mod branch;
mod immediate;
mod memory;
mod ordered;
mod register;
mod vector;

use std::fmt;

/// A 64-bit general register, or SP. The zero register is not one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reg(u8);

impl Reg {
    /// The frame pointer.
    pub const X29: Self = Self(29);
    /// Where a patched function's entry has put its return address.
    pub const X9: Self = Self(9);
    /// The link register.
    pub const X30: Self = Self(30);
    /// The stack pointer.
    pub const SP: Self = Self(31);
    /// How many there are.
    pub const COUNT: usize = 32;

    /// Register `number` of a field where 31 is SP.
    pub(crate) const fn or_sp(number: u32) -> Self {
        Self((number & 31) as u8)
    }

    /// Register `number` of a field where 31 is the zero register.
    pub(crate) const fn or_zero(number: u32) -> Option<Self> {
        match number & 31 {
            31 => None,
            number => Some(Self(number as u8)),
        }
    }

    /// 0 to 30 for a general register, 31 for SP.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for Reg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            31 => f.write_str("sp"),
            number => write!(f, "x{number}"),
        }
    }
}

/// A set of registers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Regs(u32);

impl Regs {
    /// No register.
    pub const NONE: Self = Self(0);
    /// Every general register and SP.
    pub const ALL: Self = Self(u32::MAX);
    /// What a call may change (AAPCS64, 6.1.1): x0 to x17 and x30. x18 is the
    /// shadow call stack pointer of the kernel, which a callee leaves balanced.
    pub const CALL: Self = Self(0x3_ffff | (1 << 30));
    /// What `hvc` and `smc` may change (SMCCC, 2.6): x0 to x17.
    pub const FIRMWARE: Self = Self(0x3_ffff);

    /// The set of x0 to x30 and SP with these bits.
    #[must_use]
    pub const fn of(bits: u32) -> Self {
        Self(bits)
    }

    /// The set with one more.
    #[must_use]
    pub const fn with(self, reg: Reg) -> Self {
        Self(self.0 | (1 << reg.0))
    }

    /// The set with one more, unless that is the zero register.
    #[must_use]
    pub const fn with_or_zero(self, number: u32) -> Self {
        match Reg::or_zero(number) {
            Some(reg) => self.with(reg),
            None => self,
        }
    }

    /// Whether `reg` is in it.
    #[must_use]
    pub const fn contains(self, reg: Reg) -> bool {
        self.0 & (1 << reg.0) != 0
    }

    /// What is in either.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is in both.
    #[must_use]
    pub const fn common(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// What is in it, and not in the other.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether nothing is in it.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Its members, x0 first.
    pub fn iter(self) -> impl Iterator<Item = Reg> {
        let mut bits = self.0;
        std::iter::from_fn(move || {
            let lowest = bits.trailing_zeros();
            bits &= bits.checked_sub(1)?;
            Some(Reg(lowest as u8))
        })
    }
}

/// Where control goes after an instruction. Distances are in bytes from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// To the next instruction.
    Next,
    /// To one place.
    Jump(i64),
    /// To one place, or to the next instruction.
    Conditional(i64),
    /// To a function, which returns to the next instruction if it returns.
    Call(i64),
    /// `br` and its authenticating forms.
    IndirectJump,
    /// `blr` and its authenticating forms.
    IndirectCall,
    /// `ret` and its authenticating forms: to the address in this register.
    Return(Reg),
    /// `eret`, `drps`: to another context.
    ExceptionReturn,
    /// `brk`, `hlt`, `udf`: an exception; its handler may skip the instruction.
    Trap,
}

impl Flow {
    /// Whether the next instruction may follow.
    #[must_use]
    pub const fn may_go_on(self) -> bool {
        !matches!(
            self,
            Self::Jump(_) | Self::IndirectJump | Self::Return(_) | Self::ExceptionReturn
        )
    }
}

/// What an instruction does to registers and memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing that a fact is about.
    Nothing,
    /// These registers take a value that is not modelled.
    Writes(Regs),
    /// `to = from + by`; a plain move when `by` is 0.
    Add {
        /// What is written.
        to: Reg,
        /// What is added to.
        from: Reg,
        /// How much.
        by: i64,
    },
    /// `to = from ± (by << shift)`, all 64 bits of `by`.
    AddRegister {
        /// What is written.
        to: Reg,
        /// What is added to or subtracted from.
        from: Reg,
        /// What is added or subtracted.
        by: Reg,
        /// By how many bits that is shifted left.
        shift: u32,
        /// Whether it is subtracted.
        subtract: bool,
    },
    /// `to = from & mask`.
    Mask {
        /// What is written.
        to: Reg,
        /// What is masked.
        from: Reg,
        /// The bits that are kept.
        mask: u64,
    },
    /// `to` is the low 32 bits of `from + by`.
    AddWord {
        /// What is written.
        to: Reg,
        /// What is added to.
        from: Reg,
        /// How much.
        by: i64,
    },
    /// `to = (from >> right & mask) << left`, of all 64 or of the low 32 bits.
    BitField {
        /// What is written.
        to: Reg,
        /// What the bits are taken from.
        from: Reg,
        /// By how many bits that is shifted right.
        right: u32,
        /// The bits that are kept then.
        mask: u64,
        /// By how many bits those are shifted left.
        left: u32,
    },
    /// `to` is an address near this instruction (`adr`, `adrp`).
    Near(Reg),
    /// `to = from | by`, or `from ^ by`.
    Logic {
        /// What is written.
        to: Reg,
        /// The first operand.
        from: Reg,
        /// The second one.
        by: Operand,
        /// Whether it is the exclusive one.
        is_exclusive: bool,
    },
    /// `to` is one of two registers (`None`: zero), the second one plus a number.
    Select {
        /// What is written.
        to: Reg,
        /// What is taken if the condition holds.
        first: Option<Reg>,
        /// What is taken if not.
        second: Option<Reg>,
        /// How much is added then.
        by: i64,
    },
    /// `to = value`.
    Constant {
        /// What is written.
        to: Reg,
        /// The value.
        value: u64,
    },
    /// `movk`: 16 bits of `to` are replaced.
    Insert {
        /// What is changed.
        to: Reg,
        /// The new bits.
        bits: u16,
        /// The number of the lowest bit replaced.
        shift: u32,
    },
    /// A pointer authentication code is added to, checked in or taken off a
    /// register. A return address stays the return address.
    Sign(Reg),
    /// `paciasp`: the same for x30 with key A and SP.
    SignReturn,
    /// `autiasp`: the inverse of that.
    AuthenticateReturn,
    /// A load, a store, or both.
    Access(Access),
    /// `dc zva` and its like: zeroes an unknown number of bytes around `[base]`.
    ZeroBlock(Reg),
    /// Not known: any register and any stack slot may change.
    Anything,
}

/// An operand of a logical instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operand {
    /// All 64 bits of a register.
    Register(Reg),
    /// These bits.
    Bits(u64),
}

/// A register that is added to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Index {
    /// All 64 bits of this one.
    pub reg: Reg,
    /// By how many bits they are shifted left.
    pub shift: u32,
}

/// A load, a store, or an instruction that is both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// The register that the address starts from.
    pub base: Reg,
    /// How the address is formed, and what is left in `base`.
    pub mode: Mode,
    /// What is stored there.
    pub store: Store,
    /// The registers that are loaded with all 64 bits at the address, and 8
    /// bytes above. For a store: those that are stored there.
    pub data: [Option<Reg>; 2],
    /// Whether `data` is loaded; else it is stored.
    pub load: bool,
    /// Other registers that are written.
    pub writes: Regs,
}

/// How much memory a store changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    /// None.
    Nothing,
    /// That many bytes upwards from the address.
    Bytes(u32),
    /// An unknown number of bytes around the address.
    Unbounded,
}

/// How the address of an access is formed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// `[base, #offset]`
    Offset(i64),
    /// `[base, #offset]!`
    PreIndex(i64),
    /// `[base], #offset`
    PostIndex(i64),
    /// `[base], register`: `base` takes an unknown value.
    PostRegister,
    /// `[base, register]`; `None` where less than all of a register is added, or
    /// more than one.
    Register(Option<Index>),
}

/// One instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Insn {
    /// Where control goes.
    pub flow: Flow,
    /// What it does before that.
    pub step: Step,
}

impl Insn {
    /// An instruction that does nothing, as padding does.
    pub const NOP: Self = Self::plain(Step::Nothing);
    /// A word that means nothing known.
    pub const UNKNOWN: Self = Self::plain(Step::Anything);

    /// The effect of the instruction word `word`.
    #[must_use]
    pub fn decode(word: u32) -> Self {
        match field(word, 25, 4) {
            0b0000 if word >> 16 == 0 => Self::flow(Flow::Trap),
            0b0000 if word >> 31 == 1 => Self::plain(vector::matrix(word)),
            0b0010 => Self::plain(vector::scalable(word)),
            0b1000 | 0b1001 => Self::plain(immediate::decode(word)),
            0b1010 | 0b1011 => branch::decode(word),
            op if op & 0b0101 == 0b0100 => Self::plain(memory::decode(word)),
            0b0101 | 0b1101 => Self::plain(register::decode(word)),
            0b0111 | 0b1111 => Self::plain(vector::decode(word)),
            _ => Self::UNKNOWN,
        }
    }

    /// Where control goes after a word: the flow of [`Self::decode`], without the rest.
    #[must_use]
    pub fn flow_of(word: u32) -> Flow {
        match field(word, 25, 4) {
            0b0000 | 0b1010 | 0b1011 => Self::decode(word).flow,
            _ => Flow::Next,
        }
    }

    /// Registers that it may change, whether or not to a known value. A call
    /// counts for what the call instruction itself writes, which is x30.
    #[must_use]
    pub fn writes(&self) -> Regs {
        let call = match self.flow {
            Flow::Call(_) | Flow::IndirectCall => Regs::NONE.with(Reg::X30),
            _ => Regs::NONE,
        };
        call.union(self.step.writes())
    }

    const fn plain(step: Step) -> Self {
        Self {
            flow: Flow::Next,
            step,
        }
    }

    const fn flow(flow: Flow) -> Self {
        Self {
            flow,
            step: Step::Nothing,
        }
    }
}

impl Step {
    /// Registers that it may change.
    #[must_use]
    pub fn writes(&self) -> Regs {
        match *self {
            Self::Nothing | Self::ZeroBlock(_) => Regs::NONE,
            Self::Writes(regs) => regs,
            Self::Add { to, .. }
            | Self::AddRegister { to, .. }
            | Self::Mask { to, .. }
            | Self::AddWord { to, .. }
            | Self::BitField { to, .. }
            | Self::Logic { to, .. }
            | Self::Select { to, .. }
            | Self::Constant { to, .. }
            | Self::Insert { to, .. }
            | Self::Near(to)
            | Self::Sign(to) => Regs::NONE.with(to),
            Self::SignReturn | Self::AuthenticateReturn => Regs::NONE.with(Reg::X30),
            Self::Access(access) => access.all_writes(),
            Self::Anything => Regs::ALL,
        }
    }

    /// Whether it may change SP, x29, x30 or the stack.
    #[must_use]
    pub fn may_change_frame(&self) -> bool {
        const FRAME: Regs = Regs::NONE.with(Reg::SP).with(Reg::X29).with(Reg::X30);
        let stores = match self {
            Self::Access(access) => access.store != Store::Nothing,
            Self::ZeroBlock(_) | Self::Anything => true,
            _ => false,
        };
        stores || !self.writes().common(FRAME).is_empty()
    }

    /// The step that gives `number` (31: the zero register) an unknown value.
    const fn writes_or_zero(number: u32) -> Self {
        Self::Writes(Regs::NONE.with_or_zero(number))
    }

    /// The step that gives `number` (31: SP) an unknown value.
    const fn writes_or_sp(number: u32) -> Self {
        Self::Writes(Regs::NONE.with(Reg::or_sp(number)))
    }
}

impl Access {
    /// Registers that it may change: loaded, written back and all others.
    #[must_use]
    pub fn all_writes(&self) -> Regs {
        let mut regs = self.writes;
        if self.load {
            for reg in self.data.into_iter().flatten() {
                regs = regs.with(reg);
            }
        }
        match self.mode {
            Mode::PreIndex(_) | Mode::PostIndex(_) | Mode::PostRegister => regs.with(self.base),
            Mode::Offset(_) | Mode::Register(_) => regs,
        }
    }
}

/// `width` bits of `word`, from bit `low`.
const fn field(word: u32, low: u32, width: u32) -> u32 {
    (word >> low) & ((1 << width) - 1)
}

/// As [`field`], sign-extended.
const fn signed(word: u32, low: u32, width: u32) -> i64 {
    let shift = 64 - width;
    ((field(word, low, width) as i64) << shift) >> shift
}

/// Bit `bit` of `word`.
const fn bit(word: u32, bit: u32) -> bool {
    (word >> bit) & 1 == 1
}

#[cfg(test)]
mod tests;
