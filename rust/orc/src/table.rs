// SPDX-License-Identifier: GPL-2.0 OR MIT

//! A checked table, and the lookup of a row by its offset in the text.
//!
//! [`Table::new`] does the whole check once, when the kernel starts or loads a
//! module. [`Table::accepted`] opens the same words again for a walk, in constant
//! time. A lookup is total whatever the words are.

use crate::format::{
    self, Header, HeaderError, Layout, Sizes, BLOCK_INSTRUCTIONS, ESCAPE, INSTRUCTION_BYTES,
    KEY_SHIFT,
};
use crate::rule::{RawRule, Rule};

use core::fmt;

/// A table of rows for one text section.
///
/// Small, as a walk keeps it on its stack: where the parts start, and all words in one.
///
/// # Invariants
///
/// The parts lie one behind the other, and all in `words`, the rows up to its end. After
/// [`Table::new`] the index and the keys are sorted too, and all rule numbers and rules
/// are valid.
#[derive(Clone, Copy, Debug)]
pub struct Table<'a> {
    words: &'a [u32],
    text_bytes: u32,
    rules: u32,
    escapes: u32,
    rows: u32,
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
    /// The escapes are not those of the rows that have one.
    Escape,
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
            Self::Escape => "bad escape",
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
    /// Checks all of a table: every word of it, and that it describes the text of
    /// the build with this build-id.
    ///
    /// # Errors
    ///
    /// The first [`TableError`] found; the table must not be used then.
    pub fn new(
        words: &'a [u32],
        build_id: &[u8; format::BUILD_ID_BYTES],
    ) -> Result<Self, TableError> {
        let header = Header::decode(words)?;
        let table = Self::open(words).ok_or(TableError::Size)?;
        if format::checksum(words) != header.checksum {
            return Err(TableError::Checksum);
        }
        if header.build_id != *build_id {
            return Err(TableError::BuildId);
        }
        // A part of an instruction has no row.
        if header.text_bytes % INSTRUCTION_BYTES != 0 {
            return Err(TableError::Size);
        }
        table.check_rules(&header)?;
        table.check_rows(&header)?;
        table.check_escapes(&header)?;
        Ok(table)
    }

    /// Opens a table that [`Table::new`] has accepted before, in constant time.
    ///
    /// `None` when the header can't be one of a table. Other words than those of
    /// an accepted table give lookups without meaning, but no panic.
    #[must_use]
    #[inline]
    pub fn accepted(words: &'a [u32]) -> Option<Self> {
        Self::open(words)
    }

    /// The header of this table.
    ///
    /// # Errors
    ///
    /// Those of [`Header::decode`]; none for an accepted table.
    pub fn header(&self) -> Result<Header, HeaderError> {
        Header::decode(self.words)
    }

    /// Size of the described text, in bytes.
    #[must_use]
    #[inline(always)]
    pub const fn text_bytes(&self) -> u32 {
        self.text_bytes
    }

    /// The rule at this offset in the text, in bytes.
    ///
    /// `None` when the offset is outside the text or inside an instruction. In
    /// an accepted table every instruction has a rule.
    #[must_use]
    #[inline]
    pub fn lookup(&self, offset: u32) -> Option<Rule> {
        self.find(offset)?.unpack()
    }

    /// The same, as the words in the table.
    #[must_use]
    #[inline(always)]
    pub fn find(&self, offset: u32) -> Option<RawRule> {
        if offset >= self.text_bytes || offset % INSTRUCTION_BYTES != 0 {
            return None;
        }
        let instruction = offset / INSTRUCTION_BYTES;
        let (first, end) = self.block(instruction / BLOCK_INSTRUCTIONS)?;
        // The largest row at this instruction, whatever its rule.
        let last = (instruction % BLOCK_INSTRUCTIONS) << KEY_SHIFT | ESCAPE;
        let (mut low, mut high) = (first, end);
        // Rows below `low` start at or before the offset, those from `high` on behind it.
        while low < high {
            let middle = low.wrapping_add(high.wrapping_sub(low) / 2);
            if self.row(middle)? <= last {
                low = middle.wrapping_add(1);
            } else {
                high = middle;
            }
        }
        // Where none starts in this block before it, the last row before the block holds.
        let row = low.checked_sub(1)?;
        let number = self.row(row)? & ESCAPE;
        if number == ESCAPE {
            return self.rule(self.escaped(row)?);
        }
        self.rule(number)
    }

    /// The rows in order: the offset where each starts, in bytes, and its rule.
    ///
    /// Stops at the first row that is malformed, which an accepted table has not.
    pub fn rows(&self) -> impl Iterator<Item = (u32, Rule)> + '_ {
        let mut escapes = self.escapes();
        self.row_heads().map_while(move |head| {
            let (_, offset, number) = head?;
            let number = match number {
                ESCAPE => escapes.next()?.1,
                number => number,
            };
            Some((offset, Rule::decode(self.rule(number)?)?))
        })
    }

    /// The sizes agree; nothing behind the header has been looked at.
    #[inline]
    fn open(words: &'a [u32]) -> Option<Self> {
        let sizes = Sizes::decode(words)?;
        let layout = Layout::new(sizes.rows, sizes.blocks, sizes.rules, sizes.escapes)?;
        let sizes_agree = sizes.total_words == layout.total
            && usize::try_from(layout.total).ok()? == words.len()
            && sizes.blocks == format::blocks(sizes.text_bytes);
        // INVARIANT: the layout is computed from the header's counts, and ends where the
        // words do.
        sizes_agree.then_some(Self {
            words,
            text_bytes: sizes.text_bytes,
            rules: layout.rules,
            escapes: layout.escapes,
            rows: layout.rows,
        })
    }

    /// Every rule is one that a function can be in.
    fn check_rules(&self, header: &Header) -> Result<(), TableError> {
        if header.rules > format::MAX_RULES {
            return Err(TableError::Rule);
        }
        for number in 0..header.rules {
            self.rule(number)
                .and_then(Rule::decode)
                .ok_or(TableError::Rule)?;
        }
        Ok(())
    }

    /// The index starts at row 0, never goes down, and ends at the last row. Rows ascend
    /// strictly, from the first instruction, and lie in the text.
    fn check_rows(&self, header: &Header) -> Result<(), TableError> {
        let mut next = 0;
        for block in 0..header.blocks {
            let (first, end) = self.block(block).ok_or(TableError::Index)?;
            if first != next || end < first || end > header.rows {
                return Err(TableError::Index);
            }
            self.check_block(header, block, first, end)?;
            next = end;
        }
        // Without text the last word is the first, and no block has looked at it.
        if next != header.rows || self.first_row(header.blocks) != Some(next) {
            return Err(TableError::Index);
        }
        // A half that is left.
        if header.rows % 2 != 0 && self.row(header.rows) != Some(0) {
            return Err(TableError::Reserved);
        }
        Ok(())
    }

    fn check_block(
        &self,
        header: &Header,
        block: u32,
        first: u32,
        end: u32,
    ) -> Result<(), TableError> {
        let mut least = 0;
        for row in first..end {
            let head = self.row(row).ok_or(TableError::Index)?;
            let key = head >> KEY_SHIFT;
            if row == 0 && (block != 0 || key != 0) {
                return Err(TableError::FirstRow);
            }
            if key < least || self.start(block, key) >= header.text_bytes {
                return Err(TableError::Order);
            }
            let number = head & ESCAPE;
            if number != ESCAPE && number >= header.rules {
                return Err(TableError::RuleNumber);
            }
            least = key.wrapping_add(1);
        }
        // Text without a row would have a lookup without an answer.
        if block == 0 && first == end {
            return Err(TableError::FirstRow);
        }
        Ok(())
    }

    /// Each row that has an escape, and no other, is among them, in order.
    fn check_escapes(&self, header: &Header) -> Result<(), TableError> {
        let mut escapes = self.escapes();
        for row in 0..header.rows {
            if self.row(row).is_none_or(|head| head & ESCAPE != ESCAPE) {
                continue;
            }
            let (escaped, number) = escapes.next().ok_or(TableError::Escape)?;
            if escaped != row || number < ESCAPE || number >= header.rules {
                return Err(TableError::Escape);
            }
        }
        match escapes.next() {
            Some(_) => Err(TableError::Escape),
            None => Ok(()),
        }
    }

    /// Number, offset and rule number of each row; all are there in a sound table.
    fn row_heads(&self) -> impl Iterator<Item = Option<(u32, u32, u32)>> + '_ {
        let blocks = format::blocks(self.text_bytes);
        (0..blocks).flat_map(move |block| {
            let (first, end) = self.block(block).unwrap_or_default();
            (first..end).map(move |row| {
                let head = self.row(row)?;
                Some((row, self.start(block, head >> KEY_SHIFT), head & ESCAPE))
            })
        })
    }

    /// The first row of a block, and of the next.
    #[inline(always)]
    fn block(&self, block: u32) -> Option<(u32, u32)> {
        Some((
            self.first_row(block)?,
            self.first_row(block.wrapping_add(1))?,
        ))
    }

    /// The first row of a block; behind the last block, the number of rows.
    #[inline(always)]
    fn first_row(&self, block: u32) -> Option<u32> {
        let index = u32::try_from(format::HEADER_WORDS).ok()?;
        self.word(index.wrapping_add(block))
    }

    /// Where a row of this block starts, in bytes from the start of the text.
    const fn start(&self, block: u32, key: u32) -> u32 {
        block
            .wrapping_mul(BLOCK_INSTRUCTIONS)
            .wrapping_add(key)
            .wrapping_mul(INSTRUCTION_BYTES)
    }

    /// The 16 bits of a row.
    #[inline(always)]
    fn row(&self, row: u32) -> Option<u32> {
        let word = self.word(self.rows.wrapping_add(row / 2))?;
        // The shift is that by 0 or 16: bits above the fifth do not count.
        Some(word.wrapping_shr(row.wrapping_mul(16)) & 0xffff)
    }

    /// The rule with this number.
    #[inline(always)]
    fn rule(&self, number: u32) -> Option<RawRule> {
        let at = self.rules.wrapping_add(number.wrapping_mul(2));
        Some(RawRule::new([
            self.word(at)?,
            self.word(at.wrapping_add(1))?,
        ]))
    }

    /// Row and rule number of each escape.
    fn escapes(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        let pairs = (self.escapes..self.rows).step_by(format::ESCAPE_WORDS);
        pairs.map_while(|at| Some((self.word(at)?, self.word(at.wrapping_add(1))?)))
    }

    /// The number of the rule of a row that has an escape.
    #[inline(never)]
    fn escaped(&self, row: u32) -> Option<u32> {
        let at = |number: u32| self.escapes.wrapping_add(number.wrapping_mul(2));
        let (mut low, mut high) = (0, self.rows.wrapping_sub(self.escapes) / 2);
        while low < high {
            let middle = low.wrapping_add(high.wrapping_sub(low) / 2);
            if self.word(at(middle))? < row {
                low = middle.wrapping_add(1);
            } else {
                high = middle;
            }
        }
        (self.word(at(low))? == row).then_some(())?;
        self.word(at(low).wrapping_add(1))
    }

    #[inline(always)]
    fn word(&self, at: u32) -> Option<u32> {
        self.words.get(usize::try_from(at).ok()?).copied()
    }
}
