// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Writes a table in the format of [`orc::format`], and proves it readable by
//! the reader that the kernel has.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use orc::format::{
    blocks, checksum, Header, Layout, BLOCK_BYTES, BLOCK_INSTRUCTIONS, ESCAPE, INSTRUCTION_BYTES,
    KEY_SHIFT, MAX_RULES, WORD_BYTES,
};
use orc::rule::{RawRule, Rule};
use orc::table::Table;

use crate::input::BuildId;

/// The rows of one text section: sorted by offset, the first one at 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rows {
    /// Size of the section in bytes.
    pub text_bytes: u32,
    /// Where each row starts, and its rule.
    pub rows: Vec<(u32, Rule)>,
}

impl Rows {
    /// The rule at an offset; `None` behind the end of the section.
    #[must_use]
    pub fn at(&self, offset: u64) -> Option<Rule> {
        let after = self
            .rows
            .partition_point(|(at, _)| u64::from(*at) <= offset);
        let (_, rule) = self.rows.get(after.checked_sub(1)?)?;
        (offset < u64::from(self.text_bytes)).then_some(*rule)
    }
}

/// Why rows can't be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unwritable {
    /// More distinct rules than a rule number can name.
    #[error("more than 65536 distinct rules")]
    Rules,
    /// The table would not fit its 32-bit sizes.
    #[error("table of 4 GiB or more")]
    Size,
    /// A rule that the format does not hold.
    #[error("a rule at {0:#x} that no table may hold")]
    Rule(u32),
    /// A row that starts inside an instruction.
    #[error("a row at {0:#x}, inside an instruction")]
    Row(u32),
    /// The kernel would not take the table: a fault of this tool.
    #[error("the table written would be refused: {0}")]
    Refused(&'static str),
}

/// The table with these rows for the build with this id.
///
/// The same rows always give the same bytes.
///
/// # Errors
///
/// [`Unwritable`]; the rows of a proof never are.
pub fn write(rows: &Rows, build_id: &BuildId) -> Result<Vec<u8>, Unwritable> {
    let words = write_words(rows, build_id)?;
    Ok(words.iter().flat_map(|word| word.to_le_bytes()).collect())
}

/// The words of a table; `None` if its bytes are not whole words.
#[must_use]
pub fn words(bytes: &[u8]) -> Option<Vec<u32>> {
    let words = bytes.chunks_exact(WORD_BYTES);
    words.remainder().is_empty().then(|| {
        words
            .map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]))
            .collect()
    })
}

fn write_words(rows: &Rows, build_id: &BuildId) -> Result<Vec<u32>, Unwritable> {
    let (rules, numbers) = number_rules(rows)?;
    let count = |len: usize| u32::try_from(len).map_err(|_| Unwritable::Size);
    let mut escapes = Vec::new();
    for (row, number) in (0..).zip(&numbers) {
        if *number >= ESCAPE {
            escapes.extend([row, *number]);
        }
    }
    let mut header = Header {
        checksum: 0,
        build_id: *build_id,
        text_bytes: rows.text_bytes,
        rows: count(rows.rows.len())?,
        blocks: blocks(rows.text_bytes),
        rules: count(rules.len())?,
        escapes: count(escapes.len() / 2)?,
        total_words: 0,
    };
    let layout = Layout::new(header.rows, header.blocks, header.rules, header.escapes)
        .ok_or(Unwritable::Size)?;
    header.total_words = layout.total;
    let mut words = Vec::with_capacity(layout.total as usize);
    words.extend(header.encode());
    for block in 0..=header.blocks {
        let first = u64::from(block) * u64::from(BLOCK_BYTES);
        let before = rows.rows.partition_point(|(at, _)| u64::from(*at) < first);
        words.push(count(before)?);
    }
    words.extend(rules.iter().flat_map(|rule| rule.words()));
    words.extend(escapes);
    let halves: Vec<u32> = (rows.rows.iter().zip(&numbers))
        .map(|((at, _), number)| half(*at, *number))
        .collect();
    words.extend((halves.chunks(2)).map(|pair| pair[0] | pair.get(1).unwrap_or(&0) << 16));
    header.checksum = checksum(&words);
    words[..header.encode().len()].copy_from_slice(&header.encode());
    let table = Table::new(&words, build_id).map_err(|e| Unwritable::Refused(e.name()))?;
    match table.rows().eq(rows.rows.iter().copied()) {
        true => Ok(words),
        false => Err(Unwritable::Refused("other rows than were written")),
    }
}

/// The 16 bits of a row.
fn half(at: u32, number: u32) -> u32 {
    let key = at / INSTRUCTION_BYTES % BLOCK_INSTRUCTIONS;
    key << KEY_SHIFT | number.min(ESCAPE)
}

/// The distinct rules, those of most rows first, and each row's number.
fn number_rules(rows: &Rows) -> Result<(Vec<RawRule>, Vec<u32>), Unwritable> {
    let mut known: BTreeMap<RawRule, (u32, usize)> = BTreeMap::new();
    let mut raw = Vec::with_capacity(rows.rows.len());
    for (at, rule) in &rows.rows {
        // The table would have it start at the instruction.
        if at % INSTRUCTION_BYTES != 0 {
            return Err(Unwritable::Row(*at));
        }
        let rule = rule.encode().ok_or(Unwritable::Rule(*at))?;
        known.entry(rule).or_default().1 += 1;
        raw.push(rule);
    }
    if known.len() > MAX_RULES as usize {
        return Err(Unwritable::Rules);
    }
    let mut rules: Vec<RawRule> = known.keys().copied().collect();
    rules.sort_by_key(|rule| Reverse(known[rule].1));
    for (number, rule) in (0..).zip(&rules) {
        known.entry(*rule).or_default().0 = number;
    }
    let numbers = raw.iter().map(|rule| known[rule].0).collect();
    Ok((rules, numbers))
}
