// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The machine that the oracle runs functions on: registers and two stacks.
//!
//! A value is *tainted* when it comes from outside of the function, or is computed
//! from such: it is a random number then, and no address in the stack. What a path
//! can know of SP, x29 and x30 is never tainted.

use fARM64::Register;

use crate::random::Random;

/// Index of SP.
pub const SP: usize = 31;

/// A number, and whether it is tainted.
pub type Value = (u64, bool);

/// Bytes that a function may address.
pub struct Region {
    start: u64,
    bytes: Vec<u8>,
    tainted: Vec<bool>,
}

impl Region {
    fn new(start: u64, size: usize) -> Self {
        Self {
            start,
            bytes: vec![0x5a; size],
            tainted: vec![true; size],
        }
    }

    fn place(&self, address: u64, len: usize) -> Option<usize> {
        let at = usize::try_from(address.checked_sub(self.start)?).ok()?;
        (at.checked_add(len)? <= self.bytes.len()).then_some(at)
    }

    fn store(&mut self, address: u64, bytes: &[u8], tainted: bool) {
        if let Some(at) = self.place(address, bytes.len()) {
            self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
            self.tainted[at..at + bytes.len()].fill(tainted);
        }
    }

    fn load(&self, address: u64) -> Option<Value> {
        let at = self.place(address, 8)?;
        let bytes = self.bytes[at..at + 8].try_into().ok()?;
        let tainted = self.tainted[at..at + 8].contains(&true);
        Some((u64::from_le_bytes(bytes), tainted))
    }
}

/// Where the stack is, and how much of it.
const STACK: u64 = 0xffff_8000_8100_0000;
const STACK_BYTES: usize = 1 << 16;
/// What the callers use of it.
const CALLERS: u64 = 1 << 13;
const SHADOW: u64 = 0xffff_8000_8200_0000;
const SHADOW_BYTES: usize = 1 << 12;

/// Bits of a return address that stand for a code: by key A and the CFA; another one.
const BY_CFA: u64 = 1 << 54;
const OTHERWISE: u64 = 1 << 53;
const LARGEST_ALLOCA: u64 = 1 << 12;

/// The state of the processor.
pub struct Machine {
    registers: [u64; 32],
    tainted: u32,
    stack: Region,
    shadow: Region,
    pub random: Random,
    /// SP, x29 and x30 at the entry.
    pub cfa: u64,
    pub caller_fp: u64,
    pub return_address: u64,
}

impl Machine {
    /// At the entry of a function: AAPCS64.
    pub fn entry(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let mut registers = [0; 32];
        registers.fill_with(|| random.next());
        let cfa = STACK + STACK_BYTES as u64 - CALLERS;
        let caller_fp = cfa + 16 * (1 + random.next() % 64);
        let return_address = 0xffff_8000_8000_0000 + (random.next() % 0x80_0000) * 4;
        registers[SP] = cfa;
        registers[18] = SHADOW + SHADOW_BYTES as u64 / 2;
        registers[29] = caller_fp;
        registers[30] = return_address;
        Self {
            registers,
            tainted: !((1 << SP) | (1 << 18) | (1 << 29) | (1 << 30)),
            stack: Region::new(STACK, STACK_BYTES),
            shadow: Region::new(SHADOW, SHADOW_BYTES),
            random,
            cfa,
            caller_fp,
            return_address,
        }
    }

    pub fn sp(&self) -> u64 {
        self.registers[SP]
    }

    /// What register `number` holds; 31 is SP.
    pub fn get(&self, number: usize) -> Value {
        (self.registers[number], (self.tainted >> number) & 1 == 1)
    }

    /// What an operand names.
    pub fn read(&self, register: Register) -> Value {
        let Some(number) = general(register) else {
            return (0, !matches!(register, Register::Xzr | Register::Wzr));
        };
        let (value, tainted) = self.get(number);
        match register.width_bits() {
            64 => (value, tainted),
            _ => (value & 0xffff_ffff, tainted),
        }
    }

    /// Writes what an operand names; an upper half is zeroed.
    pub fn write(&mut self, register: Register, (value, tainted): Value) {
        let Some(number) = general(register) else {
            return;
        };
        let value = match register.width_bits() {
            64 => value,
            _ => value & 0xffff_ffff,
        };
        self.set(number, (value, tainted));
    }

    pub fn set(&mut self, number: usize, (value, tainted): Value) {
        if number == SP {
            self.set_sp(value, tainted);
            return;
        }
        self.registers[number] = value;
        self.tainted = self.tainted & !(1 << number) | (u32::from(tainted) << number);
    }

    /// An amount of stack that only run time tells (`alloca()`) is taken to go down. It
    /// is the one that was computed if that is no larger than [`LARGEST_ALLOCA`].
    fn set_sp(&mut self, value: u64, tainted: bool) {
        let old = self.registers[SP];
        let new = match tainted {
            true if value % 16 == 0 && old.wrapping_sub(value) <= LARGEST_ALLOCA => value,
            true => (old & !15).wrapping_sub(16 * (self.random.next() % 8)),
            false => value,
        };
        self.registers[SP] = new;
        // What was popped is gone: an interrupt may come at each instruction.
        if let Some(at) = self.stack.place(old, 0) {
            let popped = new.saturating_sub(old).min((STACK_BYTES - at) as u64) as usize;
            self.stack.bytes[at..at + popped].fill(0xa5);
            self.stack.tainted[at..at + popped].fill(true);
        }
    }

    /// Gives a register a value that nobody knows.
    pub fn scramble(&mut self, number: usize) {
        let value = self.random.next();
        self.set(number, (value, true));
    }

    /// The eight bytes at an address, if they are the function's to read.
    pub fn load(&mut self, (address, tainted): Value) -> Value {
        let known = match tainted {
            true => None,
            false => self.slot(address).or_else(|| self.shadow.load(address)),
        };
        known.unwrap_or_else(|| (self.random.next(), true))
    }

    /// The eight bytes of the stack at an address that is not below SP.
    pub fn slot(&self, address: u64) -> Option<Value> {
        let is_live = address >= self.sp();
        is_live.then(|| self.stack.load(address)).flatten()
    }

    /// Stores. Below SP nothing stays: an interrupt may come.
    ///
    /// `trusted`: the program is taken not to hit a saved register there. That is
    /// what C promises of a pointer into a local array, which a path that takes
    /// branches at random can't keep in bounds.
    pub fn store(&mut self, (address, far): Value, bytes: &[u8], tainted: bool, trusted: bool) {
        if far || trusted && self.holds_saved(address, bytes.len()) {
            return;
        }
        self.shadow.store(address, bytes, tainted);
        let dead = self.sp().saturating_sub(address).min(bytes.len() as u64) as usize;
        self.stack
            .store(address + dead as u64, &bytes[dead..], tainted);
    }

    /// Whether some of these bytes are of a saved x29 or return address.
    fn holds_saved(&self, address: u64, len: usize) -> bool {
        let slots = (address & !7..address.saturating_add(len as u64)).step_by(8);
        slots.into_iter().any(|slot| {
            let saved = self.stack.load(slot).map(|(value, _)| value);
            saved.is_some_and(|saved| self.is_return_address(saved) || saved == self.caller_fp)
        })
    }

    /// A call that returned: what AAPCS64 lets it change, and all below SP.
    pub fn call(&mut self) {
        for number in (0..18).chain([30]) {
            self.scramble(number);
        }
        // The shadow call stack pointer, or one more register to use freely.
        if self.shadow.place(self.registers[18], 0).is_none() {
            self.scramble(18);
        }
    }

    /// A call of the firmware (SMCCC) or of a hypervisor.
    pub fn firmware(&mut self) {
        (0..18).for_each(|number| self.scramble(number));
    }

    /// Whether it may be left to the caller, through the address in `target`.
    pub fn is_entry_state(&self, target: usize) -> bool {
        self.sp() == self.cfa
            && self.get(29) == (self.caller_fp, false)
            && self.is_return_address(self.get(target).0)
            && !self.get(target).1
    }

    /// Whether a number is the return address, with or without a code.
    pub fn is_return_address(&self, value: u64) -> bool {
        value | BY_CFA | OTHERWISE == self.return_address
    }

    /// Whether a return address has the code that PACIASP gives it at the entry;
    /// `None` if it has another one.
    pub fn is_signed(&self, value: u64) -> Option<bool> {
        match self.return_address ^ value {
            0 => Some(false),
            BY_CFA => Some(true),
            _ => None,
        }
    }

    /// `paciasp` (`signs`) and `autiasp`.
    pub fn authenticate(&mut self, signs: bool) {
        let (value, tainted) = self.get(30);
        let is_plain = self.is_signed(value) == Some(!signs) && self.sp() == self.cfa;
        match is_plain {
            true => self.set(30, (value ^ BY_CFA, tainted)),
            false => self.authenticate_otherwise(30),
        }
    }

    /// Another instruction that puts a code on a register or takes one off.
    pub fn authenticate_otherwise(&mut self, number: usize) {
        let (value, tainted) = self.get(number);
        if self.is_return_address(value) {
            self.set(number, (self.return_address ^ OTHERWISE, tainted));
        }
    }
}

/// The number of a general register or of SP (31); none for the zero register.
pub fn general(register: Register) -> Option<usize> {
    let number = register as u16;
    let within = |first: Register, last: Register| {
        let range = first as u16..=last as u16;
        range
            .contains(&number)
            .then(|| usize::from(number - first as u16))
    };
    match register {
        Register::Sp | Register::Wsp => Some(SP),
        _ => within(Register::W0, Register::W30).or(within(Register::X0, Register::X30)),
    }
}
