// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The bytes of a table: written by `orctool`, read by [`crate::table`].
//!
//! All numbers are little endian. A table describes one text section and is
//!
//! ```text
//! header             HEADER_BYTES
//! block index        u32 x (blocks + 1)   first row of each block; the last is `rows`
//! rules              RULE_BYTES x rules   see crate::rule
//! row rule numbers   u16 x rows
//! row keys           u8 x rows            instruction number in its block
//! padding            zeros to a multiple of four
//! ```
//!
//! A block is [`BLOCK_INSTRUCTIONS`] instructions, so a row's key fits a byte. A
//! row holds until the next one starts. The first row is at offset 0, and text
//! that nothing describes is covered by a row that says so.

/// The first word of a table.
pub const MAGIC: u32 = u32::from_le_bytes(*b"aORC");

/// The layout in words; any change to the format changes this, and so the hash.
pub const LAYOUT: &str = "aORC 3: le; header 64 = magic u32, format_hash u32, \
     checksum u64, build_id [u8;20], text_bytes u32, rows u32, blocks u32, rules u32, \
     total_bytes u32, zero u64; index [u32;blocks+1]; rules [[u32;7];rules]; \
     row_rules [u16;rows]; row_keys [u8;rows]; zero to 4; \
     block 256 instructions; key instruction & 0xff; \
     rule w0: 0..7 kind 0 unreliable 1 frame; unreliable: 8..15 why \
     0 hole 1 no cfi 2 not proved 3 foreign 4 bad cfi; frame: 8 cfa base 0 sp 1 x29, \
     9 ra in slot, 10 fp in slot, 11..12 x29 0 other 1 caller 2 record, 13 patch site, \
     14..15 sp 0 exact 1 bounds 2 other stack 3 anywhere, \
     16..17 ra signed 0 unknown 1 no 2 yes; \
     w1 cfa, w2 ra, w3 fp, w4 record: bytes, cfa minus; \
     w5 least, w6 most: bytes, cfa minus sp, most -1 none";

/// Hash of [`LAYOUT`]: a table of another format is refused, not misread.
pub const FORMAT_HASH: u32 = fnv1a_32(LAYOUT.as_bytes());

/// Size of the header.
pub const HEADER_BYTES: usize = 64;
/// Size of one encoded rule.
pub const RULE_BYTES: usize = 28;
/// Size of a build-id (SHA-1, as the linkers emit it).
pub const BUILD_ID_BYTES: usize = 20;
/// Size of an A64 instruction.
pub const INSTRUCTION_BYTES: u32 = 4;
/// Instructions in a block of the index.
pub const BLOCK_INSTRUCTIONS: u32 = 256;
/// Bytes of text in a block of the index.
pub const BLOCK_BYTES: u32 = 1024;

const _: () = assert!(BLOCK_BYTES == BLOCK_INSTRUCTIONS * INSTRUCTION_BYTES);
const _: () = assert!(BLOCK_INSTRUCTIONS == 1 << 8);

/// FNV-1a, 32 bits.
#[must_use]
pub const fn fnv1a_32(bytes: &[u8]) -> u32 {
    let mut hash: u32 = 0x811c_9dc5;
    let mut rest = bytes;
    while let Some((byte, tail)) = rest.split_first() {
        // No `u32::from` in a const function; the cast widens.
        #[allow(clippy::as_conversions, clippy::cast_lossless)]
        let value = *byte as u32;
        hash = (hash ^ value).wrapping_mul(0x0100_0193);
        rest = tail;
    }
    hash
}

/// Checksum of a table, with its own field (the third and fourth word) as zero.
///
/// FNV-1a over 32-bit words with a 64-bit state. Each step is a bijection of the
/// state and of the word, so a change confined to one word is always seen. A last
/// part of less than a word is not summed: no table has one.
#[must_use]
pub fn checksum(table: &[u8]) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    // Not `enumerate`, whose count could overflow: the kernel links that panic in.
    for (number, word) in (0..table.len()).zip(table.chunks_exact(4)) {
        let value = match number {
            2 | 3 => 0,
            _ => read_u32(word, 0).unwrap_or(0),
        };
        hash = (hash ^ u64::from(value)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash
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
    /// Size of the whole table, in bytes.
    pub total_bytes: u32,
}

/// Why bytes are not the header of a table of this format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderError {
    /// Fewer bytes than a header has.
    Truncated,
    /// Another magic number.
    Magic,
    /// Another version of the format.
    FormatHash,
    /// Reserved bytes are not zero.
    Reserved,
}

impl Header {
    /// The bytes of this header.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        put(&mut bytes, 0, &MAGIC.to_le_bytes());
        put(&mut bytes, 4, &FORMAT_HASH.to_le_bytes());
        put(&mut bytes, 8, &self.checksum.to_le_bytes());
        put(&mut bytes, 16, &self.build_id);
        put(&mut bytes, 36, &self.text_bytes.to_le_bytes());
        put(&mut bytes, 40, &self.rows.to_le_bytes());
        put(&mut bytes, 44, &self.blocks.to_le_bytes());
        put(&mut bytes, 48, &self.rules.to_le_bytes());
        put(&mut bytes, 52, &self.total_bytes.to_le_bytes());
        bytes
    }

    /// The header at the start of `bytes`.
    ///
    /// # Errors
    ///
    /// [`HeaderError`] when it is not one of this format. The counts are not
    /// checked here.
    #[inline]
    pub fn decode(bytes: &[u8]) -> Result<Self, HeaderError> {
        let bytes: &[u8; HEADER_BYTES] = bytes.first_chunk().ok_or(HeaderError::Truncated)?;
        let word = |at| read_u32(bytes, at).ok_or(HeaderError::Truncated);
        let long = |at| read_u64(bytes, at).ok_or(HeaderError::Truncated);
        if word(0)? != MAGIC {
            return Err(HeaderError::Magic);
        }
        if word(4)? != FORMAT_HASH {
            return Err(HeaderError::FormatHash);
        }
        if long(56)? != 0 {
            return Err(HeaderError::Reserved);
        }
        Ok(Self {
            checksum: long(8)?,
            build_id: read_array(bytes, 16).ok_or(HeaderError::Truncated)?,
            text_bytes: word(36)?,
            rows: word(40)?,
            blocks: word(44)?,
            rules: word(48)?,
            total_bytes: word(52)?,
        })
    }
}

/// Where the parts of a table start, in bytes from its first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Block index.
    pub index: usize,
    /// Rules.
    pub rules: usize,
    /// Rule number of each row.
    pub row_rules: usize,
    /// Key of each row.
    pub row_keys: usize,
    /// Padding after the last key.
    pub padding: usize,
    /// End of the table.
    pub total: usize,
}

impl Layout {
    /// The layout of a table with so many rows, blocks and rules; `None` when its
    /// size does not fit the header.
    #[must_use]
    #[inline]
    pub fn new(rows: u32, blocks: u32, rules: u32) -> Option<Self> {
        let rows = usize::try_from(rows).ok()?;
        let blocks = usize::try_from(blocks).ok()?;
        let rules_count = usize::try_from(rules).ok()?;
        let index = HEADER_BYTES;
        let rules = index.checked_add(blocks.checked_add(1)?.checked_mul(4)?)?;
        let row_rules = rules.checked_add(rules_count.checked_mul(RULE_BYTES)?)?;
        let row_keys = row_rules.checked_add(rows.checked_mul(2)?)?;
        let padding = row_keys.checked_add(rows)?;
        let total = padding.checked_add(3)? & !3;
        u32::try_from(total).ok()?;
        Some(Self {
            index,
            rules,
            row_rules,
            row_keys,
            padding,
            total,
        })
    }
}

/// Number of blocks that `text_bytes` of text take.
#[must_use]
pub const fn blocks(text_bytes: u32) -> u32 {
    text_bytes.div_ceil(BLOCK_BYTES)
}

/// `N` bytes at an offset, if there are so many.
pub(crate) fn read_array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

/// The number at an offset, if there are bytes enough.
pub(crate) fn read_u16(bytes: &[u8], at: usize) -> Option<u16> {
    read_array(bytes, at).map(u16::from_le_bytes)
}

/// The number at an offset, if there are bytes enough.
pub(crate) fn read_u32(bytes: &[u8], at: usize) -> Option<u32> {
    read_array(bytes, at).map(u32::from_le_bytes)
}

/// The number at an offset, if there are bytes enough.
pub(crate) fn read_u64(bytes: &[u8], at: usize) -> Option<u64> {
    read_array(bytes, at).map(u64::from_le_bytes)
}

/// Writes `value` at an offset of a header; what does not fit is left out.
fn put(bytes: &mut [u8; HEADER_BYTES], at: usize, value: &[u8]) {
    for (slot, byte) in bytes.iter_mut().skip(at).zip(value) {
        *slot = *byte;
    }
}
