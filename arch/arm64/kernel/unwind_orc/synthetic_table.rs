// SPDX-License-Identifier: GPL-2.0

//! A small table for tests, written word by word.
//!
//! On purpose it does not use the core crate to lay out the table, except for the hash of its
//! format: a mistake made on both sides would not be seen.

use orc::format::FORMAT_HASH;

/// What the table says it was built from.
pub(crate) const BUILD_ID: [u8; 20] = *b"twenty bytes of name";

/// The text it describes: one block of 256 instructions and a part of the next.
pub(crate) const TEXT_BYTES: u32 = 1200;

const BYTES: usize = 64 + 12 + 56 + 6 + 3 + 3;

/// Two rules (a leaf, no function) and three rows: a leaf, a hole, a leaf in the second block.
#[derive(Clone, Copy)]
pub(crate) struct Synthetic {
    pub(crate) index: [u32; 3],
    pub(crate) first_rule: [u32; 7],
    pub(crate) numbers: [u16; 3],
    pub(crate) keys: [u8; 3],
}

impl Synthetic {
    /// A table with nothing wrong.
    pub(crate) fn sound() -> Self {
        Self {
            // Two rows start in the first block, and one in the second.
            index: [0, 2, 3],
            // A frame; CFA = SP; x29 is the caller's.
            first_rule: [1 | 1 << 11, 0, 0, 0, 0, 0, 0],
            numbers: [0, 1, 0],
            // At offsets 0, 4 * 16 = 64 and 1024 + 4 * 19 = 1100.
            keys: [0, 16, 19],
        }
    }

    /// The bytes, with the checksum that belongs to them.
    pub(crate) fn bytes(&self) -> [u8; BYTES] {
        let mut bytes = self.unsummed();
        let sum = checksum(&bytes);

        bytes
            .iter_mut()
            .skip(8)
            .zip(sum.to_le_bytes())
            .for_each(|(to, byte)| *to = byte);
        bytes
    }

    fn unsummed(&self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        let mut rest = bytes.iter_mut();
        let mut put = |value: &[u8]| {
            // In this order: `zip` takes from its second only what it has a first for.
            value
                .iter()
                .zip(rest.by_ref())
                .for_each(|(byte, to)| *to = *byte);
        };

        put(b"aORC");
        put(&FORMAT_HASH.to_le_bytes());
        put(&[0; 8]);
        put(&BUILD_ID);
        for count in [TEXT_BYTES, 3, 2, 2, BYTES as u32] {
            put(&count.to_le_bytes());
        }
        put(&[0; 8]);
        self.index.iter().for_each(|row| put(&row.to_le_bytes()));
        self.first_rule
            .iter()
            .for_each(|word| put(&word.to_le_bytes()));
        put(&[0; 28]);
        self.numbers
            .iter()
            .for_each(|number| put(&number.to_le_bytes()));
        put(&self.keys);
        bytes
    }
}

/// FNV-1a over words of 32 bits, in 64 bits.
fn checksum(bytes: &[u8]) -> u64 {
    let mut sum = 0xcbf2_9ce4_8422_2325_u64;

    for word in bytes.chunks_exact(4) {
        let word = word
            .iter()
            .rev()
            .fold(0, |word, byte| word << 8 | u64::from(*byte));
        sum = (sum ^ word).wrapping_mul(0x100_0000_01b3);
    }
    sum
}
