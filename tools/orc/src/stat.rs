// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Coverage and sizes of tables, beside other ways to hold the same.

use orc::rule::{Rule, Undescribed};
use serde::Serialize;

use crate::cfi::Described as Cfi;
use crate::claim::{CfiRow, Claims, Location};
use crate::input::Input;
use crate::tables::Described;

mod leaves;

pub use leaves::{refused, Refused, WithoutRow};

/// Coverage and sizes of a file's tables.
#[derive(Debug, Serialize)]
pub struct Stat {
    /// The text sections that have a table.
    pub sections: Vec<Section>,
    /// Size of all tables.
    pub table_bytes: u64,
    /// Size of `.eh_frame` or `.debug_frame`.
    pub cfi_bytes: Option<u64>,
    /// FDEs for code that the linker has discarded.
    pub discarded_entries: usize,
    /// Size of `.sframe`.
    pub sframe_bytes: Option<u64>,
    /// What SFrame version 2 would take for the CFI of the same sections.
    pub sframe_estimate_bytes: Option<u64>,
    /// What the x86 layout would take for the same rows.
    pub x86_orc_bytes: u64,
}

/// One text section.
#[derive(Debug, Serialize)]
pub struct Section {
    /// Its name.
    pub name: String,
    /// Its size.
    pub text_bytes: u64,
    /// Functions in it.
    pub functions: usize,
    /// Those that no CFI describes.
    pub functions_without_cfi: usize,
    /// Its instructions by what their row says.
    pub instructions: Instructions,
    /// What the proof of leaves adds to CFI.
    pub bytes_without_row: WithoutRow,
    /// The functions without CFI that are no leaves, if they were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<Vec<Refused>>,
    /// Rows of its table.
    pub rows: usize,
    /// Distinct rules of its table.
    pub rules: u32,
    /// Size of its table.
    pub table_bytes: u64,
}

/// Numbers of instructions, by what their row says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Instructions {
    /// With a proved rule.
    pub proved: u64,
    /// Padding, or data in the text.
    pub hole: u64,
    /// Without CFI, and not a proved leaf.
    pub no_cfi: u64,
    /// With CFI that the instructions do not imply.
    pub not_proved: u64,
    /// In text of other conventions.
    pub foreign: u64,
    /// With CFI that no rule can express.
    pub bad_cfi: u64,
}

impl Instructions {
    fn count(&mut self, rule: &Rule, instructions: u64) {
        let class = match rule {
            Rule::Frame(_) => &mut self.proved,
            Rule::Unreliable(Undescribed::Hole) => &mut self.hole,
            Rule::Unreliable(Undescribed::NoCfi) => &mut self.no_cfi,
            Rule::Unreliable(Undescribed::NotProved) => &mut self.not_proved,
            Rule::Unreliable(Undescribed::Foreign) => &mut self.foreign,
            Rule::Unreliable(Undescribed::BadCfi) => &mut self.bad_cfi,
        };
        *class += instructions;
    }

    /// All of them.
    pub fn total(&self) -> u64 {
        self.classes().iter().map(|(_, count)| count).sum()
    }

    /// Each class with its name.
    pub fn classes(&self) -> [(&'static str, u64); 6] {
        [
            ("proved", self.proved),
            ("not proved", self.not_proved),
            ("without CFI", self.no_cfi),
            ("with unusable CFI", self.bad_cfi),
            ("foreign text", self.foreign),
            ("holes", self.hole),
        ]
    }
}

impl Stat {
    /// Counts.
    pub fn new(input: &Input<'_>, tables: &[Described<'_>]) -> Self {
        let has_cfi = input.cfi.is_some();
        let sections: Vec<Section> = tables.iter().map(|t| Section::new(t, has_cfi)).collect();
        let sframe = input.image.section(".sframe");
        let estimate = input.cfi.as_ref().map(|cfi| {
            let described = |entry: &&Cfi| tables.iter().any(|t| t.text.section == entry.section);
            let entries = cfi.entries.iter().filter(described);
            SFRAME_HEADER + entries.map(sframe_bytes).sum::<u64>()
        });
        Self {
            table_bytes: sections.iter().map(|s| s.table_bytes).sum(),
            cfi_bytes: input.cfi.as_ref().map(|cfi| cfi.bytes),
            discarded_entries: input.cfi.as_ref().map_or(0, |cfi| cfi.discarded),
            sframe_bytes: sframe.map(|s| s.data.len() as u64),
            sframe_estimate_bytes: estimate,
            x86_orc_bytes: sections.iter().map(x86_orc_bytes).sum(),
            sections,
        }
    }
}

impl Section {
    fn new(table: &Described<'_>, has_cfi: bool) -> Self {
        let rows = &table.rows.rows;
        let mut instructions = Instructions::default();
        for (number, (at, rule)) in rows.iter().enumerate() {
            let next = rows.get(number + 1).map(|(next, _)| *next);
            let end = next.unwrap_or(table.rows.text_bytes);
            instructions.count(rule, u64::from(end.saturating_sub(*at) / 4));
        }
        let functions = &table.text.text.functions;
        Self {
            name: table.text.text.name.clone(),
            text_bytes: u64::from(table.rows.text_bytes),
            functions: functions.len(),
            functions_without_cfi: functions.iter().filter(|f| f.claims.is_none()).count(),
            instructions,
            bytes_without_row: WithoutRow::new(&table.rows, functions, has_cfi),
            refused: None,
            rows: rows.len(),
            rules: table.rules,
            table_bytes: table.bytes,
        }
    }
}

/// `struct orc_entry` and the `int` of `.orc_unwind_ip`, and one `unsigned int` of
/// the lookup table for each 256 bytes of text (`arch/x86/include/asm/orc_*.h`).
fn x86_orc_bytes(section: &Section) -> u64 {
    section.rows as u64 * (6 + 4) + (section.text_bytes.div_ceil(256) + 1) * 4
}

const SFRAME_HEADER: u64 = 28;
const SFRAME_ENTRY: u64 = 20;

/// One function in SFrame version 2: its descriptor, and a row for each of its
/// CFI's: start (1, 2 or 4 bytes by the function's size), info byte, and up to
/// three offsets of one width (CFA, return address, frame pointer).
fn sframe_bytes(entry: &Cfi) -> u64 {
    let Claims::Rows(claims) = &entry.claims else {
        return SFRAME_ENTRY;
    };
    let start = match entry.range.end - entry.range.start {
        0..=0xff => 1,
        0x100..=0xffff => 2,
        _ => 4,
    };
    let row = |row: &CfiRow| {
        let Some(claim) = row.claim() else {
            return start + 1;
        };
        let slots = [claim.return_address, claim.caller_fp];
        let offsets = slots.iter().filter_map(|location| match location {
            Location::Slot(below) => Some(-i64::from(*below)),
            Location::Register => None,
        });
        let offsets: Vec<i64> = offsets.chain([i64::from(claim.cfa.offset)]).collect();
        let width = match offsets.iter() {
            all if all.clone().all(|o| i8::try_from(*o).is_ok()) => 1,
            all if all.clone().all(|o| i16::try_from(*o).is_ok()) => 2,
            _ => 4,
        };
        start + 1 + offsets.len() as u64 * width
    };
    SFRAME_ENTRY + claims.iter().map(row).sum::<u64>()
}
