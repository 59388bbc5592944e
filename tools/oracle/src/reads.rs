// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Which words of the stacks walks have read: a store to one of them makes what they
//! have said void.

/// Which words of the stacks were read: a set, in which one word stands for all at a
/// distance of 32 KiB.
pub struct Words {
    bits: [u64; 64],
}

impl Words {
    /// None.
    pub const fn new() -> Self {
        Self { bits: [0; 64] }
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.bits = [0; 64];
    }

    /// Remembers the word at this address.
    pub fn add(&mut self, address: u64) {
        let word = (address >> 3 & 0xfff) as usize;
        self.bits[word >> 6] |= 1 << (word & 63);
    }

    /// Whether the word at this address may have been read.
    pub fn has(&self, address: u64) -> bool {
        let word = (address >> 3 & 0xfff) as usize;
        self.bits[word >> 6] >> (word & 63) & 1 != 0
    }
}

/// What was read since the last verdict: by its first step, and by all others.
pub struct Reads {
    first: u64,
    others: Words,
    in_first: bool,
}

impl Reads {
    /// Nothing.
    pub const fn new() -> Self {
        Self {
            first: 0,
            others: Words::new(),
            in_first: true,
        }
    }

    /// A word was read.
    pub fn add(&mut self, address: u64) {
        match self.in_first {
            true => self.first |= 1 << (address >> 3 & 63),
            false => self.others.add(address),
        }
    }

    /// Before the first step of a walk.
    pub fn start(&mut self) {
        self.first = 0;
        self.in_first = true;
    }

    /// Before the second.
    pub fn first_is_done(&mut self) {
        self.in_first = false;
    }

    /// All steps but the first of the walks that are remembered.
    pub fn forget_others(&mut self) {
        self.others.clear();
    }

    /// Whether the first step may have read this word.
    pub fn first_has(&self, address: u64) -> bool {
        self.first >> (address >> 3 & 63) & 1 != 0
    }

    /// Whether another may have.
    pub fn others_have(&self, address: u64) -> bool {
        self.others.has(address)
    }
}
