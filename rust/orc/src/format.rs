// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The words of a table: written by `orctool`, read by [`crate::table`].
//!
//! A table is words of 32 bits, little endian. It describes one text section and is
//!
//! ```text
//! header        HEADER_WORDS
//! block index   blocks + 1       first row of each block; the last is `rows`
//! rules         2 x rules        see crate::rule; by how many rows have them
//! escapes       2 x escapes      row and rule number, sorted by row
//! rows          rows / 2         two in a word, the first in the low half; a half that
//!                                is left is zero
//! ```
//!
//! A row is 16 bits: in the high ones the number of its instruction in its block, in the
//! low ones that of its rule, or [`ESCAPE`] if that is to be looked for among the
//! escapes. A row holds until the next one starts. The first row is at offset 0, and text
//! that nothing describes is covered by a row that says so.

use crate::rule::{bits, Undescribed, UNIT};

/// The first word of a table.
pub const MAGIC: u32 = u32::from_le_bytes(*b"aORC");

/// Size of a word, in bytes.
pub const WORD_BYTES: usize = 4;
/// Size of the header, in words.
pub const HEADER_WORDS: usize = 16;
/// Size of an encoded rule, in words.
pub const RULE_WORDS: usize = 2;
/// Size of an escape, in words.
pub const ESCAPE_WORDS: usize = 2;
/// Size of a build-id (SHA-1, as the linkers emit it), in bytes.
pub const BUILD_ID_BYTES: usize = 20;
/// Size of an A64 instruction, in bytes.
pub const INSTRUCTION_BYTES: u32 = 4;
/// Instructions in a block of the index.
pub const BLOCK_INSTRUCTIONS: u32 = 128;
/// Bytes of text in a block of the index.
pub const BLOCK_BYTES: u32 = BLOCK_INSTRUCTIONS * INSTRUCTION_BYTES;
/// Where in a row its instruction's number is: below is the rule's.
pub const KEY_SHIFT: u32 = 9;
/// In place of a rule's number: it is among the escapes.
pub const ESCAPE: u32 = (1 << KEY_SHIFT) - 1;
/// A table has no more rules.
pub const MAX_RULES: u32 = 1 << 16;

const _: () = assert!(BLOCK_INSTRUCTIONS << KEY_SHIFT == 1 << 16);

/// What the numbers in a table mean, in numbers. The first stands for what the others
/// can't say, and goes up when that changes.
#[allow(clippy::as_conversions, clippy::cast_possible_truncation)]
const DEFINITION: &[u32] = &[
    4,
    RULE_WORDS as u32,
    ESCAPE_WORDS as u32,
    INSTRUCTION_BYTES,
    BLOCK_INSTRUCTIONS,
    KEY_SHIFT,
    ESCAPE,
    crate::rule::UNIT,
    bits::FRAME,
    bits::WHY_SHIFT,
    bits::CFA_FP,
    bits::RA_SLOT,
    bits::FP_SLOT,
    bits::X29_SHIFT,
    bits::PATCH_SITE,
    bits::SP_SHIFT,
    bits::NO_LIMIT,
    bits::SIGNED_SHIFT,
    bits::LEFT_BY_RETURN,
    bits::CFA_SHIFT,
    bits::HIGH_SHIFT,
    // Of the size of a function that is left by its return alone.
    UNIT,
    Undescribed::Hole.code(),
    Undescribed::NoCfi.code(),
    Undescribed::NotProved.code(),
    Undescribed::Foreign.code(),
    Undescribed::BadCfi.code(),
];

/// A header whose words show where each field goes.
const EXAMPLE: Header = Header {
    checksum: 2 << 32 | 1,
    build_id: [3, 0, 0, 0, 4, 0, 0, 0, 5, 0, 0, 0, 6, 0, 0, 0, 7, 0, 0, 0],
    text_bytes: 8,
    rows: 9,
    blocks: 10,
    rules: 11,
    escapes: 12,
    total_words: 13,
};

/// Hash of what defines the format: a table of another one is refused, not misread.
pub const FORMAT_HASH: u32 = hash(hash(0x811c_9dc5, DEFINITION), &EXAMPLE.words(0));

/// FNV-1a over words, from the hash of those before.
const fn hash(before: u32, words: &[u32]) -> u32 {
    let mut hash = before;
    let mut rest = words;
    while let Some((word, tail)) = rest.split_first() {
        hash = (hash ^ *word).wrapping_mul(0x0100_0193);
        rest = tail;
    }
    hash
}

/// Checksum of a table, with its own field (the third and fourth word) as zero.
///
/// FNV-1a over words, with a 64-bit state. Each step is a bijection of the state and of
/// the word, so a change confined to one word is always seen.
#[must_use]
pub fn checksum(table: &[u32]) -> u64 {
    let step = |sum: u64, word: &u32| (sum ^ u64::from(*word)).wrapping_mul(0x100_0000_01b3);
    let (before, rest) = table.split_at_checked(2).unwrap_or((table, &[]));
    let after = rest.get(2..).unwrap_or_default();
    let sum = before.iter().fold(0xcbf2_9ce4_8422_2325, step);
    after.iter().fold([0, 0].iter().fold(sum, step), step)
}

/// The header of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// [`checksum`] of the whole table.
    pub checksum: u64,
    /// Build-id of the ELF file whose text is described.
    pub build_id: [u8; BUILD_ID_BYTES],
    /// Size of the described text, in bytes.
    pub text_bytes: u32,
    /// Number of rows.
    pub rows: u32,
    /// Number of blocks: `text_bytes` / [`BLOCK_BYTES`], rounded up.
    pub blocks: u32,
    /// Number of distinct rules.
    pub rules: u32,
    /// Number of rows whose rule has a number of [`ESCAPE`] or more.
    pub escapes: u32,
    /// Size of the whole table, in words.
    pub total_words: u32,
}

/// Why words are not the header of a table of this format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderError {
    /// Fewer words than a header has.
    Truncated,
    /// Another magic number.
    Magic,
    /// Another version of the format.
    FormatHash,
    /// Reserved words are not zero.
    Reserved,
}

impl Header {
    /// The words of this header.
    #[must_use]
    pub const fn encode(&self) -> [u32; HEADER_WORDS] {
        self.words(FORMAT_HASH)
    }

    #[allow(clippy::as_conversions, clippy::cast_possible_truncation)]
    const fn words(&self, format_hash: u32) -> [u32; HEADER_WORDS] {
        let [id0, id1, id2, id3, id4] = id_words(&self.build_id);
        [
            MAGIC,
            format_hash,
            self.checksum as u32,
            (self.checksum >> 32) as u32,
            id0,
            id1,
            id2,
            id3,
            id4,
            self.text_bytes,
            self.rows,
            self.blocks,
            self.rules,
            self.escapes,
            self.total_words,
            0,
        ]
    }

    /// The header at the start of a table.
    ///
    /// # Errors
    ///
    /// [`HeaderError`] when it is not one of this format. The counts are not
    /// checked here.
    pub fn decode(table: &[u32]) -> Result<Self, HeaderError> {
        let words: &[u32; HEADER_WORDS] = table.first_chunk().ok_or(HeaderError::Truncated)?;
        let [magic, format_hash, sum_low, sum_high, id @ .., _, _, _, _, _, _, reserved] = *words;
        let sizes = Sizes::of(words);
        if magic != MAGIC {
            return Err(HeaderError::Magic);
        }
        if format_hash != FORMAT_HASH {
            return Err(HeaderError::FormatHash);
        }
        if reserved != 0 {
            return Err(HeaderError::Reserved);
        }
        Ok(Self {
            checksum: u64::from(sum_high) << 32 | u64::from(sum_low),
            build_id: id_bytes(id),
            text_bytes: sizes.text_bytes,
            rows: sizes.rows,
            blocks: sizes.blocks,
            rules: sizes.rules,
            escapes: sizes.escapes,
            total_words: sizes.total_words,
        })
    }
}

/// The sizes in a header, which are all that a lookup needs of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    pub(crate) text_bytes: u32,
    pub(crate) rows: u32,
    pub(crate) blocks: u32,
    pub(crate) rules: u32,
    pub(crate) escapes: u32,
    pub(crate) total_words: u32,
}

impl Sizes {
    /// Those at the start of a table, if it is of this format.
    #[inline(always)]
    pub(crate) fn decode(table: &[u32]) -> Option<Self> {
        let words: &[u32; HEADER_WORDS] = table.first_chunk()?;
        let [magic, format_hash, ..] = *words;
        (magic == MAGIC && format_hash == FORMAT_HASH).then_some(Self::of(words))
    }

    #[inline(always)]
    const fn of(words: &[u32; HEADER_WORDS]) -> Self {
        let [.., text_bytes, rows, blocks, rules, escapes, total_words, _] = *words;
        Self {
            text_bytes,
            rows,
            blocks,
            rules,
            escapes,
            total_words,
        }
    }
}

const fn id_words(id: &[u8; BUILD_ID_BYTES]) -> [u32; 5] {
    let [a0, a1, a2, a3, b0, b1, b2, b3, c0, c1, c2, c3, d0, d1, d2, d3, e0, e1, e2, e3] = *id;
    [
        u32::from_le_bytes([a0, a1, a2, a3]),
        u32::from_le_bytes([b0, b1, b2, b3]),
        u32::from_le_bytes([c0, c1, c2, c3]),
        u32::from_le_bytes([d0, d1, d2, d3]),
        u32::from_le_bytes([e0, e1, e2, e3]),
    ]
}

fn id_bytes(words: [u32; 5]) -> [u8; BUILD_ID_BYTES] {
    let mut bytes = [0; BUILD_ID_BYTES];
    for (chunk, word) in bytes.chunks_exact_mut(WORD_BYTES).zip(words) {
        chunk.copy_from_slice(&word.to_le_bytes());
    }
    bytes
}

/// Where the parts of a table start, in words from its first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Block index.
    pub index: u32,
    /// Rules.
    pub rules: u32,
    /// Escapes.
    pub escapes: u32,
    /// Rows.
    pub rows: u32,
    /// End of the table.
    pub total: u32,
}

impl Layout {
    /// The layout of a table with so many rows, blocks, rules and escapes; `None` when its
    /// size does not fit the header.
    #[must_use]
    #[allow(clippy::as_conversions, clippy::cast_possible_truncation)]
    pub fn new(rows: u32, blocks: u32, rules: u32, escapes: u32) -> Option<Self> {
        let index = HEADER_WORDS as u32;
        let rules_at = index.checked_add(blocks.checked_add(1)?)?;
        let escapes_at = rules_at.checked_add(rules.checked_mul(RULE_WORDS as u32)?)?;
        let rows_at = escapes_at.checked_add(escapes.checked_mul(ESCAPE_WORDS as u32)?)?;
        let total = rows_at.checked_add(rows.div_ceil(2))?;
        // In bytes, too.
        total.checked_mul(WORD_BYTES as u32)?;
        Some(Self {
            index,
            rules: rules_at,
            escapes: escapes_at,
            rows: rows_at,
            total,
        })
    }
}

/// Number of blocks that `text_bytes` of text take.
#[must_use]
pub const fn blocks(text_bytes: u32) -> u32 {
    text_bytes.div_ceil(BLOCK_BYTES)
}
