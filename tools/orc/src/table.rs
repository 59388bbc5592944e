// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Writes a table in the format of [`orc::format`], and proves it readable by
//! the reader that the kernel has.

use std::collections::BTreeMap;

use orc::format::{
    blocks, checksum, Header, Layout, BLOCK_BYTES, BLOCK_INSTRUCTIONS, INSTRUCTION_BYTES,
};
use orc::rule::Rule;
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
    let (rules, numbers) = number_rules(rows)?;
    let count = |len: usize| u32::try_from(len).map_err(|_| Unwritable::Size);
    let block_count = blocks(rows.text_bytes);
    let (row_count, rule_count) = (count(rows.rows.len())?, count(rules.len())?);
    let layout = Layout::new(row_count, block_count, rule_count).ok_or(Unwritable::Size)?;
    let mut header = Header {
        checksum: 0,
        build_id: *build_id,
        text_bytes: rows.text_bytes,
        rows: row_count,
        blocks: block_count,
        rules: rule_count,
        total_bytes: count(layout.total)?,
    };
    let mut bytes = Vec::with_capacity(layout.total);
    bytes.extend(header.encode());
    for block in 0..=block_count {
        let first = u64::from(block) * u64::from(BLOCK_BYTES);
        let before = rows.rows.partition_point(|(at, _)| u64::from(*at) < first);
        bytes.extend(count(before)?.to_le_bytes());
    }
    bytes.extend(rules.iter().flatten().flat_map(|word| word.to_le_bytes()));
    bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
    for (at, _) in &rows.rows {
        let key = at / INSTRUCTION_BYTES % BLOCK_INSTRUCTIONS;
        bytes.push(key as u8);
    }
    bytes.resize(layout.total, 0);
    header.checksum = checksum(&bytes);
    bytes.splice(..header.encode().len(), header.encode());
    Table::new(&bytes, build_id).map_err(|e| Unwritable::Refused(e.name()))?;
    Ok(bytes)
}

/// The distinct rules in the order of their first row, and each row's number.
fn number_rules(rows: &Rows) -> Result<(Vec<orc::rule::RawRule>, Vec<u16>), Unwritable> {
    let mut rules = Vec::new();
    let mut numbers = Vec::with_capacity(rows.rows.len());
    let mut known: BTreeMap<Rule, u16> = BTreeMap::new();
    for (at, rule) in &rows.rows {
        let number = match known.get(rule) {
            Some(number) => *number,
            None => {
                let number = u16::try_from(rules.len()).map_err(|_| Unwritable::Rules)?;
                rules.push(rule.encode().ok_or(Unwritable::Rule(*at))?);
                known.insert(*rule, number);
                number
            }
        };
        numbers.push(number);
    }
    Ok((rules, numbers))
}
