// SPDX-License-Identifier: GPL-2.0 OR MIT

//! A checked table, and the lookup of a row by its offset in the text.
//!
//! [`Table::new`] does the whole check once, when the kernel starts or loads a
//! module. [`Table::accepted`] opens the same bytes again for a walk, in constant
//! time. A lookup is total whatever the bytes are.

use crate::format::{self, Header, HeaderError, Layout, BLOCK_INSTRUCTIONS, INSTRUCTION_BYTES};
use crate::rule::{RawRule, Rule};

use core::fmt;

/// A table of rows for one text section.
///
/// # Invariants
///
/// The four parts have the sizes that the header gives. After [`Table::new`] the
/// index and the keys are sorted too, and all rule numbers and rules are valid.
#[derive(Clone, Copy, Debug)]
pub struct Table<'a> {
    index: &'a [u8],
    rules: &'a [u8],
    row_rules: &'a [u8],
    row_keys: &'a [u8],
    header: Header,
}

/// Why a table is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableError {
    /// Shorter than a header.
    Truncated,
    /// Does not start with the magic number.
    Magic,
    /// Written in another version of the format.
    FormatHash,
    /// Reserved or padding bytes are not zero.
    Reserved,
    /// The sizes in the header do not fit each other or the table.
    Size,
    /// The bytes are not those that were written.
    Checksum,
    /// Describes the text of another build.
    BuildId,
    /// The first row is not at the start of the text.
    FirstRow,
    /// The block index is not sorted or does not end at the last row.
    Index,
    /// The rows of a block are not sorted, or one lies outside the text.
    Order,
    /// A row has a rule number that no rule has.
    RuleNumber,
    /// A rule is malformed or contradicts itself.
    Rule,
}

impl TableError {
    /// A short text for a log.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Truncated => "truncated header",
            Self::Magic => "bad magic number",
            Self::FormatHash => "format of another version",
            Self::Reserved => "reserved bytes not zero",
            Self::Size => "sizes do not match",
            Self::Checksum => "bad checksum",
            Self::BuildId => "build-id of another build",
            Self::FirstRow => "first row not at the start of the text",
            Self::Index => "bad block index",
            Self::Order => "rows not sorted",
            Self::RuleNumber => "rule number out of range",
            Self::Rule => "bad rule",
        }
    }
}

impl fmt::Display for TableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl From<HeaderError> for TableError {
    fn from(error: HeaderError) -> Self {
        match error {
            HeaderError::Truncated => Self::Truncated,
            HeaderError::Magic => Self::Magic,
            HeaderError::FormatHash => Self::FormatHash,
            HeaderError::Reserved => Self::Reserved,
        }
    }
}

impl<'a> Table<'a> {
    /// Checks all of a table: every byte of it, and that it describes the text of
    /// the build with this build-id.
    ///
    /// # Errors
    ///
    /// The first [`TableError`] found; the table must not be used then.
    pub fn new(
        bytes: &'a [u8],
        build_id: &[u8; format::BUILD_ID_BYTES],
    ) -> Result<Self, TableError> {
        let table = Self::open(bytes)?;
        if format::checksum(bytes) != table.header.checksum {
            return Err(TableError::Checksum);
        }
        if table.header.build_id != *build_id {
            return Err(TableError::BuildId);
        }
        if bytes.get(table.end()..).is_none_or(any_set) {
            return Err(TableError::Reserved);
        }
        table.check_rules()?;
        table.check_index()?;
        table.check_rows()?;
        Ok(table)
    }

    /// Opens a table that [`Table::new`] has accepted before, in constant time.
    ///
    /// `None` when the header can't be one of a table. Other bytes than those of
    /// an accepted table give lookups without meaning, but no panic.
    #[must_use]
    #[inline]
    pub fn accepted(bytes: &'a [u8]) -> Option<Self> {
        Self::open(bytes).ok()
    }

    /// The header of this table.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The rule at this offset in the text, in bytes.
    ///
    /// `None` when the offset is outside the text or inside an instruction. In
    /// an accepted table every instruction has a rule.
    #[must_use]
    #[inline]
    pub fn lookup(&self, offset: u32) -> Option<Rule> {
        if offset >= self.header.text_bytes || offset % INSTRUCTION_BYTES != 0 {
            return None;
        }
        let instruction = offset / INSTRUCTION_BYTES;
        let block = usize::try_from(instruction / BLOCK_INSTRUCTIONS).ok()?;
        let key = u8::try_from(instruction % BLOCK_INSTRUCTIONS).ok()?;
        let first = self.block_start(block)?;
        let end = self.block_start(block.checked_add(1)?)?;
        let keys = self.row_keys.get(first..end)?;
        // Rows of this block that start at or before the offset; when there is
        // none, the last row before the block still holds.
        let started = count_up_to(keys, key);
        let row = first.checked_add(started)?.checked_sub(1)?;
        Rule::decode_checked(self.raw_rule(self.row_rule(row)?)?)
    }

    /// The rows in order: the offset where each starts, in bytes, and its rule.
    ///
    /// Stops at the first row that is malformed, which an accepted table has not.
    pub fn rows(&self) -> impl Iterator<Item = (u32, Rule)> + '_ {
        self.row_heads()
            .map_while(|(offset, number)| Some((offset?, self.rule(number?)?)))
    }

    /// The sizes agree; nothing behind the header has been looked at.
    #[inline]
    fn open(bytes: &'a [u8]) -> Result<Self, TableError> {
        let header = Header::decode(bytes)?;
        Self::split(bytes, header).ok_or(TableError::Size)
    }

    #[inline]
    fn split(bytes: &'a [u8], header: Header) -> Option<Self> {
        let layout = Layout::new(header.rows, header.blocks, header.rules)?;
        let sizes_agree = usize::try_from(header.total_bytes).ok()? == layout.total
            && bytes.len() == layout.total
            && header.blocks == format::blocks(header.text_bytes);
        if !sizes_agree {
            return None;
        }
        // INVARIANT: the layout is computed from the header's counts.
        Some(Self {
            index: bytes.get(layout.index..layout.rules)?,
            rules: bytes.get(layout.rules..layout.row_rules)?,
            row_rules: bytes.get(layout.row_rules..layout.row_keys)?,
            row_keys: bytes.get(layout.row_keys..layout.padding)?,
            header,
        })
    }

    /// Where the padding starts, in bytes from the start of the table.
    fn end(&self) -> usize {
        [self.index, self.rules, self.row_rules, self.row_keys]
            .iter()
            .fold(format::HEADER_BYTES, |end, part| {
                end.saturating_add(part.len())
            })
    }

    /// Every rule is one that a function can be in.
    fn check_rules(&self) -> Result<(), TableError> {
        for number in 0..self.header.rules {
            let number = u16::try_from(number).map_err(|_| TableError::Rule)?;
            self.rule(number).ok_or(TableError::Rule)?;
        }
        Ok(())
    }

    /// The index starts at row 0, never goes down, and ends at the last row.
    fn check_index(&self) -> Result<(), TableError> {
        let starts = self.index.chunks_exact(4);
        let mut last = 0;
        for start in starts {
            let start = format::read_u32(start, 0).ok_or(TableError::Index)?;
            if start < last {
                return Err(TableError::Index);
            }
            last = start;
        }
        if self.block_start(0) != Some(0) || last != self.header.rows {
            return Err(TableError::Index);
        }
        Ok(())
    }

    /// Rows ascend strictly, from the first instruction, and lie in the text.
    fn check_rows(&self) -> Result<(), TableError> {
        let mut previous: Option<u32> = None;
        for (offset, number) in self.row_heads() {
            let offset = offset.ok_or(TableError::Index)?;
            if previous.is_none() && offset != 0 {
                return Err(TableError::FirstRow);
            }
            if offset >= self.header.text_bytes || previous.is_some_and(|last| offset <= last) {
                return Err(TableError::Order);
            }
            if number.is_none_or(|number| u32::from(number) >= self.header.rules) {
                return Err(TableError::RuleNumber);
            }
            previous = Some(offset);
        }
        // Text without a row would have a lookup without an answer.
        if previous.is_none() && self.header.text_bytes != 0 {
            return Err(TableError::FirstRow);
        }
        Ok(())
    }

    /// Offset and rule number of each row; both are there in a sound table.
    fn row_heads(&self) -> impl Iterator<Item = (Option<u32>, Option<u16>)> + '_ {
        let mut block = 0_usize;
        (0..self.row_keys.len()).map(move |row| {
            while self
                .block_start(block.saturating_add(1))
                .is_some_and(|end| end <= row)
            {
                block = block.saturating_add(1);
            }
            (self.row_offset(block, row), self.row_rule(row))
        })
    }

    /// The first row of a block, or the number of rows after the last block.
    #[inline]
    fn block_start(&self, block: usize) -> Option<usize> {
        let start = format::read_u32(self.index, block.checked_mul(4)?)?;
        usize::try_from(start).ok()
    }

    /// Where a row of this block starts, in bytes from the start of the text.
    fn row_offset(&self, block: usize, row: usize) -> Option<u32> {
        let key = u32::from(*self.row_keys.get(row)?);
        let first = u32::try_from(block).ok()?.checked_mul(BLOCK_INSTRUCTIONS)?;
        first.checked_add(key)?.checked_mul(INSTRUCTION_BYTES)
    }

    /// The rule number of a row.
    #[inline]
    fn row_rule(&self, row: usize) -> Option<u16> {
        format::read_u16(self.row_rules, row.checked_mul(2)?)
    }

    /// The rule with this number, if it is one that a function can be in.
    fn rule(&self, number: u16) -> Option<Rule> {
        Rule::decode(self.raw_rule(number)?)
    }

    #[inline]
    fn raw_rule(&self, number: u16) -> Option<RawRule> {
        let start = usize::from(number).checked_mul(format::RULE_BYTES)?;
        let end = start.checked_add(format::RULE_BYTES)?;
        let words = self.rules.get(start..end)?;
        let mut raw = RawRule::default();
        for (value, word) in raw.iter_mut().zip(words.chunks_exact(4)) {
            *value = format::read_u32(word, 0)?;
        }
        Some(raw)
    }
}

/// The rule at this offset by a table that [`Table::new`] has accepted before.
///
/// As [`Table::accepted`] and [`Table::lookup`]. Not inlined, so that the open table is on the
/// stack for no longer than this.
#[inline(never)]
#[must_use]
pub fn lookup_accepted(bytes: &[u8], offset: u32) -> Option<Rule> {
    Table::accepted(bytes)?.lookup(offset)
}

fn any_set(bytes: &[u8]) -> bool {
    bytes.iter().any(|byte| *byte != 0)
}

/// How many of these keys, which go up, are `key` or less.
///
/// As `partition_point()` of `core`, in which Rust 1.85 has an addition that panics
/// where overflow is checked for.
fn count_up_to(mut keys: &[u8], key: u8) -> usize {
    let mut counted = 0_usize;
    while let Some((low, high)) = keys.split_at_checked(keys.len() / 2) {
        keys = match high.split_first() {
            Some((middle, high)) if *middle <= key => {
                counted = counted.saturating_add(low.len()).saturating_add(1);
                high
            }
            Some(_) => low,
            None => break,
        };
    }
    counted
}
