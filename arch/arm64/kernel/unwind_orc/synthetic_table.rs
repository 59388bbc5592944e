// SPDX-License-Identifier: GPL-2.0

//! A small table for tests, written word by word.
//!
//! On purpose it does not use the core crate to lay out the table, except for the hash of its
//! format: a mistake made on both sides would not be seen.

use orc::format::FORMAT_HASH;

/// What the table says it was built from.
pub(crate) const BUILD_ID: [u8; 20] = *b"twenty bytes of name";

/// The text it describes: two blocks of 128 instructions and a part of the next.
pub(crate) const TEXT_BYTES: u32 = 1200;

const WORDS: usize = 16 + 4 + 4 + 2;

/// Two rules (a leaf, no function) and three rows: a leaf, a hole, a leaf in the third block.
#[derive(Clone, Copy)]
pub(crate) struct Synthetic {
    pub(crate) index: [u32; 4],
    pub(crate) first_rule: [u32; 2],
    pub(crate) numbers: [u32; 3],
    pub(crate) keys: [u32; 3],
}

impl Synthetic {
    /// A table with nothing wrong.
    pub(crate) fn sound() -> Self {
        Self {
            // Two rows start in the first block, none in the second, and one in the third.
            index: [0, 2, 2, 3],
            // A frame; CFA = SP; x29 is the caller's.
            first_rule: [1 | 1 << 4, 0],
            numbers: [0, 1, 0],
            // At offsets 0, 4 * 16 = 64 and 1024 + 4 * 19 = 1100.
            keys: [0, 16, 19],
        }
    }

    /// The words, with the checksum that belongs to them.
    pub(crate) fn words(&self) -> [u32; WORDS] {
        let unsummed = self.with_sum(0);

        self.with_sum(checksum(&unsummed))
    }

    fn with_sum(&self, sum: u64) -> [u32; WORDS] {
        let [i0, i1, i2, i3] = self.index;
        let [r0, r1] = self.first_rule;
        let [id0, id1, id2, id3, id4] = id_words();

        [
            u32::from_le_bytes(*b"aORC"),
            FORMAT_HASH,
            sum as u32,
            (sum >> 32) as u32,
            id0,
            id1,
            id2,
            id3,
            id4,
            TEXT_BYTES,
            // Rows, blocks, rules, escapes.
            3,
            3,
            2,
            0,
            WORDS as u32,
            0,
            i0,
            i1,
            i2,
            i3,
            r0,
            r1,
            0,
            0,
            self.row(0) | self.row(1) << 16,
            self.row(2),
        ]
    }

    /// The 16 bits of a row.
    fn row(&self, row: usize) -> u32 {
        let part = |parts: &[u32; 3]| parts.get(row).copied().unwrap_or_default();

        part(&self.keys) << 9 | part(&self.numbers)
    }
}

fn id_words() -> [u32; 5] {
    let mut words = [0; 5];

    for (to, bytes) in words.iter_mut().zip(BUILD_ID.chunks_exact(4)) {
        *to = bytes
            .iter()
            .rev()
            .fold(0, |word, byte| word << 8 | u32::from(*byte));
    }
    words
}

/// FNV-1a over words of 32 bits, in 64 bits.
fn checksum(words: &[u32]) -> u64 {
    words.iter().fold(0xcbf2_9ce4_8422_2325_u64, |sum, word| {
        (sum ^ u64::from(*word)).wrapping_mul(0x100_0000_01b3)
    })
}
